#!/bin/sh
# lineage.sh: training on indexed data; what each output was made from, and
# `--inspect --verify`, which hashes again.
. "$(dirname "$0")/lib.sh"
fixture=$here/fixtures

# refused NAME CODE WORDS ARGS...: exit code, one line with the words.
refused() {
  name=$1 code=$2 words=$3
  shift 3
  run 1 "$@"
  if [ $rc = "$code" ] && [ "$(grep -c '^hymn: error: ' err)" = 1 ] &&
    grep -q -- "$words" err; then
    ok "$name"
  else
    not_ok "$name" "exit code $rc, wanted $code and '$words'"
  fi
}

# verified NAME TEXT FILE INPUT...: --verify succeeds and prints a line TEXT.
verified() {
  name=$1 text=$2
  shift 2
  run 1 --inspect --verify "$@"
  if [ $rc = 0 ] && grep -q -- "$text" out; then
    ok "$name"
  else
    not_ok "$name" "exit code $rc, no '$text'"
  fi
}

# flip FILE PLACE: another byte there
flip() {
  printf '\377' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

need 2 "$here/decks/prepare.nml" prepare.output=text.h5
need 2 "$here/decks/text.nml" data.train=text.h5 job.dir=train \
  optim.n_steps=2 ckpt.save_every=2
need 1 "$top/input/export.nml" model.from=train job.dir=folder
need 1 "$here/decks/text.nml" data.train=text.h5 job.dir=again \
  model.from=folder optim.n_steps=1 ckpt.save_every=1
for f in train folder again text.h5; do
  verified "--verify of $f" '^verified  ' $f
done
verified 'a checkpoint was made from packed data' '(packed data)' train text.h5
verified 'an export was made from both' '(checkpoint <- packed data)' \
  folder text.h5 train
verified 'a run from an export carries all of it' \
  '(weight folder <- checkpoint <- packed data)' again folder text.h5
verified 'and from the texts' '(checkpoint <- packed data <- input)' \
  folder "$fixture/books.jsonl" "$fixture/play.txt"
verified 'and with the tokenizer' \
  '(checkpoint <- packed data <- tokenizer)' folder "$fixture/tokenizer"
refused 'a file that was not used' 4 'README: is nothing that train' \
  --inspect --verify train "$fixture/README"
refused 'a later checkpoint was not used' 4 'again: is nothing that folder' \
  --inspect --verify folder again
refused '--inspect of two files' 1 'usage' --inspect train text.h5

# what was changed afterwards
cp text.h5 other.h5
flip other.h5 $(($(offset_of other.h5 /tokens) + 100))
refused 'a changed packed file' 4 'other.h5' --inspect --verify other.h5
mkdir torn && cp train/step_0000002.h5 torn/
flip torn/step_0000002.h5 $(($(wc -c <torn/step_0000002.h5) - 6000))
refused 'a changed checkpoint' 4 'damaged' --inspect --verify torn
cp -r folder changed
flip changed/model.safetensors $(($(wc -c <changed/model.safetensors) - 100))
refused 'a changed weight folder' 4 'changed/hymn_lineage.json' \
  --inspect --verify changed
refused 'a run from a changed folder' 4 'changed/hymn_lineage.json' \
  "$here/decks/text.nml" data.train=text.h5 job.dir=no model.from=changed
rm changed/hymn_lineage.json
verified 'a weight folder without a note' 'not known' changed

run 1 --inspect "$fixture/parquet/nested.parquet"
test_that '--inspect of Parquet' grep -q '^column  *messages' out
verified '--verify of Parquet' '^verified  input' \
  "$fixture/parquet/nested.parquet"
need 1 "$here/decks/prepare.nml" prepare.output=kept.h5 \
  prepare.keep_parts=.true.
verified '--verify of a receipt' '^verified  note' kept.h5.parts/00000000.json
printf '\001' | dd of=kept.h5.parts/00000000.tok bs=1 seek=9 conv=notrunc \
  2>/dev/null
refused 'a receipt of other files' 4 'files of its shard' \
  --inspect --verify kept.h5.parts/00000000.json
run 1 --inspect folder/hymn_lineage.json
test_that '--inspect of a note' grep -q '<- packed data' out

# indexed data as they are
run 1 --inspect "$fixture/indexed/megatron_u16"
test_that '--inspect of indexed data' grep -q '^tokens  *6708' out
verified '--verify of indexed data' '^verified  indexed data' \
  "$fixture/indexed/megatron_u16.bin"
need 1 "$here/decks/text.nml" data.train="$fixture/indexed/megatron_u16" \
  data.seq_len=64 job.dir=one optim.n_steps=4 ckpt.save_every=4
need 2 "$here/decks/text.nml" data.train="$fixture/indexed/megatron_u16.idx" \
  data.seq_len=64 job.dir=two optim.n_steps=4 ckpt.save_every=4
test_that 'training on indexed data, 1 and 2 ranks' \
  awk -f "$here/compare-csv.awk" -v tol='loss=1e-5 gnorm=1e-4' \
  one/history.csv two/history.csv
# 105 rows an epoch: stopped before its end, gone on into the next
content() { "$hymn" --inspect "$1" | sed -n 's/^content *//p'; }
# trains STEPS ARGS...
trains() {
  steps=$1
  shift
  need 1 "$here/decks/text.nml" data.train="$fixture/indexed/megatron_u16" \
    data.seq_len=64 optim.decay=28 optim.n_steps="$steps" \
    ckpt.save_every="$steps" "$@"
}
trains 28 job.dir=whole
trains 20 job.dir=half
trains 28 job.dir=half ckpt.load=half
test_that 'training on indexed data stopped and resumed' \
  [ "$(content whole)" = "$(content half)" ]

need 2 "$here/decks/prepare.nml" prepare.output=mega prepare.format=megatron
need 1 "$here/decks/text.nml" data.train=mega data.seq_len=64 job.dir=three \
  optim.n_steps=1 ckpt.save_every=1
verified 'indexed data carry their texts' '(indexed data <- input)' \
  three mega "$fixture/play.txt"
printf '\001' | dd of=mega.bin bs=1 seek=100 conv=notrunc 2>/dev/null
refused 'indexed data that were changed' 4 'mega.lineage.json' \
  --inspect --verify mega
verified 'a checkpoint was made from indexed data' '(indexed data)' \
  two "$fixture/indexed/megatron_u16"
refused 'ids beyond the vocabulary' 4 'megatron_i32' "$here/decks/text.nml" \
  data.train="$fixture/indexed/megatron_i32" data.seq_len=64 job.dir=no
finish
