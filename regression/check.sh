#!/bin/sh
# check.sh: every test of hymn. From any directory:
#
#   sh regression/check.sh
#
# Builds first (setup.sh installs what is missing). The last line is `N passed,
# N failed`; the exit code is 1 when any failed. A name limits it to some of the
# scripts beside this one: sh regression/check.sh oracle decks. With ORACLE=DIR
# all reference cases of another folder are run as well.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 5
case ${ORACLE-} in
'' | /*) ;;
*) ORACLE=$PWD/$ORACLE ;;
esac
export ORACLE="${ORACLE-}"
HYMN_BUILT=$(sh "$here/setup.sh") || {
  echo "0 passed, 1 failed"
  exit 1
}
export HYMN_BUILT
mkdir -p "$HYMN_BUILT/regression"
export HYMN_TALLY="$HYMN_BUILT/regression/tally"
passed=0
failed=0
for theme in ${*:-unit cuda device oracle decks layouts context resume matrix weights text prepare published lineage blend cli plan badinput faults}; do
  echo "--- $theme"
  rm -f "$HYMN_TALLY"
  sh "$here/$theme.sh"
  if read -r p f 2>/dev/null <"$HYMN_TALLY"; then
    passed=$((passed + p))
    failed=$((failed + f))
  else
    echo "NOT OK  $theme: the script ended early"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
