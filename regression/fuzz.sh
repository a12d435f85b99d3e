#!/bin/sh
# fuzz.sh: readers of files fed with what a fuzzer makes up, under
# AddressSanitizer and UBSan. Not part of check.sh, which runs the kept files
# only (badinput.sh).
#
#   sh regression/fuzz.sh [-l] [-k] [SECONDS [TARGET...]]
#
# Each target runs SECONDS (default 60) on one core, beginning with the files of
# fuzz/corpus/TARGET, those of fixtures/ that are small, and what earlier runs
# found. -l lists the targets. -k keeps: what reaches more of the program than
# the kept files, below 1000 bytes each, is added to fuzz/corpus, at most 30
# files a target (look at them before a commit).
#
# Needs clang with its libFuzzer (Debian: clang). Builds in a folder of its own,
# FUZZ_BUILD (default build-fuzz in the checkout); finds, corpora and logs lie
# below it in fuzz/TARGET. The last lines say how many inputs each target ran
# and what it found; the exit code is 1 when anything was found.
set -u
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
build=${FUZZ_BUILD-$top/build-fuzz}
keep=no
list=no
while getopts kl option; do
  case $option in
  k) keep=yes ;;
  l) list=yes ;;
  *) exit 1 ;;
  esac
done
shift $((OPTIND - 1))

names=$(grep -o '{"[a-z]*", hy_fuzz' "$here/fuzz/targets.c" |
  sed 's/..\([a-z]*\).*/\1/' | tr '\n' ' ')
if [ $list = yes ]; then
  echo "$names"
  exit
fi
seconds=${1-60}
[ $# = 0 ] || shift
case $seconds in
'' | *[!0-9]*)
  echo "fuzz: '$seconds' is no number of seconds; usage: fuzz.sh [-l] [-k]" \
    "[SECONDS [TARGET...]]" >&2
  exit 1
  ;;
esac
for t in "$@"; do
  case " $names " in
  *" $t "*) ;;
  *)
    echo "fuzz: there is no target '$t'; there are: $names" >&2
    exit 1
    ;;
  esac
done
if ! command -v clang >/dev/null; then
  echo "fuzz: clang is missing; install it (Debian: clang)" >&2
  exit 5
fi

# --- build --------------------------------------------------------------------
if [ ! -e "$build/Makefile" ]; then
  mkdir -p "$build" &&
    { [ -e "$top/configure" ] || sh "$top/bootstrap" >/dev/null 2>&1; } &&
    (cd "$build" && OMPI_CC=clang MPICH_CC=clang CFLAGS='-g -O1' \
      "$top/configure" -q --enable-sanitizers --disable-openmp \
      >configure.log 2>&1) || {
    tail -n 5 "$build/configure.log"
    echo "fuzz: cannot configure in $build" >&2
    exit 5
  }
fi
make -C "$build" -s "-j$(nproc 2>/dev/null || echo 2)" \
  CFLAGS='-g -O1 -fsanitize=fuzzer-no-link' regression/fuzz/fuzz \
  >"$build/make.log" 2>&1 || {
  tail -n 10 "$build/make.log"
  echo "fuzz: cannot build (all of it in $build/make.log)" >&2
  exit 5
}

# --- run ----------------------------------------------------------------------
HYMN_SRCDIR=$top
export HYMN_SRCDIR
TMPDIR=$build/tmp
[ ! -w /dev/shm ] || TMPDIR=/dev/shm/hymn-fuzz.$$
mkdir -p "$TMPDIR"
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT # a target that falls leaves its file
UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS ASAN_OPTIONS

# seeds TARGET: folders to begin with.
seeds() {
  echo "$here/fuzz/corpus/$1"
  case $1 in
  parquet) echo "$here/fixtures/parquet" ;;
  deck) echo "$top/input" ;;
  esac
}

# fuzz TARGET: sets $n_run and $n_found.
fuzz() {
  work=$build/fuzz/$1
  mkdir -p "$work/corpus" "$work/found"
  dict=
  [ ! -e "$here/fuzz/$1.dict" ] || dict=-dict=$here/fuzz/$1.dict
  # shellcheck disable=SC2046,SC2086 # words on purpose
  HYMN_FUZZ=$1 "$build/regression/fuzz/fuzz" -max_total_time="$seconds" \
    -timeout=25 -rss_limit_mb=4096 -malloc_limit_mb=4096 -max_len=20000 \
    -artifact_prefix="$work/found/" -print_final_stats=1 $dict \
    "$work/corpus" $(seeds "$1") >"$work/log" 2>&1
  n_run=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
  n_found=$(find "$work/found" -type f | wc -l)
}

# keep_some TARGET: the smallest files that reach all that is reached.
keep_some() {
  work=$build/fuzz/$1
  kept=$here/fuzz/corpus/$1
  rm -rf "$work/merged" "$work/small"
  mkdir -p "$work/merged" "$work/small"
  find "$work/corpus" -type f -size -1000c -exec cp {} "$work/small" \;
  cp "$kept"/* "$work/merged/"
  HYMN_FUZZ=$1 "$build/regression/fuzz/fuzz" -merge=1 -timeout=25 \
    "$work/merged" "$work/small" >"$work/merge.log" 2>&1
  room=$((30 - $(find "$kept" -type f | wc -l)))
  find "$work/merged" -type f | while read -r f; do
    [ -e "$kept/${f##*/}" ] || echo "$f"
  done | awk -v n="$room" 'n-- > 0' | while read -r f; do
    cp "$f" "$kept/"
  done
}

all_found=0
summary=
for t in ${*:-$names}; do
  echo "--- $t: $seconds s"
  fuzz "$t"
  all_found=$((all_found + n_found))
  summary="$summary$t: ${n_run:-0} inputs, $n_found found
"
  if [ "$n_found" != 0 ]; then
    grep -m 3 'ERROR: \|runtime error: \|SUMMARY: ' "$work/log"
    find "$work/found" -type f
  elif [ -z "$n_run" ]; then
    tail -n 5 "$work/log"
    all_found=$((all_found + 1))
  fi
  [ $keep = no ] || keep_some "$t"
done
printf '%s' "$summary"
[ $all_found = 0 ]
