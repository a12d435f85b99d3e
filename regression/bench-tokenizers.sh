#!/bin/sh
# bench-tokenizers.sh: text to ids, hymn and the `tokenizers` package of Python
# in turn on the same files, one thread each, CPU time of encoding alone, and
# whether the ids are equal. Not part of check.sh.
#
#   PYTHON=python3 sh regression/bench-tokenizers.sh ROUNDS TOKENIZER FILE...
#
# FILE: JSON lines with `text`. PYTHON: one that has the package.
. "$(dirname "$0")/lib.sh"
python=${PYTHON:-python3}
if [ $# -lt 3 ]; then
  echo "bench-tokenizers: give ROUNDS TOKENIZER FILE..." >&2
  exit 1
fi
rounds=$1 tokenizer=$2
shift 2
"$python" -c 'import tokenizers' 2>/dev/null || {
  echo "bench-tokenizers: $python has no package tokenizers; hymn alone is" \
    "measured; set PYTHON to one that has it" >&2
  python=
}

# MB/s from a line of either side
rate() { awk '{ printf "%.2f\n", $1 / $3 / 1e6 }' "$1"; }
median() { sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

: >ours
: >theirs
i=0
while [ $i -lt "$rounds" ]; do
  i=$((i + 1))
  "$HYMN_BUILT/regression/tok-rate" "$tokenizer" "$@" >a || exit
  rate a >>ours
  if [ "$python" ]; then
    "$python" "$here/bench-tokenizers.py" "$tokenizer" "$@" >b || exit
    rate b >>theirs
    [ "$(cut -d ' ' -f 4 a)" = "$(cut -d ' ' -f 4 b)" ] || {
      echo "bench-tokenizers: the ids differ" >&2
      exit 4
    }
  fi
  echo "round $i: $(tail -n 1 ours) MB/s${python:+, package $(tail -n 1 theirs)}"
done
name=$(basename "$tokenizer")
if [ "$python" ]; then
  echo "$name, $(cut -d ' ' -f 1 a) bytes, $(cut -d ' ' -f 2 a) ids, equal:" \
    "hymn $(median <ours) MB/s, package $(median <theirs) MB/s, ratio" \
    "$(echo "$(median <ours) $(median <theirs)" | awk '{ printf "%.1f", $1 / $2 }')"
else
  echo "$name, $(cut -d ' ' -f 1 a) bytes, $(cut -d ' ' -f 2 a) ids:" \
    "hymn $(median <ours) MB/s"
fi
