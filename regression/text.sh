#!/bin/sh
# text.sh: text to ids and back, packed data, sampling.
. "$(dirname "$0")/lib.sh"
unpack_cases
tokens=$here/fixtures/tokenizer
tokenize() {
  need 1 "$top/input/tokenize.nml" tokenize.tokenizer="$tokens" \
    tokenize.input="$1" tokenize.output="$2" "${3-tokenize.decode=.false.}"
}

# --- tokenize: every line of the vectors --------------------------------------
vectors=$tokens/encode.jsonl
sed 's/.*"ids": *\(\[[0-9, ]*\]\).*/{"ids":\1}/; s/, /,/g' "$vectors" >want
tokenize "$vectors" got
test_that "$(wc -l <want) lines of text to ids" cmp want got
sed -e 's/.*"ids_plain": *\(\[[0-9, ]*\]\).*/{"ids":\1}/; t' \
  -e 's/.*"ids": *\(\[[0-9, ]*\]\).*/{"ids":\1}/' "$vectors" | sed 's/, /,/g' \
  >want
tokenize "$vectors" got tokenize.plain=.true.
test_that 'special tokens as plain text' cmp want got
# ids to text: equal texts have equal ids, whatever the spelling in JSON
sed 's/.*"text": *\("\([^"\\]\|\\.\)*"\).*/{"text":\1}/' "$tokens/decode.jsonl" \
  >want.text
tokenize "$tokens/decode.jsonl" got.text tokenize.decode=.true.
tokenize want.text want tokenize.plain=.true.
tokenize got.text got tokenize.plain=.true.
test_that "$(wc -l <want) lines of ids to text" cmp want got

# invalid bytes become U+FFFD and are counted
printf '{"text":"\377"}\n{"text":"ok"}\n' >bad.jsonl
tokenize bad.jsonl got
test_that 'an invalid byte in JSON is replaced' \
  eval "head -n 1 got | grep -qx '{\"ids\":\[203,155,153\]}'"
test_that '... and counted' grep -q ' 1 invalid UTF-8' out

# what a post-processor puts around a line, when it is asked for
mkdir -p around
sed 's/"post_processor":{[^}]*}/"post_processor":{"type":"RobertaProcessing",'\
'"cls":["<s>",1],"sep":["<\/s>",2]}/' "$tokens/tokenizer.json" \
  >around/tokenizer.json
need 1 "$top/input/tokenize.nml" tokenize.tokenizer=around \
  tokenize.input=bad.jsonl tokenize.output=got tokenize.bos=.true.
test_that 'ids around a line' grep -qx '{"ids":\[1,203,155,153,2\]}' got
need 1 "$top/input/tokenize.nml" tokenize.tokenizer=around \
  tokenize.input=bad.jsonl tokenize.output=got
test_that '... only then' grep -qx '{"ids":\[203,155,153\]}' got

# --- prepare --------------------------------------------------------------------
prepare() {
  n=$1 to=$2
  shift 2
  need "$n" "$here/decks/prepare.nml" prepare.output="$to" "$@"
}
for n in 1 2 4; do prepare $n packed.$n.h5; done
test_that 'packed on 1 and 2 ranks: the same file' cmp packed.1.h5 packed.2.h5
test_that 'packed on 1 and 4 ranks: the same file' cmp packed.1.h5 packed.4.h5

# the same documents by other ways: gz, and ids as they are
gzip -c "$here/fixtures/books.jsonl" >books.jsonl.gz
gzip -c "$here/fixtures/play.txt" >play.txt.gz
tokenize "$here/fixtures/books.jsonl" ids.jsonl
prepare 2 gz.h5 prepare.input=books.jsonl.gz,play.txt.gz
prepare 1 ids.h5 prepare.input=ids.jsonl
prepare 2 text.h5 prepare.input="$here/fixtures/books.jsonl"
test_that 'gz gives the same tokens' h5diff -q packed.1.h5 gz.h5 /tokens
test_that 'ids give the same tokens' h5diff -q text.h5 ids.h5 /tokens

{
  printf 'caf\303\251 \377\376 end\n'
  printf 'a lone \303 start\n'
} >bad.txt
prepare 2 bad.h5 prepare.input=bad.txt
test_that 'invalid UTF-8 in text is counted' \
  eval "'$hymn' --inspect bad.h5 | grep -q 'bad_utf8 3'"

# --- packing and curation --------------------------------------------------------
for how in first_fit_decreasing first_fit_shuffle best_fit; do
  for n in 1 2; do
    prepare $n $how.$n.h5 prepare.packing=$how prepare.over_long=split
  done
  test_that "$how on 1 and 2 ranks: the same file" cmp $how.1.h5 $how.2.h5
done

# one document for each reason to go, among three that stay
words() { awk -v n="$1" -v w="$2" 'BEGIN { for (i = 1; i <= n; i++)
  printf "%s%s%d", (i > 1 ? " " : ""), w, i }'; }
doc() { printf '{"text":"%s"}\n' "$1"; }
{
  doc "$(words 60 a)"
  doc "$(words 60 b)"
  doc 'short'
  doc "$(words 60 a)"
  doc "$(words 59 b) changed"
  doc 'a line\na line\na line\nmore lines, to be long enough for the filter'
  doc "$(words 12 c) $(words 12 c) $(words 12 c) $(words 12 c)"
  doc "To be asked: $(words 20 q | tr q Q), and no more."
  doc "$(words 60 d)"
} >curate.jsonl
doc "$(words 20 q)" >eval.jsonl
curate() {
  prepare "$1" "curate.$1.h5" prepare.input=curate.jsonl curate.min_chars=30 \
    curate.max_repeat_lines=0.3 curate.max_repeat_ngrams=0.3 \
    curate.exact=.true. curate.near=.true. curate.decontaminate=eval.jsonl \
    prepare.shard_bytes=500
}
for n in 1 2 4; do curate $n; done
cp out report
test_that 'three of nine documents stay' grep -q '^prepare: 3 documents' report
for why in 'too short' 'repeated lines' 'repeated n-grams' contaminated \
  'exact duplicate' 'near duplicate'; do
  test_that "one goes: $why" grep -qx "prepare: dropped 1 ($why)" report
done
test_that 'curation on 1 and 2 ranks: the same file' cmp curate.1.h5 curate.2.h5
test_that 'curation on 1 and 4 ranks: the same file' cmp curate.1.h5 curate.4.h5

# readers: documents and tokens are those of other programs (fixtures/data)
records=$here/fixtures/data
reads() { # FILE READER KEYS...
  file=$1 want=$2
  shift 2
  grep -F "{\"file\": \"$file\", \"reader\": \"$want\"" \
    "$records/expected.jsonl" >lines
  n_docs=$(grep -o '"ids": ' lines | wc -l)
  n_ids=$(grep -o '"ids": \[[^]]*' lines | tr -cd ',\n' | wc -c)
  prepare 2 read.h5 prepare.input="$records/$file" \
    prepare.eos='<|endoftext|>' prepare.reader="${want%+*}" "$@"
  test_that "$file, $want: $n_docs documents, $n_ids tokens" \
    grep -q "prepare: $n_docs documents, $n_ids tokens" out
}
reads hellaswag.jsonl hellaswag
reads gsm8k.jsonl gsm8k
reads squad.json squad
reads squad.json squad_automodel
reads squad.json squad+template prepare.template=nemotron3
reads helpsteer3.jsonl helpsteer3
reads helpsteer3.jsonl helpsteer3+rejected prepare.preference=rejected
reads chat.jsonl chat
reads chat.jsonl tulu3
reads turns.jsonl chat+each prepare.turns=each
reads openmath.jsonl openmath
reads pair.jsonl pair

# --- generate: the greedy tokens of the decode case -----------------------------
decode=$cases/decode/expected.safetensors
# ints FILE NAME: an int64 tensor of a safetensors file.
ints() {
  head=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
  set -- "$1" $(dd if="$1" bs=1 skip=8 count="$head" 2>/dev/null |
    sed "s/.*\"$2\":{[^}]*\"data_offsets\":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/")
  od -An -v -t d8 -w8 -j $((8 + head + $2)) -N $(($3 - $2)) "$1" | tr -d ' '
}
as_line() { awk '{ s = s sep $1; sep = "," } END { print "{\"ids\":[" s "]}" }'; }

ints "$decode" prompt_ids | as_line >prompt.jsonl
ints "$decode" generated_ids | as_line >want
ids() { sed 's/.*\("ids":\[[0-9,]*\]\).*/{\1}/' "$1"; }
generate() {
  n=$1 to=$2
  shift 2
  need "$n" "$here/decks/generate.nml" generate.output="$to" "$@"
}
generate 1 got model.from="$cases/hybrid" generate.input=prompt.jsonl
test_that '32 greedy tokens' cmp want got

# three prompts of unequal length, in one batch, one by one, on more ranks
rows=$(ints "$decode" batch.prompt_lens | wc -l)
width=$(($(ints "$decode" batch.prompt_ids | wc -l) / rows))
new=$(($(ints "$decode" batch.generated_ids | wc -l) / rows))
: >three.jsonl
: >want
for row in $(seq "$rows"); do
  len=$(ints "$decode" batch.prompt_lens | sed -n "${row}p")
  ints "$decode" batch.prompt_ids | sed -n "$(((row - 1) * width + 1)),\$p" |
    head -n "$len" | as_line >>three.jsonl
  ints "$decode" batch.generated_ids |
    sed -n "$(((row - 1) * new + 1)),$((row * new))p" | as_line >>want
done
for n in 1 2 3; do
  generate $n got model.from="$cases/hybrid" generate.input=three.jsonl \
    generate.max_new="$new"
  test_that "$rows prompts of unequal length on $n ranks" cmp want got
done
# with experts over ranks one has fewer prompts than the others
for layout in grid.pp=2 grid.cp=2 grid.ep=4 'grid.pp=2 grid.ep=2' \
  'grid.tp=2 grid.sp=.true. grid.pp=2'; do
  # shellcheck disable=SC2086 # words on purpose
  generate 4 got model.from="$cases/hybrid" generate.input=three.jsonl \
    generate.max_new="$new" $layout
  test_that "... on 4 ranks, $layout" cmp want got
done
generate 1 got model.from="$cases/hybrid" generate.input=three.jsonl \
  generate.max_new="$new" generate.batch=1
test_that "$rows prompts one by one" cmp want got

# sampling: a function of the seed
sample() {
  n=$1 to=$2
  shift 2
  generate "$n" "$to" model.from="$cases/hybrid" generate.input=three.jsonl \
    generate.temperature=1.0 generate.top_k=200 generate.top_p=0.95 "$@"
}
sample 1 one job.seed=5
sample 1 again job.seed=5
sample 3 ranks job.seed=5
sample 2 single job.seed=5 generate.batch=1
sample 1 other job.seed=6
test_that 'a seed gives the same samples again' cmp one again
test_that '... on any number of ranks' cmp one ranks
test_that '... and in any batch' cmp one single
test_that 'another seed gives others' eval '! cmp -s one other'

# text: from a model that was trained on it
need 2 "$here/decks/text.nml" data.train=packed.1.h5 job.dir=train \
  ckpt.save_every=24
need 1 "$here/decks/generate.nml" model.from=train generate.tokenizer="$tokens" \
  generate.prompt='First Citizen:' generate.output=''
test_that 'a text prompt is continued' grep -q '^First Citizen:' out
printf '{"text":"First Citizen:"}\n{"text":"He said"}\n' >two.jsonl
generate 2 got model.from=train generate.tokenizer="$tokens" \
  generate.input=two.jsonl
test_that 'text and ids come out, a line for a line' \
  [ "$(grep -c '"text".*"ids"\|"ids".*"text"' got)" = 2 ]

# messages are the text that the template makes of them
printf '%s\n' '{"messages":[{"role":"user","content":"Who is there?"}]}' \
  '{"messages":[{"role":"user","content":"Hm."}],"tools":[{"name":"f"}]}' >m.jsonl
head -n 1 m.jsonl >one.jsonl
printf '%s%s\n' '{"text":"<|im_start|>system\n<|im_end|>\n<|im_start|>user\n' \
  'Who is there?<|im_end|>\n<|im_start|>assistant\n<think></think>"}' >t.jsonl
chat() {
  generate "$1" "$2" model.from=train generate.tokenizer="$tokens" \
    generate.input="$3" generate.max_new=12 generate.thinking=off
}
chat 1 want t.jsonl
chat 1 got one.jsonl
test_that 'messages are continued as their text is' cmp want got
chat 2 got m.jsonl
test_that '... on 2 ranks' eval 'head -n 1 got | cmp want -'
generate 1 got model.from=train generate.tokenizer="$tokens" \
  generate.input=one.jsonl generate.template=plain generate.max_new=12
printf '{"text":"User: Who is there?\\n\\nAssistant:"}\n' >t.jsonl
generate 1 want model.from=train generate.tokenizer="$tokens" \
  generate.input=t.jsonl generate.max_new=12
test_that '... and by another template' cmp want got
finish
