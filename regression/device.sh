#!/bin/sh
# device.sh: job.device='cuda' against the CPU: reference cases, histories,
# ranks that share a GPU, checkpoints both ways, generation, refusals. Without a
# GPU through the module that runs the kernels on the CPU; gpu.sh gives the real
# one in HYMN_CUDA_MODULE.
. "$(dirname "$0")/lib.sh"

HYMN_CUDA_MODULE=${HYMN_CUDA_MODULE-$HYMN_BUILT/cuda/shim/hymn-cuda.so}
export HYMN_CUDA_MODULE
case $HYMN_CUDA_MODULE in */shim/*) shim=1 ;; *) shim=0 ;; esac
if [ ! -e "$HYMN_CUDA_MODULE" ]; then
  ok "left out: no $HYMN_CUDA_MODULE (made by make check where there is a C++ compiler)"
  finish
fi

compare=$top/input/compare.nml
deck=$top/input/pretrain.nml
small="data.seq_len=48 optim.n_steps=6 optim.warmup=2 optim.wsd_decay=2
  ckpt.save_every=3 log.valid_every=3 log.plot=.false."

# holds NAME RANKS ARGS...: compare wants every tensor inside its bound.
holds() {
  name=$1
  shift
  run "$@"
  if [ $rc = 0 ] && grep -q '^compare: .* within bounds' out; then
    ok "$name: $(sed -n 's/^compare: //p' out)"
  else
    not_ok "$name" "exit code $rc"
  fi
}

# train DIR RANKS ARGS...: the small deck.
train() {
  dir=$1
  shift
  n=$1
  shift
  # shellcheck disable=SC2086 # words on purpose
  need "$n" "$deck" $small job.dir="$dir" "$@"
}

# near NAME DIR TOLERANCES: the history of DIR is that of the CPU.
near() {
  if text=$(awk -f "$here/compare-csv.awk" -v tol="$3" reference.csv \
    "$2/history.csv"); then
    ok "$1: $text"
  else
    not_ok "$1" "$text"
  fi
}

# same NAME DIR DIR: the same history, bit for bit.
same() {
  columns "$2/history.csv" 1 99 >a.csv
  columns "$3/history.csv" 1 99 >b.csv
  test_that "$1" cmp -s a.csv b.csv
}

# refused CODE WORDS ARGS...: that exit code and one line with these words.
refused() {
  code=$1
  words=$2
  shift 2
  run "$@"
  if [ $rc = "$code" ] && [ "$(grep -c '^hymn: error: ' err)" = 1 ] &&
    grep -q "^hymn: error: .*$words" err; then
    ok "refused: $words"
  else
    not_ok "refused: $words" "exit code $rc"
  fi
}

# --- every tensor ---------------------------------------------------------------
unpack_cases
for dir in "$cases"/*/; do
  dir=${dir%/}
  holds "${dir##*/}, fp32" 1 "$compare" compare.case="$dir" job.device=cuda
done
for case in mamba_only mamba_dt_floor real_dims attn_mlp; do
  holds "$case, bf16" 1 "$compare" compare.case="$cases/$case" \
    job.device=cuda job.precision=bf16
done
for grid in grid.tp=2 grid.cp=2 grid.ep=2 grid.pp=2 "grid.tp=2 grid.sp=.true."; do
  # shellcheck disable=SC2086
  holds "hybrid_packed, fp32, 2 ranks, $grid" 2 "$compare" \
    compare.case="$cases/hybrid_packed" job.device=cuda $grid
done
holds "train, fp32, 2 ranks, zero 3" 2 "$compare" compare.case="$cases/train" \
  job.device=cuda optim.zero=3

# --- histories ------------------------------------------------------------------
fine='step=0 tokens=0 lr=1e-9 loss=2e-6 valid_loss=2e-6 gnorm=2e-5 mtp_loss=2e-6'
rough='step=0 tokens=0 lr=1e-9 loss=5e-3 valid_loss=5e-3 gnorm=1e-1 mtp_loss=5e-3'
train cpu 1
cut -d, -f1-6,10- cpu/history.csv >reference.csv
train fp32 1 job.device=cuda
near "6 steps as on the CPU, fp32" fp32 "$fine"
train bf16 1 job.device=cuda job.precision=bf16
near "6 steps near those of the CPU, bf16" bf16 "$rough"
train again 1 job.device=cuda job.precision=bf16
same "the same run, the same bits" bf16 again
train graph 1 job.device=cuda job.precision=bf16 job.graph=.true.
same "played graphs, the same bits" bf16 graph
train dp2graph 2 job.device=cuda job.graph=.true.
train offload 1 job.device=cuda job.precision=bf16 optim.offload=.true.
same "optimizer states on the host, the same bits" bf16 offload
train recompute 1 job.device=cuda job.precision=bf16 optim.recompute=all
same "layers run again, the same bits" bf16 recompute
train dp2 2 job.device=cuda
cp out dp2.out
near "2 ranks, dp" dp2 "$fine"
same "2 ranks, dp, played graphs, the same bits" dp2 dp2graph
test_that "more ranks than GPUs are said" \
  grep -q '^GPU: .*2 ranks on each; .*more ranks than GPUs' dp2.out
train zero3 2 job.device=cuda job.precision=bf16 optim.zero=3
near "2 ranks, zero 3, bf16" zero3 "$rough"

# --- files ----------------------------------------------------------------------
cp -r bf16 resumed
rm -f resumed/step_0000006.h5
echo step_0000003.h5 >resumed/latest
train resumed 1 job.device=cuda job.precision=bf16 ckpt.load=auto
columns bf16/history.csv 4 6 >a.csv
columns resumed/history.csv 4 6 >b.csv
test_that "resumed, the same bits" cmp -s a.csv b.csv
train crossed 1 ckpt.load=fp32 ckpt.step=3
awk -F, 'NR == 1 || $1 > 3' reference.csv >rest.csv && mv rest.csv reference.csv
near "a checkpoint of the GPU goes on on the CPU" crossed "$fine"
echo '{"ids": [1, 2, 3]}' >prompt.jsonl
echo '{"ids": [7, 5, 300, 12, 9]}' >>prompt.jsonl
for device in cpu cuda; do
  need 1 "$top/input/generate.nml" model.from=fp32 generate.prompt="''" \
    generate.input=prompt.jsonl generate.max_new=8 \
    generate.output=$device.jsonl job.device=$device
done
test_that "the same tokens generated" cmp -s cpu.jsonl cuda.jsonl
holds "compare.reference, fp32" 1 "$compare" model.from=fp32 \
  compare.reference=cpu compare.n_tokens=33 job.device=cuda
holds "compare.reference, bf16" 1 "$compare" model.from=fp32 \
  compare.reference=cpu compare.n_tokens=33 job.device=cuda job.precision=bf16

# --- refusals -------------------------------------------------------------------
refused 2 "job.precision='bf16'" 1 "$deck" job.precision=bf16
refused 2 "job.graph" 1 "$deck" job.graph=.true.
refused 2 "job.graph=.true.: a micro-batch must not send" 2 "$deck" \
  job.device=cuda job.graph=.true. grid.tp=2 job.dir=no
HYMN_CUDA_MODULE=$work/none.so refused 5 "job.device='cuda'" 1 "$deck" \
  job.device=cuda job.dir=no

# What only the module of the shim can play: it reads its GPUs from the
# environment.
if [ $shim = 1 ]; then
  export HYMN_SHIM_GPUS=2
  holds "hybrid_packed, fp32, 2 GPUs by NCCL's calls" 2 "$compare" \
    compare.case="$cases/hybrid_packed" job.device=cuda grid.ep=2
  train nccl 2 job.device=cuda
  same "2 GPUs by NCCL's calls, the bits of MPI" dp2 nccl
  test_that "NCCL is said" grep -q '^GPU: .*by NCCL' out
  HYMN_SHIM_NCCL_ERROR=1 refused 5 NCCL 2 "$deck" job.device=cuda job.dir=no
  unset HYMN_SHIM_GPUS
  HYMN_SHIM_GPUS=0 refused 5 'no GPU to be found' 2 "$deck" job.device=cuda \
    job.dir=no
  HYMN_SHIM_ARCH=75 refused 5 'architecture 7.5' 1 "$deck" job.device=cuda \
    job.dir=no
  HYMN_SHIM_MEMORY=100M refused 5 'GiB are missing; lower' 1 "$deck" \
    job.device=cuda job.dir=no data.seq_len=16384
  HYMN_SHIM_FAIL=ce_fwd:3 refused 5 'CUDA: step .*ce' 2 "$deck" \
    job.device=cuda job.dir=no
fi
finish
