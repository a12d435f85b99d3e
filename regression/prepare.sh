#!/bin/sh
# prepare.sh: the job prepare: kills, full disks, other formats, blends. Its
# results are those of an unbroken run.
. "$(dirname "$0")/lib.sh"
. "$here/kill.sh"
tokens=$here/fixtures/tokenizer

one_line() {
  [ "$(grep -c '^hymn: ' err)" = 1 ] && grep -q "^hymn: .*$1" err
}
deck=$here/decks/prepare.nml
prepare() { # RANKS OUTPUT KEYS...
  n=$1 to=$2
  shift 2
  need "$n" "$deck" prepare.output="$to" "$@"
}
same() { # FILES: of both names, for each of the rest
  for f in "$@"; do
    cmp -s "a$f" "b$f" || return 1
  done
}

# --- the same on any number of ranks --------------------------------------------
# Conversations, pairs and text together: weights, several documents a record.
cat "$here/fixtures/data/chat.jsonl" "$here/fixtures/data/pair.jsonl" \
  "$here/fixtures/books.jsonl" >mixed.jsonl
set -- prepare.input=mixed.jsonl prepare.seq_len=512 \
  prepare.packing=best_fit prepare.over_long=split prepare.split=8,1,1 \
  prepare.shard_bytes=20000 curate.exact=.true. curate.near=.true.
prepare 1 a.h5 "$@"
for n in 2 4; do
  prepare $n b.h5 "$@"
  test_that "packed rows with weights, split, on $n ranks: the same files" \
    same _train.h5 _valid.h5 _test.h5
done
prepare 2 b.h5 "$@" prepare.shard_bytes=100000000
test_that 'and from one shard' same _train.h5 _valid.h5 _test.h5
test_that 'nothing else is left' [ "$(echo [ab]*)" = \
  'a_test.h5 a_train.h5 a_valid.h5 as-rank b_test.h5 b_train.h5 b_valid.h5' ]

# rows of packed conversations stay together
prepare 2 sft.h5 prepare.input="$here/fixtures/parquet/packed_snappy.parquet" \
  prepare.packing=best_fit prepare.seq_len=1024 prepare.over_long=drop
test_that 'packed conversations: 12 documents in their 3 rows' eval \
  "'$hymn' --inspect sft.h5 >out && grep -q '^documents  *12$' out &&
   grep -q '^rows  *3 of' out"
both=$here/fixtures/parquet/packed_snappy.parquet,$here/fixtures/data/pair.jsonl
prepare 2 sft.h5 prepare.packing=best_fit prepare.seq_len=800 \
  prepare.over_long=drop prepare.input="$both"
test_that 'one that is longer than a row goes as a whole' eval \
  "'$hymn' --inspect sft.h5 | grep -q 'longer than a row: 3$'"

# --- a run that is killed ---------------------------------------------------------
# Long enough to be caught at work: lines of the play, each with a number.
for i in $(seq 600); do cat "$here/fixtures/play.txt"; done |
  tr -d '"\\' | awk 'NF { printf "{\"text\":\"%d %s\"}\n", n++ * 7919, $0 }' \
  >long.jsonl
set -- prepare.input=long.jsonl prepare.shard_bytes=50000 prepare.seq_len=2048 \
  prepare.packing=first_fit_shuffle prepare.over_long=split
prepare 2 a.h5 "$@"
n_killed=0 n=0
while [ $n_killed -lt 2 ] && [ $n -lt 12 ]; do
  n=$((n + 1))
  start 2 "$deck" prepare.output=b.h5 "$@"
  have=$(ls b.h5.parts 2>/dev/null | grep -c json)
  more() { [ "$(ls b.h5.parts 2>/dev/null | grep -c json)" -gt $((have + 3)) ]; }
  wait_for more && kill -9 "$(pid_of $((n % 2)))" && n_killed=$((n_killed + 1))
  ended
  [ -e b.h5 ] && break
done
test_that "killed $n_killed times: no file, and shards that are done" eval \
  '[ $n_killed -ge 1 ] && [ ! -e b.h5 ] && [ $have -gt 0 ]'
rm -f b.h5.parts/00000002.json
run 4 "$deck" prepare.output=b.h5 "$@"
test_that 'another number of ranks goes on' eval \
  "[ $rc = 0 ] && grep -q 'shards were there from an earlier run' out"
test_that 'and the file is that of a run without a break' same .h5

# --- full disks -----------------------------------------------------------------
# small BYTES: a file system with that room, in fs
mkdir -p fs
trap 'umount fs 2>/dev/null' EXIT
small() { mount -t tmpfs -o "size=$1" none fs 2>/dev/null; }
if [ "$(id -u)" = 0 ] && small 200k; then
  run 2 "$deck" prepare.output=fs/b.h5 "$@"
  test_that 'a disk too small for the parts: exit code 5, one line' eval \
    "[ $rc = 5 ] && one_line 'error: fs/b.h5.*space' && [ ! -e fs/b.h5 ]"
  mount -o remount,size=$(($(wc -c <a.h5) * 14 / 10)) fs
  run 2 "$deck" prepare.output=fs/b.h5 "$@"
  test_that 'a disk too small for the file' eval \
    "[ $rc = 5 ] && one_line 'error: fs/b.h5.*space' && [ ! -e fs/b.h5 ] &&
     [ ! -e fs/b.h5.tmp ]"
  mount -o remount,size=64m fs
  run 2 "$deck" prepare.output=fs/b.h5 "$@"
  test_that 'with more room it goes on' eval \
    "[ $rc = 0 ] && grep -q 'shards were there' out && cmp a.h5 fs/b.h5"
  umount fs
fi

# --- Megatron's format -------------------------------------------------------------
indexed=$here/fixtures/indexed
for n in 1 2 4; do
  prepare $n "megatron" prepare.input="$indexed/docs.jsonl" \
    prepare.format=megatron prepare.eos='<|endoftext|>'
  test_that "indexed data on $n ranks, byte for byte" eval \
    'cmp megatron.bin "$indexed/megatron_u16.bin" &&
     cmp megatron.idx "$indexed/megatron_u16.idx"'
done
test_that 'with its lineage' eval \
  "'$hymn' --inspect megatron | grep -q '<- tokenizer'"
prepare 2 from.h5 prepare.input=megatron.idx prepare.eos='<|endoftext|>'
prepare 2 to.h5 prepare.input="$indexed/docs.jsonl" prepare.eos='<|endoftext|>'
test_that 'and read again it is the text' h5diff -q from.h5 to.h5 /tokens

# --- a raw blend in two phases --------------------------------------------------------
mkdir -p hub/data
head -n 4 "$here/fixtures/books.jsonl" >hub/data/train-00000.jsonl
tail -n 1 "$here/fixtures/books.jsonl" >hub/data/test-00000.jsonl
cat >raw.json <<END
{"phases": [
  {"tokens": 8192, "datasets": [
    {"name": "books", "path": "hub", "split": "train", "weight": 0.75},
    {"name": "play", "path": "$here/fixtures/play.txt", "weight": "0.25"}]},
  {"tokens": 4096, "datasets": [
    {"name": "play", "path": "$here/fixtures/play.txt", "weight": 1},
    {"name": "pairs", "path": "$here/fixtures/data/pair.jsonl", "weight": 3,
     "reader": "pair"}]}]}
END
blended() { # RANKS
  run "$1" "$top/input/prepare.nml" prepare.blend=raw.json prepare.output=mix \
    prepare.tokenizer="$tokens" prepare.seq_len=64
}
blended 2
test_that 'two phases' eval "[ $rc = 0 ] && grep -q \
  \"data.train='mix/blend.json'.*_phase2.json' data.switch_tokens=8192\" out"
test_that 'a data set of both is prepared once' \
  [ "$(grep -c '^prepare: data set' out)" = 3 ]
test_that 'a split takes its files' eval \
  "grep -q 'hub/data/train-00000.jsonl' out && ! grep -q test-0 out"
cp -r mix mix.1
rm -r mix/datasets/play
blended 4
test_that 'what is there already stays, the rest is the same' eval \
  "[ $rc = 0 ] && [ \$(grep -c 'from an earlier run' out) = 2 ] &&
   diff -r mix mix.1"
run 2 "$here/decks/text.nml" data.train=mix/blend.json job.dir=run \
  data.train_2=mix/blend_phase2.json data.switch_tokens=8192 optim.n_steps=3
test_that 'and a training takes it' [ $rc = 0 ]

# refused CODE WORDS KEYS...: nothing is prepared
refused() {
  code=$1 words=$2
  shift 2
  rm -rf bad
  run 2 "$top/input/prepare.nml" prepare.tokenizer="$tokens" \
    prepare.output=bad/x "$@"
  test_that "$code: $words" eval \
    "[ $rc = $code ] && one_line \"error: .*$words\" && [ ! -e bad/x/blend.json ]"
}
refused 2 'prepare.input.*one of the two' prepare.blend=raw.json \
  prepare.input=long.jsonl
refused 3 'none.json' prepare.blend=none.json
sed 's/"weight": 3/"wieght": 3/' raw.json >typo.json
refused 4 'data set pairs.*did you mean .*weight' prepare.blend=typo.json
sed 's/"pair"/"pear"/' raw.json >reader.json
refused 2 'pear' prepare.blend=reader.json
sed 's/0.75/-0.75/' raw.json >negative.json
refused 4 'data set books.*weight' prepare.blend=negative.json
sed 's/"split": "train"/"split": "dev"/' raw.json >split.json
refused 3 'hub/data/dev' prepare.blend=split.json
refused 2 'prepare.template.*no template' prepare.input=long.jsonl \
  prepare.template=latin
refused 2 'prepare.packing' prepare.input=long.jsonl prepare.format=megatron \
  prepare.packing=best_fit
finish
