# lib.sh: what the scripts of this folder share. A script starts with
#
#   . "$(dirname "$0")/lib.sh"
#
# and is then in an empty work directory of its own in the build tree, with
# $hymn built, $top (the checkout) and $here (this folder) set. It ends with
# `finish`.
set -u
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
theme=$(basename "$0" .sh)
if [ -z "${HYMN_BUILT-}" ]; then # not called by check.sh
  HYMN_BUILT=$(sh "$here/setup.sh") || exit
  export HYMN_BUILT
fi
hymn=$HYMN_BUILT/src/hymn
work=$HYMN_BUILT/regression/$theme
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 5
n_pass=0
n_fail=0
# The MPI library keeps memory; a sanitizer build would report that as ours.
ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=0}
export ASAN_OPTIONS

# ok NAME, not_ok NAME [WHY]: one line a test; a failure shows what was run.
ok() {
  n_pass=$((n_pass + 1))
  echo "ok      $theme: $1"
}
not_ok() {
  n_fail=$((n_fail + 1))
  echo "NOT OK  $theme: $1${2:+ ($2)}"
  {
    echo "command: ${ran-}"
    tail -n 3 out
    grep -v "^ *$" err | head -n 12
  } 2>/dev/null | sed 's/^/        /'
}

# run RANKS ARGS...: hymn; its output in ./out, its messages in ./err, its exit
# code in $rc. One rank needs no launcher.
run() {
  ranks=$1
  shift
  ran="hymn $* ($ranks ranks, in $PWD)"
  [ "$ranks" != 1 ] || ranks=0
  MPI_RUN_TIMEOUT=${LIMIT-120} sh "$here/mpi-run" "$ranks" "$hymn" "$@" \
    >out 2>err </dev/null
  rc=$?
}

# test_run NAME RANKS ARGS...: a test that wants exit code 0.
test_run() {
  name=$1
  shift
  run "$@"
  if [ $rc = 0 ]; then ok "$name"; else not_ok "$name" "exit code $rc"; fi
}

# need RANKS ARGS...: a step that later tests stand on; a failure is a test.
need() {
  run "$@"
  [ $rc = 0 ] || not_ok "a step that tests need" "exit code $rc"
}

# test_that NAME COMMAND...: a test that wants the command to succeed.
test_that() {
  name=$1
  shift
  if "$@"; then ok "$name"; else not_ok "$name" "failed: $*"; fi
}

# offset_of FILE DATASET: where the bytes of a dataset of an HDF5 file are.
offset_of() {
  h5dump -p -H -d "$2" "$1" | sed -n 's/.*OFFSET *\([0-9]*\).*/\1/p'
}

# The reference cases of this checkout, unpacked: $cases.
cases=$HYMN_BUILT/regression/cases
unpack_cases() {
  [ -e "$cases/done" ] &&
    [ -z "$(find "$here/oracle" -newer "$cases/done" | head -n 1)" ] && return
  rm -rf "$cases"
  (cd "$here/oracle" && find . -type f -path './*/*') | while read -r f; do
    mkdir -p "$cases/$(dirname "$f")"
    case $f in
    *.gz) gzip -dc "$here/oracle/$f" >"$cases/${f%.gz}" ;;
    *) cp "$here/oracle/$f" "$cases/$f" ;;
    esac
  done
  touch "$cases/done"
}

# columns A.csv FIRST LAST: the numeric columns step .. gnorm of some steps.
columns() {
  awk -F, -v lo="$2" -v hi="$3" '
    NR > 1 && $1 >= lo && $1 <= hi { print $1 "," $2 "," $3 "," $4 "," $5 "," $6 }
  ' "$1"
}

# The end of a script: its sum, also for check.sh.
finish() {
  echo "$theme: $n_pass passed, $n_fail failed"
  [ -z "${HYMN_TALLY-}" ] || echo "$n_pass $n_fail" >>"$HYMN_TALLY"
  [ $n_fail = 0 ]
  exit
}
