#!/bin/sh
# plan.sh: the decks of published models, counts to the digit; what --dry-run
# says of memory and bytes sent against what runs measure.
. "$(dirname "$0")/lib.sh"

# counts DECK TOTAL BACKBONE TENSORS [OVERRIDES]: parameters as published.
counts() {
  deck=$1 total=$2 backbone=$3 tensors=$4
  shift 4
  run 1 --dry-run "$top/input/$deck.nml" "$@"
  if [ $rc = 0 ] && grep -q "^  parameters $total, " out &&
    grep -q "^  backbone $backbone, .* $tensors tensors$" out; then
    ok "$deck${1:+ $*}: $total parameters"
  else
    not_ok "$deck${1:+ $*}: $total parameters" \
      "exit code $rc, $(grep '^  parameters\|^  backbone' out | tr '\n' ' ')"
  fi
}

# active DECK BODY HEAD EMBEDDING: active parameters, in units of 10^7.
active() {
  run 1 --dry-run "$top/input/$1.nml"
  if awk -v b="$2" -v h="$3" -v e="$4" '
    function near(x, want) { return x - 1e7 * want < 5e7 && 1e7 * want - x < 5e7 }
    /^  active body/ { gsub(",", ""); found = near($3, b) && near($6, h) && near($9, e) }
    END { exit !found }' out
  then
    ok "$1: active parameters with and without head and embedding"
  else
    not_ok "$1: active parameters" "$(grep '^  active' out)"
  fi
}

# Of Nemotron-H the published counts are 4.49, 8.10, 46.79, 56.32 billion, and
# few tensor counts are published.
any='[0-9]*'
counts nano 31577940288 31577940288 "$any"
counts lightning 32913266240 31577940288 6513
counts super 123611033088 120668707840 42683
counts ultra 560524603904 549308993536 51023
counts ultra 560524603904 549308993536 51023 \
  grid.tp=1 grid.pp=3 grid.ep=8 grid.n_ranks=24
counts nano-512k 31577940288 31577940288 "$any"
counts super-1m 123611033088 120668707840 42683
counts ultra-1m 560524603904 549308993536 51023
counts nano-v2-9b 8888227328 8888227328 "$any"
counts nano-v2-12b 12310001152 12310001152 "$any"
counts nemotron-h-8b 8100852736 8100852736 "$any"
counts nemotron-h-8b 4489223040 4489223040 "$any" \
  model.d_model=3072 model.d_ff=12288 model.mamba_n_heads=112
counts nemotron-h-47b 46791554816 46791554816 "$any"
counts nemotron-h-56b 56324350464 56324350464 "$any"
active nano 288 323 358
active super 1170 1223 1277
active ultra 5390 5500 5610

# advice: a deck too large for its machine names keys, with what they leave
run 1 --dry-run "$top/input/nano.nml" grid.machine=h200x8 optim.recompute=none
test_that 'a rank that does not fit: the keys that help' eval \
  "grep -q 'WARNING: a rank of stage 0 needs' out &&
   grep -q \"optim.recompute='moe': .* GiB, fits\" out &&
   grep -q 'optim.zero=3: .* GiB' out"
run 1 --dry-run "$top/input/nano.nml" grid.machine=h200x8
test_that 'a rank that fits: no warning' eval \
  "grep -q '^  step ' out && ! grep -q 'WARNING: a rank' out"

# said FILE: bytes that a dry run gives for a rank: memory, then axes.
said() {
  awk '/^  sum / { print "memory", $2 }
    /^sent per rank/ { sent = 1; next }
    /^[^ ]/ { sent = 0 }
    sent { print $1, $2 }' "$1"
}

# measured FILE: the same from the end of a run.
measured() {
  awk '/^memory taken/ { print "memory", $(NF - 4) * 1048576 }
    /^sent in a step/ { sub(/.*:/, ""); for (i = 1; i < NF; i += 2) print $i, $(i + 1) }' "$1"
}

# truth RANKS OVERRIDES: memory within 5 %, bytes of each axis within 2 %.
truth() {
  n=$1
  shift
  set -- job.kind="$kind" data.train=mock optim.n_steps=1 log.plot=.false. \
    data.global_batch=4 optim.zero=0 \
    job.dir=run ckpt.save_every=0 "$@"
  need 1 --dry-run "$top/input/bench-scaling.nml" grid.n_ranks="$n" "$@"
  said out >said
  need "$n" "$top/input/bench-scaling.nml" "$@"
  measured out >measured
  shift 8
  name="$kind on $n ranks${1:+, $*}"
  if text=$(awk '
    FNR == NR { said[$1] = $2; next }
    { d = $2 ? said[$1] / $2 - 1 : 0; d = d < 0 ? -d : d
      if (d > ($1 == "memory" ? 0.05 : 0.02)) bad = 1
      printf "%s%s %.0f said, off by %.2g %%", n++ ? ", " : "", $1, said[$1], 100 * d }
    END { exit bad || !n }' said measured); then
    ok "$name: $text"
  else
    not_ok "$name" "$text"
  fi
}

kind=pretrain
truth 1 data.seq_len=256
truth 2 data.seq_len=256 data.micro_batch=1
truth 2 data.seq_len=256 grid.tp=2
truth 2 data.seq_len=256 grid.ep=2
truth 2 data.seq_len=256 grid.pp=2 data.micro_batch=1
truth 2 data.seq_len=256 data.micro_batch=1 optim.zero=1
truth 2 data.seq_len=256 data.micro_batch=1 optim.zero=3
truth 2 data.seq_len=256 grid.tp=2 optim.recompute=all
truth 4 data.seq_len=256 grid.tp=2 grid.sp=.true. grid.pp=2 grid.ep=2
# rows of one document each: what the ring of cp sends depends on them
kind=bench
truth 2 grid.cp=2 data.seq_len=256
finish
