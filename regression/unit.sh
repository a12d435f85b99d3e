#!/bin/sh
# unit.sh: the unit tests, `make check`; each test program is a test here.
. "$(dirname "$0")/lib.sh"

ran='make check'
cores=$(nproc 2>/dev/null || echo 2)
make -C "$HYMN_BUILT" "-j$cores" -k check >out 2>err
rc=$?
sed -n 's/^\(PASS\|FAIL\|ERROR\|XPASS\): /\1 /p' out | sort -k 2 >results
while read -r result program; do
  if [ "$result" = PASS ]; then
    ok "$program"
  else
    not_ok "$program" "see $HYMN_BUILT/${program%.sh}.log"
    tail -n 15 "$HYMN_BUILT/${program%.sh}.log" | sed 's/^/        /'
  fi
done <results
if [ $rc != 0 ] && [ $n_fail = 0 ]; then
  not_ok 'make check' "exit code $rc"
fi
test_that 'unit tests were built and run' [ "$n_pass" -gt 5 ]
finish
