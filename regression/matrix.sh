#!/bin/sh
# matrix.sh: what one layout saves another loads and saves again: the same
# content, the same moments; and each layout resumes its own bit for bit.
. "$(dirname "$0")/lib.sh"
deck=$top/input/pretrain.nml
every='log.plot=.false. data.valid= data.seq_len=64 data.global_batch=8
  model.vocab=777 optim.schedule=constant optim.warmup=0 ckpt.save_every=2 ckpt.keep=0'

# ranks and keys of a layout: kv heads and groups repeated over tp, a vocabulary
# that nothing divides, the table on two stages, every way to share states
layout() {
  case $1 in
  one) echo 1 ;;
  dp) echo 2 optim.zero=3 ;;
  tp) echo 4 grid.tp=4 grid.sp=.true. grid.ep=4 ckpt.async=.true. ;;
  pp) echo 4 grid.pp=2 optim.zero=1 data.micro_batch=2 ;;
  cp) echo 4 grid.cp=2 grid.ep=2 ;;
  all) echo 8 grid.tp=2 grid.sp=.true. grid.pp=2 grid.ep=2 optim.zero=3 ;;
  long) echo 8 grid.tp=2 grid.cp=2 grid.ep=8 optim.zero=3 ckpt.async=.true. ;;
  esac
}

# train LAYOUT KEYS...
train() {
  set -- $(layout "$1") "$@"
  ranks=$1 keys=
  shift
  for k; do
    case $k in *=*) keys="$keys $k" ;; esac
  done
  need "$ranks" "$deck" $every $keys
}

content() { "$hymn" --inspect "$1" | sed -n 's/^content *//p'; }
same_content() { [ -n "$(content "$1")" ] && [ "$(content "$1")" = "$(content "$2")" ]; }

for l in one dp tp pp cp all long; do
  train $l job.dir=$l optim.n_steps=4
  train $l job.dir=$l.2 optim.n_steps=4 ckpt.load=$l ckpt.step=2
  test_that "layout $l resumes bit for bit" \
    h5diff -q $l/step_0000004.h5 $l.2/step_0000004.h5 /model
  test_that '... moments too' \
    h5diff -q $l/step_0000004.h5 $l.2/step_0000004.h5 /optim
done
for pair in 'one tp' 'tp long' 'long dp' 'dp pp' 'pp all' 'all cp' 'cp one' \
  'tp one' 'all dp' 'dp long' 'long pp' 'pp tp'; do
  from=${pair% *} to=${pair#* }
  train "$to" job.dir="$from.$to" optim.n_steps=4 ckpt.load="$from"
  a=$from/step_0000004.h5 b=$from.$to/step_0000004.h5
  test_that "saved under $from, loaded and saved under $to: content" \
    same_content $a $b
  test_that '... weights, biases' h5diff -q $a $b /model
  test_that '... moments' h5diff -q $a $b /optim
done
test_that '--inspect shows the layout' \
  [ "$("$hymn" --inspect all/step_0000004.h5 | sed -n 's/^layout *//p')" = \
    'tp=2 sp=1 ep=2 cp=1 dp=2 pp=2 zero=3 pp_cut=3,1' ]

# memory that the model takes on the fullest rank, in MiB, and as planned
for z in 0 3; do
  need 4 "$here/decks/states.nml" job.dir=states.$z optim.zero=$z
  sed -n 's/^memory taken since.* at most \([0-9.]*\) MiB.*/\1/p' out >taken.$z
  "$hymn" --dry-run "$here/decks/states.nml" optim.zero=$z grid.n_ranks=4 |
    awk '$1 == "sum" { print $2 / 1048576; exit }' >planned.$z
  test_that "optim.zero=$z: $(cat taken.$z) MiB, planned $(cat planned.$z)" \
    awk -v a="$(cat taken.$z)" -v b="$(cat planned.$z)" \
    'BEGIN { exit !(a > 0 && b / a > 0.95 && b / a < 1.05) }'
done
test_that 'zero 3 on 4 ranks: at most a third of zero 0' \
  awk -v a="$(cat taken.3)" -v b="$(cat taken.0)" 'BEGIN { exit !(3 * a <= b) }'
finish
