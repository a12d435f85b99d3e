#!/bin/sh
# weights.sh: weight folders to checkpoints and back; every bit stays.
. "$(dirname "$0")/lib.sh"
unpack_cases
input=$top/input

content() { sed -n 's/^content *//p' out; }

# single fp32 files come back byte for byte, through any number of ranks
for case in mamba_only attn_mlp latent_moe plain_moe real_dims mtp; do
  need 2 "$input/import.nml" model.from="$cases/$case" job.dir=in.$case
  need 3 "$input/export.nml" model.from=in.$case job.dir=out.$case
  test_that "$case: import, export: the same file" \
    cmp "$cases/$case/model.safetensors" out.$case/model.safetensors
done

# bf16 in three shards, one file, three shards again
need 1 "$input/import.nml" model.from="$cases/hybrid" job.dir=bf16
first=$(content)
need 2 "$input/export.nml" model.from=bf16 job.dir=bf16.one
need 1 "$input/export.nml" model.from=bf16 job.dir=bf16.many \
  convert.shard_bytes=500000
test_that 'shards of at most convert.shard_bytes, with an index' test \
  -e bf16.many/model-00003-of-00003.safetensors -a \
  -e bf16.many/model.safetensors.index.json
for from in bf16.one bf16.many; do
  need 1 "$input/import.nml" model.from=$from job.dir=again.$from
  test_that "$from: content hash after export and import" \
    [ "$first" = "$(content)" ]
  test_that "$from: tensors after export and import" h5diff -q \
    bf16/step_0000000.h5 again.$from/step_0000000.h5 /model
  need 1 "$input/export.nml" model.from=again.$from job.dir=last.$from
  test_that "$from: the same file again" \
    cmp bf16.one/model.safetensors last.$from/model.safetensors
done

# the other spelling of config.json
cp -r "$cases/hybrid" lists
mv lists/config.layers_block_type.json lists/config.json
need 1 "$input/import.nml" model.from=lists job.dir=in.lists
test_that 'config.json with lists of layer types: the same content' \
  [ "$first" = "$(content)" ]
need 1 "$input/export.nml" model.from=in.lists job.dir=out.lists
test_that 'its tensors' \
  cmp bf16.one/model.safetensors out.lists/model.safetensors
need 1 "$input/compare.nml" model.from=out.lists \
  compare.expected="$cases/hybrid/expected.safetensors"

# fp32 to bf16 rounds once, bf16 to fp32 is exact
need 1 "$input/export.nml" model.from=in.mtp job.dir=mtp.bf16 convert.dtype=bf16
need 1 "$input/export.nml" model.from=mtp.bf16 job.dir=mtp.fp32 \
  convert.dtype=fp32
need 1 "$input/export.nml" model.from=mtp.fp32 job.dir=mtp.bf16.again \
  convert.dtype=bf16
test_that 'bf16 through fp32' \
  cmp mtp.bf16/model.safetensors mtp.bf16.again/model.safetensors

# what an exported folder says is what the model is
test_run 'a checkpoint through compare' 2 "$input/compare.nml" model.from=bf16 \
  compare.expected="$cases/hybrid/expected.safetensors"
test_run 'an exported folder through compare' 1 "$input/compare.nml" \
  model.from=bf16.many compare.expected="$cases/hybrid/expected.safetensors"

# tokenizer files travel along
cp -r "$cases/mamba_only" told
cp "$here"/fixtures/tokenizer/tokenizer*.json told
need 1 "$input/import.nml" model.from=told job.dir=in.told
need 1 "$input/export.nml" model.from=in.told job.dir=out.told
for f in tokenizer.json tokenizer_config.json; do
  test_that "$f is copied to the run and to the folder" \
    eval "cmp told/$f in.told/$f && cmp told/$f out.told/$f"
done

# training starts from a folder and from its checkpoint alike
for from in "$cases/hybrid" bf16; do
  need 1 "$here/decks/tune.nml" model.from="$from" job.dir="tune.${from##*/}"
done
columns tune.hybrid/history.csv 1 9 >a
columns tune.bf16/history.csv 1 9 >b
test_that 'training from a folder and from its checkpoint' cmp a b
finish
