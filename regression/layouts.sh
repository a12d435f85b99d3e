#!/bin/sh
# layouts.sh: the lines of the file `list-layouts`. Each trains decks/table.nml and
# has to give the history (a relative bound a column) and the final weights
# (rms error over rms movement) of one rank. Two reference cases have to hold
# under it too: packed rows, whose expected numbers, gradients included, are
# those of separate rows, and generation. The stream of tokens is one whose
# router margin stays above $margin.
. "$(dirname "$0")/lib.sh"

margin=2e-5
weights=2e-4
tolerances='step=0 tokens=0 lr=1e-9 loss=2e-6 valid_loss=2e-6 gnorm=2e-5
  mtp_loss=2e-6 aux_loss=2e-5'
deck=$here/decks/table.nml
unpack_cases

# What compare can do under a layout: everything that cuts the model.
cut_of() {
  for word in $1; do
    case $word in
    grid.pp_cut=*) ;; # layers of another model
    grid.*) printf '%s ' "$word" ;;
    esac
  done
}

one_layout() {
  n=$1
  shift
  name="$n ranks${1:+, $*}"
  dir=run.$n_run
  n_run=$((n_run + 1))
  run "$n" "$deck" job.dir="$dir" "$@"
  if [ $rc != 0 ]; then
    not_ok "$name" "exit code $rc"
    return
  fi
  if [ "$dir" = run.0 ]; then # the reference
    run 1 "$deck" job.dir=start optim.n_steps=1 ckpt.save_every=1
    start=start/step_0000001.h5
    smallest=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++)
        if ($i == "router_margin") c = i }
      NR > 1 && c && (m == "" || $c < m) { m = $c } END { print m }' \
      run.0/history.csv)
    cp -r run.0 reference
    if awk "BEGIN { exit !(${smallest:-0} > $margin) }"; then
      ok "smallest router margin of the stream: $smallest, above $margin"
    else
      not_ok "router margin $smallest is not above $margin"
    fi
  fi
  text=$(awk -f "$here/compare-csv.awk" -v tol="$tolerances" \
    reference/history.csv "$dir/history.csv") || {
    not_ok "$name" "$text"
    return
  }
  if far=$("$HYMN_BUILT/regression/weights-diff" $weights $start \
    reference/step_0000020.h5 "$dir/step_0000020.h5"); then
    ok "$name: $text; $far"
  else
    not_ok "$name" "$far"
  fi
  cut=$(cut_of "$*")
  for case in hybrid_packed decode; do
    # shellcheck disable=SC2086 # words on purpose
    run "$n" "$top/input/compare.nml" compare.case="$cases/$case" $cut
    test_that "$name: $case, $(sed -n 's/^compare: //p' out)" [ $rc = 0 ]
  done
}

n_run=0
while IFS='|' read -r n overrides; do
  case $n in
  '#'* | '') continue ;;
  esac
  # shellcheck disable=SC2086 # words on purpose
  one_layout "${n% }" $overrides
done <"$here/list-layouts"
finish
