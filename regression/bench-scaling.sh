#!/bin/sh
# bench-scaling.sh: the rate of 2 ranks over twice that of one, one thread each,
# measured in turn so that both meet the same machine. Not part of check.sh.
#
#   sh regression/bench-scaling.sh [ROUNDS [group.key=value ...]]
. "$(dirname "$0")/lib.sh"
rounds=${1:-5}
[ $# = 0 ] || shift

# rate RANKS ARGS...: median tokens a second.
rate() {
  run "$@"
  sed -n 's/^median tok\/s \([0-9]*\) .*/\1/p' out
}

median() { sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

: >one
: >two
: >both
i=0
while [ $i -lt "$rounds" ]; do
  i=$((i + 1))
  a=$(rate 1 "$top/input/bench-scaling.nml" "$@")
  b=$(rate 2 "$top/input/bench-scaling.nml" "$@")
  cp out last
  if [ -z "$a" ] || [ -z "$b" ]; then
    cat err >&2
    exit 1
  fi
  echo "$a" >>one
  echo "$b" >>two
  awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f\n", b / (2 * a) }' >>both
  echo "round $i: $a tok/s on 1 rank, $b on 2: efficiency $(tail -n 1 both)"
done
grep '^sent\|^in collectives' last
echo "median: $(median <one) tok/s on 1 rank, $(median <two) on 2:" \
  "efficiency $(median <both)"
