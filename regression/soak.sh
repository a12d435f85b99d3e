#!/bin/sh
# soak.sh [KILLS [RANKS [ARGS...]]]: a run that is killed again and again (200
# times on 2 ranks) is the run that was not, bit for bit. Not part of check.sh,
# which does ten kills (faults.sh); takes about 3 s a kill.
#
# Three of four kills fall into a save: one rank, all ranks or the launcher
# with signal 9. After each the run has to start again from its newest whole
# checkpoint, none older than the newest that was complete before, and every 20
# kills its history and weights are compared with those of the unbroken run.
#
# Why 200: a fault that loses a run at one kill in 66 stays unseen in 200 with
# a probability of 5 %, (1 - 1/66)^200, and one at one kill in 44 with 1 %.
. "$(dirname "$0")/lib.sh"
. "$here/kill.sh"
kills=${1-200}
ranks=${2-2}
[ $# -lt 2 ] || shift
[ $# -lt 1 ] || shift
deck=$here/decks/faults.nml
seed=${SEED-1}
every=50 # the unbroken run keeps these steps
n_steps=$((kills * 30 + 200))
n_killed=0 n_in_save=0 n_torn=0 n_over=0 slowest=0 n_same=0 lost=0 n_back=0
export LIMIT=3600
LIMIT=3600

# newest: the step that `latest` names, 0 if none
newest() {
  n=$(sed -n 's/^step_0*\([0-9][0-9]*\)\.h5$/\1/p' soak/latest 2>/dev/null)
  echo "${n:-0}"
}

# go_on ARGS...: the killed run from its newest checkpoint.
go_on() {
  start "$ranks" "$deck" model.vocab=4000 job.dir=soak ckpt.load=auto ckpt.save_every=1 \
    ckpt.keep=2 optim.n_steps=$n_steps "$@"
}

# same_as_whole: run to the next step that the unbroken run has kept.
same_as_whole() {
  to=$((($(newest) / every + 1) * every))
  need "$ranks" "$deck" model.vocab=4000 job.dir=whole ckpt.load=auto ckpt.save_every=$every \
    ckpt.keep=3 optim.n_steps=$to "$@"
  need "$ranks" "$deck" model.vocab=4000 job.dir=soak ckpt.load=auto ckpt.save_every=1 \
    ckpt.keep=2 optim.n_steps=$to "$@"
  step=step_$(printf %07d $to).h5
  columns whole/history.csv 1 $to >a
  columns soak/history.csv 1 $to >b
  cmp -s a b && h5diff -q whole/$step soak/$step /model &&
    h5diff -q whole/$step soak/$step /optim
}

while [ $n_killed -lt "$kills" ] && [ $lost = 0 ]; do
  before=$(newest)
  go_on "$@"
  if kill_once soak "$ranks"; then
    from=$(sed -n 's/^resumed: .*step_0*\([0-9]*\)\.h5.*/\1/p' out)
    # where `latest` could not be written any more the newest whole one counts
    [ "${from:-0}" -ge "$before" ] || n_back=$((n_back + 1))
    [ "$rc" != 0 ] || not_ok "kill $n_killed: the run ended with 0"
    [ "$took" -le 60 ] || not_ok "kill $n_killed: the end took $took s"
    if [ $((n_killed % 20)) = 0 ]; then
      if same_as_whole "$@"; then
        n_same=$((n_same + 1))
        echo "        $n_killed kills, $n_in_save in a save ($n_torn torn), same bits at step $to"
      else
        lost=1
        not_ok "after $n_killed kills the run is another" "step $to"
      fi
    fi
  else
    ended
    n_over=$((n_over + 1))
    if [ "$rc" != 0 ] || [ $n_over -gt 10 ]; then
      lost=1
      not_ok "after $n_killed kills the run does not go on" "exit code $rc"
    fi
  fi
done
test_that "$n_killed kills, $n_in_save of them in a save ($n_torn files torn): never lost, never back" \
  [ "$lost$n_back" = 00 ]
test_that "the run to the end is the unbroken one" same_as_whole "$@"
echo "        $n_same comparisons on the way; the slowest end took $slowest s"
finish
