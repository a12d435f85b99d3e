#!/bin/sh
# quickstart.sh: the main job on real text, from a bare Debian or Ubuntu
# machine. From any directory:
#
#   sh examples/quickstart.sh [DIR]
#
# Installs what is missing and builds (regression/setup.sh), then: text to
# packed tokens, training on two ranks, checkpoint, loss.png, a sampled
# paragraph. About five minutes on two cores after the build. Results go to DIR
# (runs/quickstart in the checkout); those of an earlier run are replaced.
# The decks are in examples/quickstart/. Exit code: that of what failed.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 5
top=$(dirname "$here")
out=${1:-$top/runs/quickstart}
decks=$here/quickstart

say() { echo "quickstart: $*"; }

# run RANKS WHAT ARGS...: hymn, one thread a rank; the end of the script when
# it fails. One rank needs no launcher.
run() {
  ranks=$1
  what=$2
  shift 2
  MPI_RUN_TIMEOUT=7200 sh "$top/regression/mpi-run" "$ranks" "$hymn" "$@"
  code=$?
  [ $code = 0 ] || {
    say "error: $what failed with exit code $code" >&2
    exit $code
  }
}

made() {
  [ -s "$1" ] || {
    say "error: $1 was not made" >&2
    exit 7
  }
}

begun=$(date +%s)
lap=$begun
spent() { # seconds since the last call
  now=$(date +%s)
  echo $((now - lap)) s
  lap=$now
}

say "build"
build=$(sh "$top/regression/setup.sh") || exit
hymn=$build/src/hymn
say "$hymn is built ($(spent))"
lap=$(date +%s)

mkdir -p "$out" || exit 3
out=$(cd "$out" && pwd) || exit 3
rm -f "$out/train.h5" "$out/valid.h5" "$out/sample.txt" "$out"/model/step_*.h5 \
  "$out/model/latest" "$out/model/history.csv" "$out/model/loss.png" \
  "$out/model/resolved.nml" || exit 3

say "text to tokens"
for part in train valid; do
  run 2 "prepare" "$decks/prepare.nml" \
    prepare.input="'$here/data/novels_$part.jsonl.gz'" \
    prepare.output="'$out/$part.h5'"
done
prepare_time=$(spent)
lap=$(date +%s)

say "training on 2 ranks"
run 2 "training" "$decks/train.nml" job.dir="'$out/model'" \
  data.train="'$out/train.h5'" data.valid="'$out/valid.h5'"
train_time=$(spent)
lap=$(date +%s)
made "$out/model/latest"
command -v gnuplot >/dev/null && made "$out/model/loss.png"

say "a paragraph from the model"
run 0 "generation" "$decks/generate.nml" model.from="'$out/model'" \
  >"$out/sample.txt"
made "$out/sample.txt"
echo
cat "$out/sample.txt"
echo

say "done in $(($(date +%s) - begun)) s:" \
  "prepare $prepare_time, train $train_time, sample $(spent)"
say "results in $out"
say "  model/step_*.h5 checkpoint, model/loss.png, model/history.csv," \
  "sample.txt"
say "more text: '$hymn' '$decks/generate.nml' model.from='$out/model'" \
  "generate.prompt='Dear reader' job.seed=2"
