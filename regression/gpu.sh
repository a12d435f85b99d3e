#!/bin/sh
# gpu.sh: hymn on a machine with a GPU. Two steps, each under ten minutes:
#
#   sh regression/gpu.sh build     configure with CUDA for this GPU, and build
#   sh regression/gpu.sh run       tests, then benchmarks; figures for
#                                  doc/gpu-log.md go to gpu-log.txt
#
# Where MPI, HDF5 and OpenBLAS are not installed, HYMN_BUNDLE names a folder with
# an env.sh that brings them; where there are no Autotools, HYMN_DIST names a
# release made by `make dist`, which is unpacked and built instead of the
# checkout. HYMN_GPU_BUILD: the build directory (default build-gpu here). OUT:
# where gpu-log.txt goes (default: the build directory). HYMN_GPU_SHIM=1 runs all
# of it but the tests of the real GPU through the module of the shim: a rehearsal.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 5
top=$(dirname "$here")
build=${HYMN_GPU_BUILD-$top/build-gpu}
shim=${HYMN_GPU_SHIM-0}
if [ -n "${HYMN_BUNDLE-}" ]; then
  # shellcheck disable=SC1091
  . "$HYMN_BUNDLE/env.sh"
fi

say() { echo "gpu: $*"; }

# --- build --------------------------------------------------------------------
# The architecture of the first GPU; a of 9.0 for its own instructions.
arch() {
  cap=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
    head -n 1 | tr -d '. ')
  case $cap in
  90) echo 90a ;;
  '' | *[!0-9]*) echo "80 90a 100" ;;
  *) echo "$cap" ;;
  esac
}

build_it() {
  mkdir -p "$build" || exit 5
  src=$top
  if [ -n "${HYMN_DIST-}" ]; then
    src=$build/source
    rm -rf "$src" && mkdir -p "$src" || exit 5
    tar -xf "$HYMN_DIST" -C "$src" --strip-components=1 || exit 5
  elif [ ! -e "$src/configure" ]; then
    sh "$src/bootstrap" || exit 5
  fi
  cd "$build" || exit 5
  # shellcheck disable=SC2086 # words on purpose
  "$src/configure" CUDA_ARCH="$(arch)" ${HYMN_CONFIGURE_ARGS---with-cuda} ||
    exit 5
  jobs=$(nproc 2>/dev/null || echo 2)
  make "-j$jobs" || exit 5
  make "-j$jobs" src/gpu/test_parity_gpu src/gpu/test_kit_gpu \
    src/gpu/test_mem_gpu || exit 5
  say "built for $(arch) in $build"
}

# --- run ----------------------------------------------------------------------
n_pass=0
n_fail=0
ok() {
  n_pass=$((n_pass + 1))
  echo "ok      gpu: $1"
}
not_ok() {
  n_fail=$((n_fail + 1))
  echo "NOT OK  gpu: $1"
  tail -n 15 "$build/part.log" | sed 's/^/        /'
}

# part NAME SECONDS COMMAND...: exit code 0 within the time; its output is in
# part.log and, by name, in the log.
part() {
  name=$1
  limit=$2
  shift 2
  if timeout "$limit" "$@" >"$build/part.log" 2>&1; then
    ok "$name"
  else
    not_ok "$name (exit code $?)"
  fi
}

# figures TITLE PATTERN COMMAND: a section of the log, with the lines of part.log
# that match.
figures() {
  {
    echo
    echo "## $1"
    echo
    echo "$day, $commit, $gpu: \`$3\`"
    echo
    grep -E "$2" "$build/part.log" | sed 's/^/    /'
  } >>"$log"
}

# loss_error A.csv B.csv: largest relative difference of the losses.
loss_error() {
  awk -F, 'FNR == 1 { next }
    NR == FNR { a[$1] = $3; next }
    { d = ($3 - a[$1]) / a[$1]; d = d < 0 ? -d : d; if (d > m) m = d; n++ }
    END { printf "%.2e", n ? m : 1 }' "$1" "$2"
}

histories() {
  deck=$top/input/pretrain.nml
  for run in "cpu job.device=cpu" "fp32 job.device=cuda" \
    "bf16 job.device=cuda job.precision=bf16"; do
    dir=${run%% *}
    # shellcheck disable=SC2086
    timeout 120 "$hymn" "$deck" ${run#* } job.dir="$build/run/$dir" \
      optim.n_steps=50 optim.warmup=5 optim.wsd_decay=10 log.plot=.false. \
      ckpt.save_every=0 || return 1
  done
  fp32=$(loss_error "$build/run/cpu/history.csv" "$build/run/fp32/history.csv")
  bf16=$(loss_error "$build/run/cpu/history.csv" "$build/run/bf16/history.csv")
  echo "50 steps: largest relative difference of the loss, fp32 $fp32, bf16 $bf16"
  awk "BEGIN { exit !($fp32 < 1e-4 && $bf16 < 1e-2) }"
}

sanitize() {
  for op in $2; do
    HYMN_TEST_OP=test_$op timeout 100 compute-sanitizer --tool "$1" \
      --error-exitcode 9 "$build/src/gpu/test_parity_gpu" || return 1
  done
}

# The same model and batch in PyTorch.
torch() {
  python3 "$1" --device cuda --bf16 --model nano --batch 1 --seq 8192 --steps 6
}

tests() {
  part "hymn --check" 60 "$hymn" --check "$top/input/pretrain.nml" \
    job.device=cuda job.dir="$build/run/check"
  figures "Health" '^(ok|FAILED)' "hymn --check input/pretrain.nml job.device=cuda"
  if [ "$shim" = 0 ]; then
    part "every op against the CPU" 120 "$build/src/gpu/test_parity_gpu"
    figures "Ops: worst scaled error against the CPU" 'worst scaled error' \
      src/gpu/test_parity_gpu
    part "array functions" 60 "$build/src/gpu/test_kit_gpu"
    part "memory" 60 "$build/src/gpu/test_mem_gpu"
    if command -v compute-sanitizer >/dev/null; then
      part "compute-sanitizer memcheck" 150 sh "$0" sanitize memcheck
      part "compute-sanitizer racecheck" 150 sh "$0" sanitize racecheck
    else
      say "no compute-sanitizer here: memcheck and racecheck are left out"
    fi
  fi
  part "whole jobs (device.sh)" 200 env HYMN_BUILT="$build" \
    HYMN_CUDA_MODULE="$module" sh "$here/device.sh"
  figures "Whole jobs" '^(ok|NOT OK|device:)' "sh regression/device.sh"
  part "50 steps on CPU and GPU" 200 sh "$0" histories
  figures "Histories" '^50 steps' "input/pretrain.nml, optim.n_steps=50"
}

benchmarks() {
  nano=$top/input/bench-nano.nml
  [ "$shim" = 0 ] || nano="$top/input/bench.nml job.device=cuda \
    job.precision=bf16 model.d_model=64 model.vocab=512 data.seq_len=64 \
    data.global_batch=1 data.micro_batch=1 optim.n_steps=1"
  for how in "" bench.balanced=.true. "bench.balanced=.true. job.graph=.true." \
    "data.global_batch=1 bench.ops=.false."; do
    # shellcheck disable=SC2086
    part "bench-nano $how" 90 "$hymn" $nano $how
    figures "A slice of Nano ${how:-as the router says}" \
      '^(GPU|parameters|step|ops| |without|median)' "hymn input/bench-nano.nml $how"
  done
  torch=$top/../shared/tools/bench_torch.py
  [ -e "$torch" ] || torch=$top/shared/tools/bench_torch.py
  if [ "$shim" = 0 ] && [ -e "$torch" ] && python3 -c 'import torch' 2>/dev/null
  then
    part "the same step in PyTorch" 120 sh "$0" torch "$torch"
    figures "The same step in PyTorch (no mamba_ssm: plain Mamba layers)" '.' \
      "bench_torch.py --device cuda --bf16 --model nano --batch 1 --seq 8192"
  fi
}

run_all() {
  log=${OUT-$build}/gpu-log.txt
  [ "$shim" = 0 ] || module=$build/cuda/shim/hymn-cuda.so
  export HYMN_CUDA_MODULE="$module"
  [ -x "$hymn" ] && [ -e "$module" ] || {
    say "error: no $hymn or no $module; first: sh regression/gpu.sh build"
    exit 5
  }
  mkdir -p "$build/run"
  day=$(date -u +%Y-%m-%d)
  commit=$("$hymn" --version | sed -n 's/^commit *//p')
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
  gpu=${gpu:-no GPU}
  : >"$log"
  [ "${1-}" = bench ] || tests
  [ "${1-}" = tests ] || benchmarks
  say "figures for doc/gpu-log.md: $log"
  echo "$n_pass passed, $n_fail failed"
  [ $n_fail = 0 ]
}

hymn=$build/src/hymn
module=${HYMN_CUDA_MODULE-$build/cuda/hymn-cuda.so}
case ${1-} in
build) build_it ;;
run) run_all "${2-}" ;;
sanitize) sanitize "$2" "rmsnorm conv1d ssd attention router linear ce" ;;
histories) histories ;;
torch) torch "$2" ;;
*)
  say "usage: sh regression/gpu.sh build, then sh regression/gpu.sh run [tests|bench]"
  exit 1
  ;;
esac
