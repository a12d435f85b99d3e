#!/bin/sh
# badinput.sh: what is wrong is named in one line, every rank returns the code
# of its class, and nothing half-written stays. A case is
#
#   bad CODE 'words of the message' ARGS...
#
# Codes: 1 usage, 2 deck, 3 file, 4 data, 5 resources, 6 diverged. Words are a
# pattern of grep; more than one with .* between. What a case writes has to lie
# below new/; $may_leave names what may stay there.
. "$(dirname "$0")/lib.sh"
unpack_cases
deck=$top/input/pretrain.nml
text=$here/decks/text.nml
tokens=$here/fixtures/tokenizer
import=$top/input/import.nml
may_leave='^$'

# Each rank leaves its exit code and returns 0, else the launcher ends the rest.
cat >keep-code <<'END'
"$@"
echo $? >"code.${OMPI_COMM_WORLD_RANK-${PMIX_RANK-${PMI_RANK-0}}}"
END

# bad_on RANKS CODE WORDS ARGS...
bad_on() {
  n=$1 code=$2 words=$3
  shift 3
  ran="hymn $* ($n ranks, in $PWD)"
  rm -rf new code.*
  mkdir new
  MPI_RUN_TIMEOUT=60 sh "$here/mpi-run" "$n" sh keep-code "$hymn" "$@" \
    >out 2>err </dev/null
  name="$code: $words"
  codes=$(cat code.* 2>/dev/null | sort | uniq -c | tr -s ' ' | tr '\n' ';')
  left=$(find new ! -type d | sed 's|^new/||' | grep -v "$may_leave")
  if [ "$codes" != " $n $code;" ]; then
    not_ok "$name" "exit codes: $codes wanted $n of $code"
  elif [ "$(grep -c '^hymn: ' err)" != 1 ]; then
    not_ok "$name" "not one line"
  elif ! grep -q "^hymn: error: .*$words" err; then
    not_ok "$name" "other words"
  elif [ -n "$left" ]; then
    not_ok "$name" "left behind: $(echo "$left" | tr '\n' ' ')"
  else
    ok "$name"
  fi
}
bad() { bad_on 2 "$@"; }

# --- decks --------------------------------------------------------------------
printf "&job kind='pretrain' /\n&optim\n  lerning_rate = 1\n/\n" >key.nml
bad 2 'key.nml:3: unknown key optim.lerning_rate.*optim.lr' key.nml
printf "&job kind='pretrain' /\n&optm lr=1 /\n" >group.nml
bad 2 'group.nml:2: .*optm.*optim' group.nml
printf "&job kind='pretrian' /\n" >kind.nml
bad 2 "kind.nml: unknown job.kind 'pretrian'.*pretrain" kind.nml
printf "&job kind='pretrain'\n&optim lr=1 /\n" >open.nml
bad 2 'open.nml:' open.nml
printf "&job kind='pretrain /\n" >quote.nml
bad 2 'quote.nml:' quote.nml
: >empty.nml
bad 2 'empty.nml: .*job.kind' empty.nml
bad 3 'no_such.nml: ' no_such.nml
bad 2 'optim.lr=-1 .*out of bounds' "$deck" optim.lr=-1
bad 2 'optim.n_steps=many' "$deck" optim.n_steps=many
bad 2 'optim.schedule=.*constant.*wsd' "$deck" optim.schedule=linnear
bad 2 'optim.n_step.*optim.n_steps' "$deck" optim.n_step=3
bad 1 "oops" "$deck" oops
bad 2 'data.train: not set' "$deck" data.train=''
bad 2 'data.seq_len' "$deck" data.seq_len=0
bad 2 'optim.warmup=11' "$deck" optim.decay=10 optim.warmup=11 job.dir=new/run
bad 2 'optim.wsd_decay=9' "$deck" optim.decay=10 optim.wsd_decay=9 \
  job.dir=new/run
bad 2 'optim.lr_min=1' "$deck" optim.lr_min=1 job.dir=new/run
bad 2 'optim.zero=2: use 1 ' "$deck" optim.zero=2 job.dir=new/run
bad 5 "job.device='cuda'" "$deck" job.device=cuda job.dir=new/run
bad 2 'job.device=gpu .*cpu cuda' "$deck" job.device=gpu job.dir=new/run
bad 2 "job.precision='bf16'" "$deck" job.precision=bf16 job.dir=new/run
bad 2 'job.graph' "$deck" job.graph=.true. job.dir=new/run

# --- models and layouts ---------------------------------------------------------
model() { words=$1; shift; bad 2 "$words" "$deck" job.dir=new/run "$@"; }
model "model.pattern.*'X'" model.pattern=MEX
model 'model.pattern' model.pattern=
model 'n_kv_heads.*n_heads\|n_heads.*n_kv_heads' model.n_kv_heads=3
model 'mamba_n_groups.*mamba_n_heads\|mamba_n_heads.*mamba_n_groups' \
  model.mamba_n_groups=3
model 'n_group.*n_experts\|n_experts.*n_group' model.n_group=3
model 'top_k' model.top_k=9
model 'topk_group' model.n_group=2 model.topk_group=3
model 'd_model' model.d_model=0
model 'mtp_depths\|mtp_repeat' model.mtp_depths=2 model.mtp_repeat=.false.
model 'grid.ep=2.*model.n_experts=3' model.pattern=E model.n_experts=3 \
  model.top_k=2 grid.ep=2
model 'grid.pp=2.*has 1 layers' model.pattern=E grid.pp=2
model 'grid.pp_cut.*names 3 stages.*grid.pp=2' grid.pp=2 grid.pp_cut=1,1,2
model 'grid.pp_cut.*add up to 5.*4 layers' grid.pp=2 grid.pp_cut=2,3
bad 2 'grid.pp_cut.*out of bounds' "$deck" grid.pp_cut=4,0
bad 2 'grid.pp_cut.*not an integer' "$deck" grid.pp_cut=2.5
bad 2 "optim.recompute.*'ssm' is not known.*mamba, attention" "$deck" \
  optim.recompute=moe,ssm job.dir=new/run
model 'grid.tp=2.*model.n_heads=3' model.pattern='*' model.n_heads=3 \
  model.n_kv_heads=1 grid.tp=2
model 'grid.tp=2: neither.*model.n_kv_heads=3' model.pattern='*' \
  model.n_heads=6 model.n_kv_heads=3 grid.tp=2
model 'grid.tp=2.*model.mamba_n_heads=3' model.pattern=M \
  model.mamba_n_heads=3 model.mamba_n_groups=1 grid.tp=2
model 'grid.tp=2: neither.*model.mamba_n_groups=3' model.pattern=M \
  model.mamba_n_heads=6 model.mamba_n_groups=3 grid.tp=2
model 'grid.tp=2.*model.d_ff=3' model.pattern=- model.d_ff=3 grid.tp=2
model 'grid.tp=2.*model.d_shared=3' model.pattern=E model.d_shared=3 grid.tp=2
model '2 ranks.*grid.tp' model.pattern=- grid.tp=3
bad_on 3 2 '3 ranks.*grid.tp' "$deck" model.pattern=- \
  grid.tp=2 job.dir=new/run

# --- weight folders ---------------------------------------------------------------
# folder CASE: a copy to spoil.
folder() {
  rm -rf f
  cp -r "$cases/$1" f
  st=f/model.safetensors
}
from() { bad "$1" "$2" "$import" model.from=f job.dir=new/run; }
# at BYTE 'OCTAL': overwrite.
at() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }

bad 3 'no_such' "$import" model.from=no_such job.dir=new/run
bad 2 'model.from' "$import" job.dir=new/run
folder mamba_only; rm f/config.json
from 3 'f.*config.json'
folder mamba_only; rm $st
from 3 'f.*safetensors'
folder mamba_only; : >$st
from 3 'model.safetensors.*0 bytes'
folder mamba_only; head -c 4 "$cases/mamba_only/model.safetensors" >$st
from 3 'model.safetensors'
folder mamba_only; head -c 500 "$cases/mamba_only/model.safetensors" >$st
from 3 'model.safetensors'
folder mamba_only; head -c 400000 "$cases/mamba_only/model.safetensors" >$st
from 3 'model.safetensors'
folder mamba_only; at $st 0 '\377\377\377\377\377\377\377\177'
from 3 'model.safetensors.*header'
folder mamba_only; at $st 7 '\200'
from 3 'model.safetensors.*header'
folder mamba_only; at $st 8 '!'
from 3 'model.safetensors.*header'
folder mamba_only; printf 'more' >>$st
from 4 'model.safetensors'
folder mamba_only; sed -i 's/"F32"/"F99"/' $st
from 4 'model.safetensors.*F99'
folder mamba_only; sed -i 's/"shape":\[64,/"shape":[63,/' $st
from 4 'model.safetensors.*layers.0.mixer.out_proj'
folder mamba_only; sed -i 's/"data_offsets":\[0,/"data_offsets":[9,/' $st
from 4 'model.safetensors'
folder mamba_only; sed -i 's/"backbone.norm_f.weight"/"backbone.norm_x.weight"/' $st
from 4 'backbone.norm_[xf].weight'
folder hybrid; rm f/model-00002-of-00003.safetensors
from 3 'model-00002-of-00003.safetensors'
folder hybrid; sed -i 's/00002-of/00001-of/' f/model.safetensors.index.json
from 4 'f/'
folder hybrid; echo '{' >f/model.safetensors.index.json
from 3 'index.json'

# config.json against the tensors, and by itself
config() { folder "$1"; sed -i "$2" f/config.json; }
config mamba_only 's/"hidden_size": [0-9]*/"hidden_size": 72/'
from 4 'backbone.*72\|72.*backbone'
config hybrid 's/"n_routed_experts": [0-9]*/"n_routed_experts": 15/'
from 4 'gate.weight.*16.*15'
config hybrid 's/"hybrid_override_pattern": "[^"]*"/"hybrid_override_pattern": "MEME*M"/'
from 4 'layers.6\|num_hidden_layers'
config hybrid 's/"hybrid_override_pattern": "[^"]*"/"hybrid_override_pattern": "MEME?ME"/'
from 4 "config.json.*'?'\|config.json.*pattern"
config mamba_only 's/"hidden_size": [0-9]*/"hidden_size": "wide"/'
from 4 'config.json.*hidden_size'
config mamba_only 's/"mamba_hidden_act": "silu"/"mamba_hidden_act": "gelu"/'
from 4 'config.json.*mamba_hidden_act'
config mamba_only 's/"model_type": "[^"]*"/"model_type": "gpt2"/'
from 4 'config.json.*gpt2'
config mamba_only 's/{/{{/'
from 3 'config.json'
bad 4 'backbone.embeddings.weight' "$import" model.from="$cases/mamba_only" model.d_model=32 \
  job.dir=new/run

# --- tokenizers and text --------------------------------------------------------
tokenizer() {
  bad "$1" "$2" "$top/input/tokenize.nml" tokenize.tokenizer=t.json \
    tokenize.input="$tokens/decode.jsonl" tokenize.decode=.true. \
    tokenize.output=new/x
}
bad 3 'no_such' "$top/input/tokenize.nml" tokenize.tokenizer=no_such \
  tokenize.input="$tokens/encode.jsonl" tokenize.output=new/x
head -c 50000 "$tokens/tokenizer.json" >t.json
tokenizer 3 't.json:1'
sed 's/"merges": *\[/&["qqzzy","xxqqz"],/' "$tokens/tokenizer.json" >t.json
tokenizer 4 't.json.*merge.*qqzzy'
sed 's/"type": *"BPE"/"type":"Unigram"/' "$tokens/tokenizer.json" >t.json
tokenizer 3 't.json.*Unigram'
echo '{}' >t.json
tokenizer 3 't.json'

prepare() {
  code=$1 words=$2
  shift 2
  bad "$code" "$words" "$here/decks/prepare.nml" prepare.output=new/x.h5 "$@"
}
: >empty.txt
prepare 4 'empty.txt' prepare.input=empty.txt
: >empty.jsonl
prepare 4 'empty.jsonl' prepare.input=empty.jsonl
prepare 3 'no_such.txt' prepare.input=no_such.txt
printf '{"text":"a"}\n{"text":"b"\n{"text":"c"}\n' >broken.jsonl
prepare 4 'broken.jsonl:2' prepare.input=broken.jsonl
printf '{"text":"a"}\n{"txt":"b"}\n' >field.jsonl
prepare 4 'field.jsonl:2.*field' prepare.input=field.jsonl
printf '{"ids":[1,2]}\n{"ids":[1,4096]}\n' >large.jsonl
prepare 4 'large.jsonl:2.*vocabulary' prepare.input=large.jsonl

# records: one that is wrong ends the run with its line, or is counted
echo '{"text":"a"}' >many.jsonl
reasons=
record() { # PHRASE LINE, with escapes of printf
  { echo '{"text":"a"}' && printf "$2\n"; } >record.jsonl
  printf "$2\n" >>many.jsonl
  prepare 4 "record.jsonl:2: $1; " prepare.input=record.jsonl
  reasons="$reasons|$1"
}
user='{"role":"user","content":"u"}'
assistant='{"role":"assistant","content":"a"}'
record 'JSON that breaks off' '{"text":"b"'
record 'broken JSON' "{'text':1}"
record 'duplicated key' '{"text":"b","text":"c"}'
record 'NUL byte' '{"text":"\000"}'
record 'number out of range' '{"text":"b","n":1e999}'
record 'no JSON object' '[1]'
record 'no field that is known' '{"txt":"b"}'
record 'text that is no string' '{"text":["b"]}'
record 'empty answer' '{"prompt":"b","answer":" "}'
record 'roles out of order' "{\"messages\":[$assistant]}"
record "last message is not the assistant's" "{\"messages\":[$user]}"
record 'message without a role' "{\"messages\":[{},$assistant]}"
record '`ids` that are no integers' '{"ids":[1,2.5]}'
record '`label` that names no ending' \
  '{"ctx":"c","endings":["a","b"],"label":2}'
record '`loss_mask` of another length than `input_ids`' \
  '{"input_ids":[1,2],"loss_mask":[1],"seq_start_id":[0]}'
need 2 "$here/decks/prepare.nml" prepare.output=many.h5 \
  prepare.input=many.jsonl prepare.on_error=skip
test_that "... $(($(wc -l <many.jsonl) - 1)) reasons counted" \
  [ "$(grep -c -E "1 .*(${reasons#|})" out)" = \
  $(($(wc -l <many.jsonl) - 1)) ]
prepare 2 'no reader .hellaswig.*hellaswag' prepare.reader=hellaswig
prepare 2 'no template .nemotron.*nemotron3' prepare.template=nemotron
cp "$tokens/tokenizer.json" alone.json
prepare 2 'prepare.template: ' prepare.reader=chat \
  prepare.input="$here/fixtures/data/chat.jsonl" \
  prepare.tokenizer="$PWD/alone.json"
printf '[{"text":"a"},{"text"' >torn.json
prepare 4 'torn.json: breaks off' prepare.input=torn.json
printf '[{"text":"a"},\n{"text":1}]' >list.json
prepare 4 'list.json: record 2: text that is no string' prepare.input=list.json
prepare 3 'bad_magic.idx' \
  prepare.input="$here/fixtures/indexed/bad_magic.idx"
printf 'no gzip' >plain.txt.gz
prepare 3 'plain.txt.gz.*gzip' prepare.input=plain.txt.gz
gzip -c "$here/fixtures/play.txt" | head -c 3000 >cut.txt.gz
prepare 3 'cut.txt.gz.*truncated' prepare.input=cut.txt.gz
: >play.pdf
prepare 3 'play.pdf' prepare.input=play.pdf
: >file
prepare 3 'file: .*directory' prepare.input="$here/fixtures/play.txt" \
  prepare.output=file/x.h5
prepare 2 'curate.near_threshold=0' curate.near=.true. curate.near_threshold=0
prepare 2 'curate.near_bands' curate.near=.true. curate.near_threshold=0.5
prepare 2 'curate.min_chars' curate.min_chars=9 curate.max_chars=8
prepare 3 'no_such.jsonl' curate.decontaminate=no_such.jsonl
prepare 4 'broken.jsonl:2' curate.decontaminate=broken.jsonl
prepare 4 'field.jsonl.*8 words' curate.decontaminate=field.jsonl
bad 4 'broken.jsonl:2' "$top/input/tokenize.nml" tokenize.tokenizer="$tokens" \
  tokenize.input=broken.jsonl tokenize.output=new/x

# flip FILE COPY BYTE: one bit.
flip() {
  cp "$1" "$2"
  old=$(od -An -t u1 -j "$3" -N 1 "$1")
  at "$2" "$3" "\\$(printf %o $((old ^ 4)))"
}

# Parquet
parquet=$here/fixtures/parquet
head -c 5000 "$parquet/packed_gzip.parquet" >torn.parquet
prepare 3 'torn.parquet: .*torn' prepare.input=torn.parquet
cp "$here/fixtures/play.txt" play.parquet
prepare 3 'play.parquet: is no Parquet' prepare.input=play.parquet
prepare 4 "lz4.parquet: column 'x'.*LZ4" prepare.input="$parquet/lz4.parquet"
prepare 4 "int96.parquet: column 't'.*INT96" \
  prepare.input="$parquet/int96.parquet"
prepare 4 'flat.parquet: record 1: no lists .input_ids' \
  prepare.input="$parquet/flat.parquet" prepare.reader=packed_sft
flip "$parquet/flat.parquet" bit.parquet 885
prepare 4 "bit.parquet: column 'fixed', row group 0.*checksum" \
  prepare.input=bit.parquet prepare.field=text prepare.on_error=skip

# --- training: data, run directory, divergence --------------------------------
need 1 "$here/decks/prepare.nml" prepare.output=text.h5
bad 3 'no_such.h5' "$text" data.train=no_such.h5 job.dir=new/run
bad 3 'plain.txt.gz' "$text" data.train=plain.txt.gz job.dir=new/run
bad 4 '4096.*512' "$text" data.train=text.h5 model.vocab=512 \
  job.dir=new/run
bad 2 'data.seq_len.*128.*64' "$text" data.train=text.h5 data.seq_len=128 \
  job.dir=new/run
head -c 20000 text.h5 >short.h5
bad 3 'short.h5' "$text" data.train=short.h5 job.dir=new/run
flip text.h5 flip.h5 $(($(offset_of text.h5 /tokens) + 501))
bad_on 1 4 'flip.h5' --inspect flip.h5

# --- indexed data ---------------------------------------------------------------
pair=$here/fixtures/indexed/megatron_u16
cp "$pair.idx" cut.idx && head -c 6000 "$pair.bin" >cut.bin
cp "$pair.idx" alone.idx
head -c 500 "$pair.idx" >short.idx && cp "$pair.bin" short.bin
echo '{"format": "hymn lineage"' >note.lineage.json
cp "$pair.idx" note.idx && cp "$pair.bin" note.bin
for f in magic version dtype truncated; do
  bad_on 1 "$([ $f = dtype ] && echo 4 || echo 3)" "bad_$f.idx" \
    --inspect "$here/fixtures/indexed/bad_$f.idx"
done
bad 2 'data.seq_len' "$text" data.train="$pair" job.dir=new/run
bad 3 'cut.bin.*truncated' "$text" data.train=cut data.seq_len=64 \
  job.dir=new/run
bad 3 'alone.bin' "$text" data.train=alone.idx data.seq_len=64 job.dir=new/run
bad 3 'short.idx.*truncated' "$text" data.train=short.bin data.seq_len=64 \
  job.dir=new/run
bad 4 'note.lineage.json' "$text" data.train=note data.seq_len=64 \
  job.dir=new/run
bad 4 'data.split' "$text" data.train="$pair" data.seq_len=64 \
  data.valid="$pair" data.split=1,0,0 job.dir=new/run
may_leave='run/history.csv\|run/resolved.nml'
bad 4 'has id [0-9]*, .*512' "$text" data.train="$pair" data.seq_len=64 \
  model.vocab=512 job.dir=new/run
may_leave='^$'

# mixes
mkdir other
{ cat "$tokens/tokenizer.json" && echo; } >other/tokenizer.json
need 1 "$here/decks/prepare.nml" prepare.output=other.h5 \
  prepare.tokenizer=other prepare.eos=none
mix() {
  code=$1 words=$2 value=$3
  shift 3
  bad "$code" "$words" "$text" data.train="$value" job.dir=new/run "$@"
}
mix 2 'data.train: a weight is negative' -1,text.h5,2,other.h5
mix 2 'data.train: no weight is above 0' 0,text.h5,0,other.h5
mix 2 'data.train: x is not a weight' x,text.h5
mix 2 'data.train has 3 values' 1,text.h5,2
mix 2 'data.train: a path is there twice' 1,text.h5,2,text.h5
mix 4 'other.h5: made with tokenizer.*text.h5 with' 1,text.h5,2,other.h5
mix 4 'data.valid=other.h5: made with tokenizer' text.h5 data.valid=other.h5
mix 2 'data.switch_tokens: 1000 .*the nearest is 1024' text.h5 \
  data.train_2=other.h5 data.switch_tokens=1000
mix 2 'data.train_2.*not set' text.h5 data.switch_tokens=1024
printf '{"train": ["1", "text.h5"], "valid": []}' >mix.json
mix 4 'mix.json: key "test" is missing' mix.json
printf '{"train": ["1", "text.h5", "2"], "valid": [], "test": []}' >mix.json
mix 4 'mix.json: train: "2" has no path' mix.json
printf '{"train": [' >mix.json
mix 4 'mix.json:1: broken JSON' mix.json
mix 3 'no_such.json' no_such.json
mix 2 'mix.json is a blend' 1,text.h5,2,mix.json
need 1 "$text" data.train=text.h5 job.dir=learned ckpt.save_every=24
cp other/tokenizer.json learned
mix 4 'data.train: made with tokenizer.*learned/tokenizer.json' text.h5 \
  model.from=learned
bad 3 'file' "$deck" job.dir=file/run
may_leave='run/history.csv\|run/resolved.nml\|run/diverged/'
bad 6 'step [1-9]' "$deck" optim.lr=1000 optim.clip=0 optim.warmup=0 \
  job.dir=new/run ckpt.save_every=1000
may_leave='^$'

# --- checkpoints -----------------------------------------------------------------
need 2 "$deck" job.dir=good log.plot=.false. optim.decay=20 optim.n_steps=10
ckpt=good/step_0000010.h5
go_on() {
  code=$1 words=$2
  shift 2
  bad "$code" "$words" "$deck" job.dir=new/run ckpt.load=bad.h5 "$@"
}
bad 3 'no_such' "$deck" job.dir=new/run ckpt.load=no_such
bad 3 'step.*7' "$deck" job.dir=new/run ckpt.load=good ckpt.step=7
bad 2 'job.seed=1:.*1234' "$deck" job.dir=new/run ckpt.load=good job.seed=1
bad 2 'data.global_batch=5' "$deck" job.dir=new/run ckpt.load=good \
  data.global_batch=5
bad 4 'another model.*32' "$deck" job.dir=new/run ckpt.load=good model.d_model=32
bad 4 'another model.*pattern' "$deck" job.dir=new/run ckpt.load=good model.pattern=ME
need 1 "$import" model.from="$cases/mamba_only" job.dir=other
bad 4 'other.*optimizer' "$here/decks/tune.nml" job.dir=new/run ckpt.load=other
cp $ckpt bad.h5
head -c 100 $ckpt >bad.h5
go_on 3 'bad.h5'
head -c 100000 $ckpt >bad.h5
go_on 3 'bad.h5'
: >bad.h5
go_on 3 'bad.h5'
flip $ckpt bad.h5 0
go_on 3 'bad.h5'
for byte in 100 600 3000 5000; do # header block and what the library reads
  flip $ckpt bad.h5 $byte
  go_on 4 'bad.h5.*damaged'
done
# one bit of a tensor: it is named
flip $ckpt bad.h5 $(($(offset_of $ckpt /model/backbone.norm_f.weight) + 17))
go_on 4 'bad.h5.*backbone.norm_f.weight'
bad 4 'bad.h5.*backbone.norm_f.weight' "$top/input/export.nml" \
  model.from=bad.h5 job.dir=new/run
bad 3 'file' "$top/input/export.nml" model.from=good job.dir=file/run

# disk full during a save: a limit on the size of files (a checkpoint of 64 MB;
# the MPI library needs files of some MB itself), and a small file system where
# that is allowed
may_leave='history.csv\|resolved.nml'
blocks=$(ulimit -f)
ulimit -S -f 60000
bad_on 1 5 'step_0000001\|no room' "$deck" job.dir=new/run log.plot=.false. \
  model.vocab=40000 data.seq_len=16 data.valid='' optim.n_steps=1 \
  optim.warmup=0 optim.wsd_decay=0
ulimit -S -f "$blocks"
may_leave='^$'
mkdir small
trap 'umount small 2>/dev/null' EXIT
if [ "$(id -u)" = 0 ] &&
  mount -t tmpfs -o size=4m none small 2>/dev/null; then
  bad 5 'small/run.*room' "$deck" job.dir=small/run log.plot=.false.
  test_that 'disk full: the checkpoint before is whole' eval \
    "[ \"\$(cat small/run/latest)\" = step_0000010.h5 ] &&
     [ \"\$(ls small/run/*.h5)\" = small/run/step_0000010.h5 ]"
  cp -r small/run kept
  umount small
  test_run 'and the run goes on from it' 2 "$deck" job.dir=kept ckpt.load=auto \
    log.plot=.false.
fi

# --- generate --------------------------------------------------------------------
bad 2 'tokenizer' "$here/decks/generate.nml" model.from="$cases/hybrid" \
  generate.prompt='Once'
bad 2 'generate.prompt.*generate.input' "$here/decks/generate.nml" \
  model.from="$cases/hybrid"
echo '{"ids":[]}' >none.jsonl
bad 4 'none.jsonl:1.*empty' "$here/decks/generate.nml" \
  model.from="$cases/hybrid" generate.input=none.jsonl generate.output=new/x
echo '{"ids":[5,512]}' >large.jsonl
bad 4 'large.jsonl:1.*512' "$here/decks/generate.nml" \
  model.from="$cases/hybrid" generate.input=large.jsonl generate.output=new/x
bad 2 'model.from' "$here/decks/generate.nml" generate.prompt=x
chat() { # CODE TEXT LINE [OVERRIDES]: a line of messages
  code=$1 want=$2
  echo "$3" >chat.jsonl
  shift 3
  bad "$code" "$want" "$here/decks/generate.nml" model.from="$cases/hybrid" \
    generate.tokenizer="$tokens" generate.input=chat.jsonl "$@" \
    generate.output=new/x
}
say='{"messages":[{"role":"user","content":"x"}]}'
chat 4 'chat.jsonl:1.*neither' '{"message":[]}'
chat 4 'chat.jsonl:1.*no messages' '{"messages":[]}'
chat 4 'chat.jsonl:1.*unknown role' '{"messages":[{"role":"x","content":"x"}]}'
chat 4 'chat.jsonl:1.*duplicate' '{"text":"x","text":"y"}'
chat 4 'chat.jsonl:1.*assistant' \
  '{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}'
chat 4 'no form for tools' \
  '{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f"}]}' \
  generate.template=plain
chat 2 'template.*nemotron3' "$say" generate.template=nemotron
chat 2 'eot_id.*lacks' "$say" generate.template=llama3
bad 2 'prepare.template.*eot_id.*lacks' "$top/input/prepare.nml" \
  prepare.input=chat.jsonl prepare.output=new/x prepare.tokenizer="$tokens" \
  prepare.template=llama3
mkdir bare
cp "$tokens/tokenizer.json" bare
chat 3 'bare.*generate.template' "$say" generate.tokenizer=bare

# --- compare ---------------------------------------------------------------------
bad 3 'no_such' "$top/input/compare.nml" compare.case=no_such
bad 2 'compare.case' "$top/input/compare.nml"
cp -r "$cases/mamba_only" c
sed -i 's/"kind": "[a-z]*"/"kind": "policy_loss"/' c/case.json
bad 4 "policy_loss" "$top/input/compare.nml" compare.case=c

# --- what a fuzzer made up (fuzz.sh) -------------------------------------------------
replay() {
  ran="regression/fuzz/replay fuzz/corpus $1"
  HYMN_SRCDIR=$top TMPDIR=. "$HYMN_BUILT/regression/fuzz/replay" \
    "$here/fuzz/corpus" "$1" >out 2>err
}
for target in $("$HYMN_BUILT/regression/fuzz/replay" -l); do
  test_that "kept files of the fuzzer: $target" replay "$target"
done
finish
