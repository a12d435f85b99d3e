#!/bin/sh
# The command line: exit codes, one line for an error, help from one rank.
set -u
hymn=${HYMN_TESTDIR:-.}/src/hymn
mpi_run=${HYMN_SRCDIR:-.}/regression/mpi-run
dir=test_cli.$$
mkdir $dir || exit 1
trap 'rm -rf $dir' EXIT
failed=0

# want CODE TEXT RANKS ARGS...: run hymn; compare the exit code and look for
# TEXT in its output. A code from 2 on, and 1 but for the usage, comes with one
# `hymn: error:` line.
want() {
  code=$1 text=$2 ranks=$3
  shift 3
  sh "$mpi_run" "$ranks" "$hymn" "$@" >$dir/out 2>$dir/err
  rc=$?
  lines=$(grep -c '^hymn: error: ' $dir/err)
  count=$(cat $dir/out $dir/err | grep -c -- "$text")
  one=1
  [ "$code" = 0 ] || [ $# = 0 ] && one=0
  if [ $rc != "$code" ] || [ "$count" != 1 ] || [ "$lines" != $one ]; then
    echo "FAILED: hymn $* on $ranks ranks: exit $rc, wanted $code; '$text'" \
      "$count times; $lines error lines"
    cat $dir/out $dir/err
    failed=1
  fi
}

printf "&job kind='no_such_job' /\n" >$dir/kind.nml
printf "&job kind='x' /\n&optim lerning_rate=1 /\n" >$dir/key.nml
printf "&job name='x' /\n" >$dir/none.nml
echo text >$dir/text
mkdir $dir/folder
want 1 '^usage: hymn DECK' 0
want 1 'unknown option --chek' 0 --chek
want 1 'usage is hymn --inspect .* FILE' 0 --inspect
want 1 'usage is hymn --inspect .* FILE' 0 --inspect --verify
want 1 'did you mean &optim' 0 --keys optm
want 0 '^&grid ' 0 --keys
want 0 '^  lr  *real  *1e-3  *0.0..1e3 ' 0 --keys optim
want 3 'no_such_file' 0 --inspect $dir/no_such_file
want 3 "$dir/folder" 0 --inspect $dir/folder
want 3 "$dir/no_such_deck: " 0 $dir/no_such_deck
want 2 'none.nml: job.kind is not set' 0 $dir/none.nml
want 2 'command line: grid.tp=0 is out of bounds' 0 $dir/none.nml grid.tp=0
want 2 'grid.n_ranks=4, but the launcher started 1' 0 $dir/kind.nml grid.n_ranks=4
want 1 "'oops' is not group.key=value" 0 $dir/none.nml oops
want 1 "options come first" 0 $dir/none.nml --dry-run
# 0 ranks: without a launcher. A launcher takes its time when a rank fails.
for n in 0 2; do
  want 0 '^hymn [0-9]' $n --version
  want 0 'exit codes: 0 good' $n --help
  want 1 'unknown option --bad; see hymn --help' $n --bad
  want 2 'key.nml:2: unknown key optim.lerning_rate; did you mean optim.lr' \
    $n $dir/key.nml
  want 2 "kind.nml: unknown job.kind 'no_such_job'" $n $dir/kind.nml
  want 2 "kind.nml: unknown job.kind 'no_such_job'" $n --dry-run $dir/kind.nml
done
exit $failed
