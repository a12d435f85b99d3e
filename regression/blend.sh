#!/bin/sh
# blend.sh: training on several sources: shares, phases, reading ahead, rows
# dealt by cost, a kill inside of phase 2, what may not change on the way.
. "$(dirname "$0")/lib.sh"
. "$here/kill.sh"
deck=$here/decks/text.nml
idx=$here/fixtures/indexed/megatron_u16

need 1 "$here/decks/prepare.nml" prepare.output=a.h5 \
  prepare.input="$here/fixtures/books.jsonl"
need 1 "$here/decks/prepare.nml" prepare.output=b.h5 \
  prepare.input="$here/fixtures/play.txt"
mkdir sub
printf '{"train": ["3", "../a.h5", "1", "../b.h5"], "valid": "1 ../b.h5",
 "test": ["1", "../a.h5"]}' >sub/one.json
printf '{"train": ["1", "../a.h5", "1", "../b.h5"], "valid": [], "test": ""}' \
  >sub/two.json

# 24 steps of 4 rows of 64 tokens: 48 rows, then 48 of the second phase
train() {
  n=$1 dir=$2
  shift 2
  need "$n" "$deck" data.train=sub/one.json data.train_2=sub/two.json \
    data.switch_tokens=3072 ckpt.save_every=6 ckpt.keep=0 job.dir="$dir" "$@"
}
same_tensors() {
  h5diff -q "$1/step_0000024.h5" "$2/step_0000024.h5" /model &&
    h5diff -q "$1/step_0000024.h5" "$2/step_0000024.h5" /optim
}

train 2 whole data.prefetch=2
test_that 'planned and read: 36 and 24 rows of the first source' \
  [ "$(grep -c 'a.h5: share 0.7500, then 0.5000; 60 rows (0.6250)' out)" = 2 ]
test_that 'tokens of the second source' \
  grep -q 'b.h5: .* 36 rows (0.3750), .* 2[23][0-9][0-9] tokens' out
test_that 'validation and test set by the file of data.train' \
  eval "grep -q '^validation loss [0-9]' out && grep -q '^test loss [0-9]' out"
test_that 'the lineage has the blend and its files' \
  eval "'$hymn' --inspect whole/step_0000024.h5 >tree &&
    grep -q '<- blend ' tree && [ \$(grep -c '<- packed data ' tree) = 2 ]"

# neither the layout nor the thread nor the deal change what is learned
columns whole/history.csv 1 24 >want
train 2 alone data.prefetch=0
columns alone/history.csv 1 24 >got
test_that 'without reading ahead: the same history' cmp want got
test_that '... and the same bits' same_tensors whole alone
for layout in '1 data.balance=.false.' '1 data.balance=.true.' \
  '2 data.balance=.true.' '4 data.balance=.true.' '4 data.prefetch=1' \
  '2 grid.tp=2' '2 grid.cp=2 data.balance=.true.' '2 grid.pp=2' \
  '4 grid.tp=2 data.balance=.true.'; do
  # shellcheck disable=SC2086 # words on purpose
  train ${layout%% *} other ${layout#* } ckpt.save_every=0
  if text=$(awk -f "$here/compare-csv.awk" \
    -v tol='step=0 tokens=0 loss=1e-5 lr=1e-9 gnorm=1e-3 valid_loss=1e-5' \
    whole/history.csv other/history.csv); then
    ok "ranks, key = $layout: $text"
  else
    not_ok "ranks, key = $layout" "$text"
  fi
  rm -r other
done

# killed inside of phase 2, resumed: bit for bit
start 2 "$deck" data.train=sub/one.json data.train_2=sub/two.json \
  data.switch_tokens=3072 ckpt.save_every=6 ckpt.keep=0 job.dir=killed
wait_for said '^saved killed/step_0000018' && kill -9 "$(cat pid.1)"
wait $job
rm -f killed/step_0000024.h5
train 2 killed ckpt.load=killed ckpt.step=18 data.prefetch=3
columns killed/history.csv 1 24 >got
test_that 'killed in phase 2 and resumed: the same bits' \
  same_tensors whole killed
test_that '... and the same history' cmp want got

# the same files under other names are the same data; others are refused
cp a.h5 copy.h5
run 1 "$deck" data.train=3,copy.h5,1,b.h5 data.train_2=1,b.h5,1,copy.h5 \
  data.switch_tokens=3072 job.dir=moved ckpt.load=whole ckpt.step=18
test_that 'copies of the files go on' [ $rc = 0 ]
refuse() {
  name=$1 words=$2
  shift 2
  run 1 "$deck" job.dir=refused "$@"
  if [ $rc = 4 ] && grep -q "$words" err; then
    ok "$name"
  else
    not_ok "$name" "exit code $rc"
  fi
}
refuse 'other weights do not' 'was trained on' data.train=2,a.h5,1,b.h5 \
  data.train_2=sub/two.json data.switch_tokens=3072 ckpt.load=whole
refuse 'nor does another switch' 'was trained on' data.train=sub/one.json \
  data.train_2=sub/two.json data.switch_tokens=2816 ckpt.load=whole
refuse 'nor another file' 'was trained on' data.train=a.h5 ckpt.load=whole

run 1 "$deck" job.dir=refused data.train=sub/one.json ckpt.load=whole \
  data.train_2=sub/two.json data.switch_tokens=3072 data.shuffle=.false.
test_that 'nor another order of rows' \
  eval "[ $rc = 2 ] && grep -q 'data.shuffle: is 0' err"

# packed, indexed and random rows in one mix; shares of one indexed file
run 2 "$deck" data.train=2,a.h5,1,"$idx",1,mock data.seq_len=64 \
  data.valid="$idx.idx" data.test="$idx.bin" data.split=8,1,1 \
  model.vocab=65536 optim.n_steps=4 job.dir=mixed
test_that 'packed, indexed and random rows' [ $rc = 0 ]
test_that '... in their shares' eval "grep -q 'a.h5: share 0.5000; 8 rows' out &&
  grep -q 'mock: share 0.2500; 4 rows' out"
finish
