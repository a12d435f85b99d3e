#!/bin/sh
# resume.sh: a run that stops and goes on is the run that did not stop, bit for
# bit under the same layout, within rounding under another.
. "$(dirname "$0")/lib.sh"
deck=$top/input/pretrain.nml

# the end of the schedule is fixed, so that a shorter run is a beginning
train() {
  n=$1
  shift
  need "$n" "$deck" optim.decay=20 log.plot=.false. ckpt.keep=0 "$@"
}

same_tensors() {
  h5diff -q "$1" "$2" /model && h5diff -q "$1" "$2" /optim
}

for n in 1 2 4; do
  train $n job.dir=whole.$n
  train $n job.dir=part.$n optim.n_steps=10
  train $n job.dir=part.$n ckpt.load=part.$n
  columns whole.$n/history.csv 1 20 >a
  columns part.$n/history.csv 1 20 >b
  test_that "$n ranks: history of 10 and 10 steps is that of 20" cmp a b
  test_that "$n ranks: weights and moments are the same bits" \
    same_tensors whole.$n/step_0000020.h5 part.$n/step_0000020.h5
done

# another number of ranks goes on with the same numbers
sed -n '1p;12,$p' whole.2/history.csv | cut -d, -f1-6 >rest.csv
for n in 1 4; do
  train $n job.dir=from2.$n ckpt.load=whole.2 ckpt.step=10
  cut -d, -f1-6 from2.$n/history.csv >got.csv
  if text=$(awk -f "$here/compare-csv.awk" \
    -v tol='step=0 tokens=0 loss=1e-6 lr=1e-9 gnorm=1e-5 valid_loss=1e-6' \
    rest.csv got.csv); then
    ok "written on 2 ranks, read on $n: $text"
  else
    not_ok "written on 2 ranks, read on $n" "$text"
  fi
done

# reading and writing under another layout changes nothing at all
need 2 "$top/input/import.nml" model.from=whole.1 job.dir=moved.2
need 4 "$top/input/import.nml" model.from=whole.1 job.dir=moved.4
for n in 2 4; do
  test_that "written on 1 rank, read and written on $n: same bits" h5diff -q \
    whole.1/step_0000020.h5 moved.$n/step_0000000.h5 /model
done

# the MLP pattern cut over tp: into one file, out of it on other layouts
mlp=$here/decks/mlp.nml
need 4 "$mlp" job.dir=tp grid.tp=2 ckpt.save_every=6
for layout in '1 1' '2 2' '4 4'; do
  n=${layout% *} tp=${layout#* }
  need "$n" "$mlp" job.dir=tp.$n grid.tp="$tp" ckpt.load=tp ckpt.step=6
  sed -n '1p;8,$p' tp/history.csv >rest.csv
  if text=$(awk -f "$here/compare-csv.awk" \
    -v tol='step=0 tokens=0 loss=1e-6 lr=1e-9 gnorm=1e-5 valid_loss=1e-6' \
    rest.csv tp.$n/history.csv); then
    ok "written with tp=2 and dp=2, read with tp=$tp on $n: $text"
  else
    not_ok "written with tp=2 and dp=2, read with tp=$tp on $n" "$text"
  fi
done

# 'auto' starts afresh, then goes on
train 2 job.dir=auto ckpt.load=auto optim.n_steps=10
train 2 job.dir=auto ckpt.load=auto
columns whole.2/history.csv 1 20 >a
columns auto/history.csv 1 20 >b
test_that "ckpt.load='auto'" cmp a b
test_that "latest names the newest" grep -qx 'step_0000020.h5' auto/latest

# ckpt.keep
need 1 "$deck" job.dir=keep log.plot=.false. ckpt.save_every=4 ckpt.keep=2
test_that 'ckpt.keep=2 leaves two' [ "$(ls keep/*.h5 | wc -l)" = 2 ]

# the saved deck repeats the run
need 2 whole.2/resolved.nml job.dir=repeat
columns repeat/history.csv 1 20 >b
test_that 'resolved.nml repeats the run' cmp a b
finish
