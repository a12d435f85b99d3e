#!/bin/sh
# published.sh: the ready decks for published data, on small files that lie as
# the real ones do.
. "$(dirname "$0")/lib.sh"
tokens=$here/fixtures/tokenizer

# 120 texts and conversations: enough for the shares 98, 1, 1
awk 'BEGIN { for (i = 1; i <= 120; i++)
  printf "{\"text\":\"text %d of a small set, %d words\"}\n", i, i % 7 }' >texts
awk 'BEGIN { for (i = 1; i <= 120; i++)
  printf "{\"messages\":[{\"role\":\"user\",\"content\":\"what is %d?\"},"\
    "{\"role\":\"assistant\",\"content\":\"a number\","\
    "\"reasoning_content\":\"hm\"}],\"used_in\":[\"nano_v3\"]}\n", i }' >talks

# lay_out NAME RECORDS: the blend and all it names in a folder of that name.
lay_out() {
  mkdir -p "$1" && cp "$top/input/blends/$1.json" "$1" || return
  sed -n 's/.*"path": "\([^"]*\)".*/\1/p' "$1/$1.json" | sort -u |
    while read -r path; do
      case $path in
      *.jsonl) file=$1/$path ;;
      *) file=$1/$path/train-00000.jsonl ;;
      esac
      mkdir -p "${file%/*}" && cp "$2" "$file"
    done
}

# ready DECK NAME KEYS...
ready() {
  deck=$1 blend=$2
  shift 2
  need 2 "$top/input/$deck.nml" prepare.blend="$blend/$blend.json" \
    prepare.tokenizer="$tokens" prepare.output="$blend.out" "$@"
}

# train_sources FILE: how many data sets it has for training.
train_sources() {
  awk '/"valid"/ { exit } /"datasets\// { n++ } END { print n + 0 }' "$1"
}

for blend in nano super ultra; do
  lay_out $blend texts
  ready prepare-pretrain $blend prepare.seq_len=64
  case $blend in
  nano) want='24 21' ;;
  super) want='29 27' ;;
  ultra) want='29 28' ;;
  esac
  test_that "$blend: data sets of both phases" [ "$want" = \
    "$(train_sources $blend.out/blend.json) $(
      train_sources $blend.out/blend_phase2.json)" ]
  test_that "$blend: validation and test sets too" \
    eval "grep -q data_valid.h5 $blend.out/blend.json &&
      grep -q data_test.h5 $blend.out/blend_phase2.json"
  test_that "$blend: the report tells the keys for the training" \
    grep -q 'data.train=.*data.train_2=.*data.switch_tokens=[0-9]*$' out
  steps=$(sed -n 's/.*data.switch_tokens=\([0-9]*\)$/\1/p' out |
    awk '{ print $1 % (3072 * 8192) }')
  test_that "$blend: the first phase ends at a step of input/$blend.nml" \
    [ "$steps" = 0 ]
done
test_that 'ultra: the law is in the second phase alone' \
  eval "! grep -q legal ultra.out/blend.json &&
    grep -q legal ultra.out/blend_phase2.json"
test_that 'data sets of both phases are prepared once' \
  [ "$(echo ultra.out/datasets/*/data_train.h5 | wc -w)" = 30 ]

lay_out super-long texts
ready prepare-pretrain super-long prepare.seq_len=64
test_that 'super-long: one phase' \
  [ "$(train_sources super-long.out/blend.json)" = 28 ]

for blend in nano-sft super-sft; do
  lay_out $blend talks
  ready prepare-sft $blend prepare.seq_len=256
  test_that "$blend: all data sets" \
    [ "$(train_sources $blend.out/blend.json)" = 12 ]
done
test_that 'super-sft: the weights are the published ones' \
  eval "tr -d ' \n' <super-sft.out/blend.json |
    grep -q '\"14.3\",\"datasets/instruction-following-chat/data_train.h5\"'"
test_that 'super-sft: only answers are learned' \
  eval "'$hymn' --inspect super-sft.out/datasets/swe/data_train.h5 |
    grep '^loss weights' | grep -qv 'all 1'"

# two phases of a training: 12 steps of 4 rows of 64 tokens, then 12
need 2 "$here/decks/text.nml" data.train=nano.out/blend.json \
  data.train_2=nano.out/blend_phase2.json data.switch_tokens=3072 \
  job.dir=run
test_that 'nano: training goes through both phases' \
  eval "grep -q '^test loss [0-9]' out && [ -s run/history.csv ]"

rm -r nano/nvidia/Nemotron-CC-Code-v1 nano.out
run 1 "$top/input/prepare-pretrain.nml" prepare.blend=nano/nano.json \
  prepare.tokenizer="$tokens" prepare.output=nano.out
test_that 'a data set that is not there is an error, before any is prepared' \
  eval "[ $rc = 3 ] && grep -q 'Nemotron-CC-Code-v1' err && [ ! -e nano.out ]"
finish
