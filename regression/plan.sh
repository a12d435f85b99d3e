#!/bin/sh
# plan.sh: the decks of published models: counts to the digit, layouts, and
# what --dry-run says of them.
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
counts nano-v2-9b 8888227328 8888227328 "$any"
counts nano-v2-12b 12310001152 12310001152 "$any"
counts nemotron-h-8b 8100852736 8100852736 "$any"
counts nemotron-h-8b 4489223040 4489223040 "$any" \
  model.d_model=3072 model.d_ff=12288 model.mamba_n_heads=112
counts nemotron-h-47b 46791554816 46791554816 "$any"
counts nemotron-h-56b 56324350464 56324350464 "$any"
active nano 288 323 358
finish
