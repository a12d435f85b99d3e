#!/bin/sh
# oracle.sh: the reference cases through `compare`: those of oracle/ here on 1,
# 2 and 3 ranks (some of which then have no rows), and all of $ORACLE on 1 and 2.
. "$(dirname "$0")/lib.sh"

deck=$top/input/compare.nml

kind_of() {
  sed -n 's/.*"kind" *: *"\([^"]*\)".*/\1/p' "$1" | head -n 1
}

# A case that this version computes: every tensor has to hold. Of another one:
# refused by name, with one line.
# one_case LABEL DIR RANKS [OVERRIDES]
one_case() {
  label=$1 dir=$2 n=$3
  shift 3
  kind=$(kind_of "$dir/case.json")
  run "$n" "$deck" compare.case="$dir" "$@"
  case $kind in
  forward | packed | mtp | decode | train)
    if [ $rc = 0 ] && grep -q '^compare: .* within bounds' out; then
      ok "$label, $n ranks${1:+ $*}: $(sed -n 's/^compare: //p' out)"
    else
      not_ok "$label, $n ranks${1:+ $*}" "exit code $rc"
    fi
    ;;
  *)
    if [ $rc = 4 ] && [ "$(grep -c '^hymn: error: ' err)" = 1 ] &&
      grep -qi "$kind\|llama" err; then
      ok "$label is refused by name (kind $kind)"
    else
      not_ok "$label is refused by name (kind $kind)" "exit code $rc"
    fi
    ;;
  esac
}

unpack_cases
for dir in "$cases"/*/; do
  dir=${dir%/}
  one_case "${dir##*/}" "$dir" 1
  one_case "${dir##*/}" "$dir" 2
done
for case in hybrid hybrid_packed mtp train decode; do
  one_case $case "$cases/$case" 3
done

# heads, groups, features and the vocabulary cut over tp, tokens too, with dp
# and with experts over ranks; 4 ranks share the 2 key heads and groups
for case in mamba_only mamba_dt_floor real_dims attn_mlp plain_moe latent_moe \
  hybrid hybrid_packed mtp train decode; do
  one_case $case "$cases/$case" 2 grid.tp=2
  one_case $case "$cases/$case" 4 grid.tp=4 grid.sp=.true.
done
for case in hybrid_packed mtp train decode; do
  one_case $case "$cases/$case" 4 grid.tp=2 grid.sp=.true. grid.ep=4
done

# experts over ranks, with and without tp; one_case decode: calls in step
for case in latent_moe plain_moe hybrid hybrid_packed mtp train decode; do
  one_case $case "$cases/$case" 2 grid.ep=2
  one_case $case "$cases/$case" 2 grid.tp=2 grid.sp=.true. grid.ep=2
done
one_case hybrid_packed "$cases/hybrid_packed" 4 grid.tp=2 grid.ep=4

# pipeline stages, alone and with tp; an uneven cut
for case in hybrid hybrid_packed mtp train decode; do
  one_case $case "$cases/$case" 2 grid.pp=2
  one_case $case "$cases/$case" 4 grid.pp=2 grid.tp=2
done
one_case mtp "$cases/mtp" 3 grid.pp=3
one_case hybrid "$cases/hybrid" 4 grid.pp=4
one_case hybrid "$cases/hybrid" 3 grid.pp=3 grid.pp_cut=1,1,5

# states shared out among replicas
one_case train "$cases/train" 2 optim.zero=1
one_case train "$cases/train" 4 optim.zero=3
one_case train "$cases/train" 4 optim.zero=3 grid.tp=2 grid.sp=.true. grid.ep=2

# rows cut over cp, alone and with every other axis
for case in attn_mlp mamba_only real_dims latent_moe hybrid hybrid_packed mtp \
  train decode; do
  one_case $case "$cases/$case" 2 grid.cp=2
done
one_case hybrid_packed "$cases/hybrid_packed" 4 grid.cp=4
one_case mtp "$cases/mtp" 4 grid.cp=2 grid.tp=2 grid.sp=.true. grid.ep=4
one_case hybrid "$cases/hybrid" 8 grid.cp=2 grid.tp=2 grid.pp=2

# any folder and any file; the other spelling of the same config.json
run 1 "$deck" model.from="$cases/latent_moe" \
  compare.expected="$cases/latent_moe/expected.safetensors"
test_that 'weights and expected file without a case.json' [ $rc = 0 ]
cp -r "$cases/hybrid" lists
mv lists/config.layers_block_type.json lists/config.json
run 1 "$deck" model.from=lists compare.expected=lists/expected.safetensors
test_that 'hybrid, config.json with lists of layer types' [ $rc = 0 ]

# a wrong number is found: one weight of the folder with another sign
cp -r "$cases/mamba_only" wrong
at=$(($(wc -c <wrong/model.safetensors) - 4097))
printf '\300' | dd of=wrong/model.safetensors bs=1 seek=$at conv=notrunc \
  2>/dev/null
run 1 "$deck" compare.case=wrong
test_that 'compare finds a changed weight' [ $rc = 4 ]

if [ -n "${ORACLE-}" ]; then
  find "$ORACLE" -name case.json | sort >list
  while read -r file; do
    dir=$(dirname "$file")
    one_case "${dir#"$ORACLE"/}" "$dir" 1
    case $kind in
    forward | packed | mtp | decode | train)
      one_case "${dir#"$ORACLE"/}" "$dir" 2
      ;;
    esac
  done <list
fi
finish
