#!/bin/sh
# keys.sh: doc/keys.txt, the list of all keys of a deck, from the program.
#
#   sh doc/keys.sh HYMN            write it
#   sh doc/keys.sh --check HYMN    exit 1, showing the differences, if it is old
set -u
keys=$(dirname "$0")/keys.txt
check=
[ "${1-}" != --check ] || {
  check=1
  shift
}
hymn=${1-}
[ -x "$hymn" ] || {
  echo "usage: sh doc/keys.sh [--check] HYMN" >&2
  exit 2
}
text=$("$hymn" --keys) || exit
if [ -z "$check" ]; then
  printf '%s\n' "$text" >"$keys"
elif ! printf '%s\n' "$text" | diff -u "$keys" -; then
  echo "keys.sh: $keys is old; run sh doc/keys.sh $hymn" >&2
  exit 1
fi
