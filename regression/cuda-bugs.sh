#!/bin/sh
# cuda-bugs.sh: would the tests notice? Plants one bug at a time in a copy of the
# kernels and runs the parity program of that op: in four orders of threads, lazily,
# with AddressSanitizer and UBSan, and one case with ThreadSanitizer. A line for
# each bug says what found it; exit code 1 when one was found by nothing. Needs a
# build (HYMN_BUILT, default build/) in which regression/cuda.sh has run; some ten
# minutes on two cores.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 5
top=$(dirname "$here")
HYMN_BUILT=${HYMN_BUILT-$top/build}
cd "$HYMN_BUILT" || exit 5
make src/gpu/test_parity cuda/asan/test_parity cuda/tsan/test_parity \
  >/dev/null || exit 5
work=$HYMN_BUILT/regression/cuda-bugs
rm -rf "$work" && mkdir -p "$work" || exit 5
missed=0

# The value of a variable of the Makefile.
value() {
  printf 'show:\n\t@echo $(%s)\n' "$1" |
    make -s --no-print-directory -f Makefile -f - show
}
cxx=$(value CXX)
cc=$(value CC)
flags="$(value CFLAGS) $(value AM_CFLAGS)"
libs="$(value HYMN_TEST_LIBS) -lstdc++"
tested=$(value SHIM_TESTED)
asan=$(value ASAN)

# planted KIND FLAGS LINKFLAGS OBJECTS: the parity program with the bug in it.
planted() {
  # shellcheck disable=SC2086 # words on purpose
  $cxx -std=c++17 -g -O1 -w -I"$work" -I"$work/cuda/shim/include" $2 -x c++ \
    -c -o "$work/$1.o" "$work/cuda/$unit.cu" || exit 5
  others=$(for o in $4; do
    case $o in */"$unit".host.o | */"$unit".o) ;; *) echo "$o" ;; esac
  done)
  # shellcheck disable=SC2086
  $cc $flags $3 -o "$work/$1" $tested $others "$work/$1.o" $libs || exit 5
}

# found WORD COMMAND...: adds WORD to what has found the bug. Being slow is not
# finding it.
found() {
  word=$1
  shift
  timeout -k 5 "${LIMIT-300}" "$@" >"$work/out" 2>&1
  rc=$?
  if { [ $rc != 0 ] && [ $rc != 124 ]; } ||
    grep -q 'WARNING: ThreadSanitizer' "$work/out"; then
    by="$by $word"
  fi
}

# bug WHAT UNIT OP FILE SED: in cuda/FILE, for the kernels of cuda/UNIT.cu.
# ThreadSanitizer has time for one case of an op: one in which the bug can show,
# so products with more than one panel have to be there.
bug() {
  what=$1 unit=$2 op=$3
  case $op in
  linear | attention) case=0 ;;
  seq_count) case=3 ;;
  grouped_linear) case=5 ;;
  *) case=2 ;;
  esac
  rm -rf "$work/cuda" && cp -r "$top/cuda" "$work/cuda"
  sed "$5" "$top/cuda/$4" >"$work/cuda/$4"
  if cmp -s "$top/cuda/$4" "$work/cuda/$4"; then
    echo "NOT PLANTED  $what: $4 has changed, look at this script"
    missed=1
    return
  fi
  planted plain "" "" "$(value SHIM_O)"
  planted asan "$asan" "$asan" "$(value ASAN_O)"
  planted tsan -fsanitize=thread -fsanitize=thread "$(value TSAN_O)"
  by=
  for order in forward reverse greedy 7; do
    found $order env HYMN_TEST_OP="test_$op" HYMN_SHIM_ORDER=$order \
      "$work/plain"
  done
  found lazy env HYMN_TEST_OP="test_$op" HYMN_SHIM_LAZY=1 "$work/plain"
  found ASan env HYMN_TEST_OP="test_$op" ASAN_OPTIONS=detect_leaks=0 \
    "$work/asan"
  found TSan env HYMN_SHIM_BLOCKS=1 HYMN_TEST_OP="test_$op" \
    HYMN_TEST_CASE="$case" setarch -R "$work/tsan"
  [ -n "$by" ] || missed=1
  echo "$what ($4): ${by:- NOTHING}"
}

# without a bug it is silent
for op in rmsnorm ce_stat silu seq_count combine; do
  by=
  found TSan env HYMN_SHIM_BLOCKS=1 HYMN_TEST_OP=test_$op HYMN_TEST_CASE=2 \
    setarch -R cuda/tsan/test_parity
  [ -z "$by" ] || {
    missed=1
    echo "NOT SILENT without a bug: $op"
  }
done

barrier='s/__syncthreads();//'
bug "no barrier before the warps' sums are read" rmsnorm rmsnorm row.cuh \
  "/room\[threadIdx.y \* warps + threadIdx.x/{n;$barrier;}"
bug "no barrier at the end of a tile" linear linear gemm_f32.cuh \
  "/y\[kk\]\[col/{n;$barrier;}"
bug "no barrier between two uses of a list" ce_stat ce_stat ce.cuh \
  "/ tops\[threadIdx/{n;$barrier;}"
bug "a row too much" silu silu pointwise.cuh \
  's/u \* blockDim.y < a.rows)/u * blockDim.y <= a.rows)/'
bug "a token too much" seq_count seq_count seq_count.cu \
  's/if (t >= n_tokens ||/if (t > n_tokens ||/'
bug "a weight of another choice" combine combine combine.cu \
  's/c.list ? i \* ld :/c.list ? i * ld + 1 :/;s/r \* ld + i - r/r * ld + 1 + i - r/'
bug "a race between warps" seq_count seq_count seq_count.cu \
  's/atomicAdd(&y\[e\], 1)/y[e] = y[e] + 1/'
bug "a race between threads" rmsnorm rmsnorm row.cuh \
  's/if (lane == 0)$/if (lane < 2)/;s/ \* warps + threadIdx.x \/ 32\] = s/] = s/'
bug "no wait for a copy" grouped_linear grouped_linear gemm.cuh \
  's/__pipeline_wait_prior(GEMM_STAGES - 2)/__pipeline_wait_prior(GEMM_STAGES)/'
bug "no wait for a copy, attention" attention attention attention_fwd_mma.cuh \
  '0,/__pipeline_wait_prior(0)/s/__pipeline_wait_prior(0)/__pipeline_wait_prior(1)/'
exit $missed
