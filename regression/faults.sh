#!/bin/sh
# faults.sh: what happens to a run when a rank dies or stops, when a signal
# comes, when a number is not finite, when the disk can no longer be written.
# Everywhere: all ranks end, with one line, and what was saved goes on bit for
# bit. The long version of the kills is soak.sh.
. "$(dirname "$0")/lib.sh"
. "$here/kill.sh"
deck=$here/decks/faults.nml
seed=7

# one_line WORDS: exactly one line of hymn's, of this pattern
one_line() {
  [ "$(grep -c '^hymn: ' err)" = 1 ] && grep -q "^hymn: .*$1" err
}
codes() { cat code.* | sort | uniq -c | tr -s ' ' | tr '\n' ';'; }

same_run() { # DIR A, DIR B, LAST STEP
  step=step_$(printf %07d "$3").h5
  columns "$1/history.csv" 1 "$3" >a
  columns "$2/history.csv" 1 "$3" >b
  cmp -s a b && h5diff -q "$1/$step" "$2/$step" /model &&
    h5diff -q "$1/$step" "$2/$step" /optim
}

# --- a rank is killed ----------------------------------------------------------
# killed RANKS RANK
killed() {
  start "$1" "$deck" job.dir=killed optim.n_steps=100000
  wait_for said '^step ' && kill -9 "$(pid_of "$2")"
  ended
  test_that "kill -9 of rank $2 of $1: all end non-zero within 60 s, one line" \
    eval "[ $rc != 0 ] && [ $took -lt 60 ] && one_line 'error: rank $2 .*died'"
}
killed 2 1
killed 2 0
killed 4 2

# the launcher has stopped and says nothing to anybody
start 2 "$deck" job.dir=killed optim.n_steps=100000
wait_for said '^step '
launcher=$(pid_of_launcher)
kill -STOP "$launcher"
kill -9 "$(pid_of 1)"
since=$(now_ms)
while kill -0 "$(pid_of 0)" 2>/dev/null && [ $(($(now_ms) - since)) -lt 60000 ]
do
  sleep 0.2
done
took=$((($(now_ms) - since) / 1000))
kill -CONT "$launcher"
ended
test_that "the same with a launcher that sleeps: rank 0 ends by itself" eval \
  "[ \$took -lt 60 ] && one_line 'error: rank 1 .*died'"

# --- signals ------------------------------------------------------------------
# saved_on NAME RANKS WHOM...: signal $sig while steps run; layout: $keys
keys=
saved_on() {
  name=$1 n=$2
  shift 2
  rm -rf on
  start "$n" "$deck" job.dir=on optim.n_steps=100000 $keys
  wait_for said '^step 10/'
  for whom in "$@"; do
    [ "$whom" = launcher ] && p=$(pid_of_launcher) || p=$(pid_of "$whom")
    kill -"$sig" "$p"
  done
  ended
  step=$(sed -n 's/^hymn: saved step \([0-9]*\) .*/\1/p' err)
  test_that "$name: step ${step:-?} saved, exit code 8, one line" eval \
    "[ $rc = 8 ] && one_line 'saved step' &&
     [ \"\$(cat on/latest)\" = step_$(printf %07d "${step:-0}").h5 ]"
}
sig=TERM
saved_on 'SIGTERM to one process' 1 0
saved_on 'SIGTERM to all ranks' 4 0 1 2 3
sig=USR1
saved_on 'SIGUSR1 to the launcher, which passes it on' 2 launcher
sig=TERM
saved_on 'SIGTERM to one rank of two' 2 1
test_that 'each rank returns 8' [ "$(codes)" = ' 2 8;' ]
# goes_on RANKS: from there, and the same without a break
goes_on() {
  to=$((step + 20))
  rm -rf whole
  need "$1" "$deck" job.dir=whole optim.n_steps=$to $keys
  need "$1" "$deck" job.dir=on optim.n_steps=$to ckpt.load=auto $keys
  test_that "$1 ranks${keys:+, $keys}: the run goes on from there bit for bit" \
    same_run whole on $to
}
goes_on 2
keys='grid.pp=2 grid.tp=2 grid.sp=.true.'
saved_on "SIGTERM to one rank, $keys" 4 3
goes_on 4
keys='grid.cp=2 grid.ep=2 optim.zero=3'
saved_on "SIGTERM to one rank, $keys" 4 2
goes_on 4

rm -rf on
start 2 "$deck" job.dir=on optim.n_steps=100000 ckpt.save_every=1 log.every=1
wait_for said '^step 5/'
kill -USR1 "$(pid_of 0)"
kill -TERM "$(pid_of 1)"
kill -TERM "$(pid_of 0)"
ended
test_that 'three signals while saving each step: exit code 8, one line' eval \
  "[ $rc = 8 ] && one_line 'saved step' && [ ! -e on/.step_*.tmp ]"

rm -rf on
start 2 "$deck" job.dir=on data.valid=mock log.valid_rows=1000000
wait_for said '^start to first step'
kill -TERM "$(pid_of 1)"
ended
test_that 'SIGTERM during the first validation: ends soon, exit code 8' eval \
  "[ $rc = 8 ] && [ $took -lt 20 ] && one_line 'SIGTERM before the first step'"

yes "$here/fixtures/play.txt" | head -n 4000 | xargs cat >long.txt
start 2 "$here/decks/prepare.nml" prepare.output=p.h5 prepare.input=long.txt
wait_for begun 2
sleep 0.3
kill -TERM "$(pid_of 0)" "$(pid_of 1)"
ended
test_that 'SIGTERM to a job that does not train ends it' eval \
  "[ $rc != 0 ] && [ $took -lt 20 ] && [ ! -e p.h5 ]"

# --- a rank stops calling -----------------------------------------------------
listed() { [ "$(grep -cs '^rank' stalled/ranks.txt)" = "$1" ]; }
for n in 2 4; do
  rm -rf stalled
  start $n "$deck" job.dir=stalled job.timeout_minutes=0.03 \
    optim.n_steps=1000000
  wait_for listed $n
  kill -STOP "$(pid_of 1)"
  ended
  test_that "$n ranks, rank 1 stopped: exit code 5, the line names it" eval \
    "[ $rc = 5 ] && [ $took -lt 30 ] &&
     one_line 'error: no progress: rank 1 (pid $(pid_of 1) .*$((n - 1)) of $n ranks wait'"
  test_that "$n ranks: those that wait have left their places" eval \
    "[ \$(grep -c '^rank .* stalled .* call ' stalled/ranks.txt) -ge 1 ]"
done

# --- a number that is not finite, on one rank ------------------------------------
# Token 200 is in one of two rows, its embedding is NaN.
awk 'BEGIN {
  for (row = 0; row < 2; row++) {
    printf "{\"ids\":["
    for (i = 0; i < 32; i++) printf "%s%d", i ? "," : "", row && i == 9 ? 200 : i
    print "]}"
  }
}' >rows.jsonl
printf "&job kind='prepare' /\n&prepare input='rows.jsonl', seq_len=32 /\n" \
  >rows.nml
need 1 rows.nml prepare.output=rows.h5
need 1 "$deck" job.dir=first optim.n_steps=1 ckpt.save_every=1
need 1 "$top/input/export.nml" model.from=first job.dir=nan
st=nan/model.safetensors
head_len=$(od -An -t u8 -N 8 $st | tr -d ' ')
set -- $(head -c $((head_len + 8)) $st | tr '{' '\n' |
  sed -n '/embeddings.weight/{n;s/.*"data_offsets":\[\([0-9]*\),.*/\1/p;}')
printf '\000\000\300\177' | dd of=$st bs=1 conv=notrunc 2>/dev/null \
  seek=$((8 + head_len + $1 + 200 * 32 * 4))
rm nan/hymn_lineage.json # it is of the folder as it was
for zero in 0 3; do
  rm -rf diverged
  start 2 "$deck" model.from=nan data.train=rows.h5 data.seq_len=0 \
    data.global_batch=2 job.dir=diverged optim.n_steps=5 ckpt.save_every=1 \
    optim.zero=$zero
  ended
  test_that "NaN on one rank, zero $zero: all end with 6, one line" eval \
    "[ '$(codes)' = ' 2 6;' ] && one_line 'error: step 1: loss'"
  test_that 'kept: the state before, and which rank had it' eval \
    "[ \$(grep -c '^rank .*own targets -*nan' diverged/diverged/*.txt) = 1 ] &&
     [ \$(grep -c '^rank .*own targets [0-9]' diverged/diverged/*.txt) = 1 ] &&
     grep -q 'backbone.embeddings.weight' diverged/diverged/*.txt &&
     [ -e diverged/diverged/step_0000000.h5 ]"
  test_that 'and not where a resume would find it' eval \
    '[ ! -e diverged/latest ] && [ -z "$(ls diverged/*.h5 2>/dev/null)" ]'
done

# --- a directory that can be read only --------------------------------------------
# Root writes where modes forbid it: then a file system of its own.
mkdir -p fs
unlock() { chmod u+w fs/run; }
lock() { chmod u-w fs/run; }
trap 'umount fs 2>/dev/null' EXIT
if [ "$(id -u)" = 0 ]; then
  unlock() { mount -o remount,rw fs; }
  lock() { mount -o remount,ro fs; }
fi
if [ "$(id -u)" != 0 ] || mount -t tmpfs -o size=64m none fs 2>/dev/null; then
  need 2 "$deck" job.dir=fs/run optim.n_steps=20
  lock
  run 2 "$deck" job.dir=fs/run ckpt.load=auto optim.n_steps=30
  test_that 'read-only run directory: exit code 3, one line' eval \
    "[ $rc = 3 ] && one_line 'error: fs/run'"
  unlock
  need 2 "$deck" job.dir=whole.fs optim.n_steps=30
  need 2 "$deck" job.dir=fs/run ckpt.load=auto optim.n_steps=30
  test_that 'its checkpoints are as before and go on' same_run whole.fs fs/run 30
fi

# --- kills at random moments ------------------------------------------------------
n_killed=0 n_in_save=0 n_torn=0 slowest=0 n=0
while [ $n_killed -lt 10 ] && [ $n -lt 20 ]; do
  n=$((n + 1))
  start 2 "$deck" job.dir=kills ckpt.load=auto ckpt.save_every=1 ckpt.keep=3 \
    optim.n_steps=2000
  kill_once kills 2 || ended
done
to=$(($(sed -n 's/^step_0*\([0-9]*\)\.h5/\1/p' kills/latest) + 1))
need 2 "$deck" job.dir=kills ckpt.load=auto optim.n_steps=$to
need 2 "$deck" job.dir=whole.kills optim.n_steps=$to
test_that "$n_killed kills ($n_in_save in a save), then $to steps bit for bit" \
  eval '[ $n_killed = 10 ] && [ $slowest -lt 60 ] && same_run whole.kills kills $to'

# --- bits that flip ------------------------------------------------------------------
ckpt=whole.kills/step_$(printf %07d $to).h5
bytes=$(wc -c <"$ckpt")
refused=0
for i in 1 2 3 4 5 6 7 8 9 10; do
  random 32768
  at=$((picked * (bytes / 32768) + i))
  random 8
  old=$(od -An -t u1 -j $at -N 1 "$ckpt")
  cp "$ckpt" flipped.h5
  printf "\\$(printf %o $((old ^ (1 << picked))))" |
    dd of=flipped.h5 bs=1 seek=$at conv=notrunc 2>/dev/null
  run 1 "$deck" job.dir=flipped ckpt.load=flipped.h5 optim.n_steps=$((to + 1))
  case $rc in 3 | 4) one_line 'error: flipped.h5' && refused=$((refused + 1)) ;; esac
done
test_that "$refused of 10 flipped bits refused" [ $refused = 10 ]

# --- the newest checkpoint is cut -------------------------------------------------
need 2 "$deck" job.dir=cut optim.n_steps=20 ckpt.save_every=5 ckpt.keep=3
head -c 20000 cut/step_0000020.h5 >cut/x
mv cut/x cut/step_0000020.h5
need 2 "$deck" job.dir=cut ckpt.load=auto optim.n_steps=30
test_that 'a note says which one is taken' grep -q 'step_0000015.h5' err
need 2 "$deck" job.dir=whole.cut optim.n_steps=30
test_that 'and the run is the one that was not cut' same_run whole.cut cut 30
finish
