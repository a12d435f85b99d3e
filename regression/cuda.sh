#!/bin/sh
# cuda.sh: the kernels beyond `make check`: other orders of threads, work that
# runs late, memory that the host may not touch, sanitizers; and, where configure
# has found nvcc, the module for a GPU: all architectures in it, nothing missing.
# shellcheck disable=SC2034,SC2154 # lib.sh uses ran and sets top
. "$(dirname "$0")/lib.sh"

cores=$(nproc 2>/dev/null || echo 2)

# built TARGET: made by make in the build tree; what it says is in ./out.
built() {
  ran="make $1" # shown when a test fails
  make -C "$HYMN_BUILT" "-j$cores" "$1" >out 2>&1
}

ops=$(sed -n 's/^HY_OP(\([a-z0-9_]*\)).*/\1/p' "$top/src/op/ops.def")

# parity NAME COMMAND...: the parity program holds, each of $ops by itself.
parity() {
  name=$1
  shift
  rm -rf logs && mkdir logs
  ran=$*
  # shellcheck disable=SC2016 # $0 and $@ are of the inner shell
  printf '%s\n' $ops | xargs -P "$cores" -I '{}' sh -c '
    op=$0
    HYMN_TEST_OP=test_$op timeout -k 5 "$@" >"logs/$op" 2>&1 &&
      grep -q "PASSED.* 1 test" "logs/$op" &&
      ! grep -q "WARNING: ThreadSanitizer" "logs/$op" || touch "logs/$op.bad"
  ' '{}' "${LIMIT-600}" "$@"
  bad=$(cd logs && ls ./*.bad 2>/dev/null)
  if [ -z "$bad" ]; then
    ok "$name"
  else
    cat logs/*.bad logs/"$(echo "$bad" | sed -n '1s/^..\(.*\).bad$/\1/p')" >out
    : >err
    not_ok "$name" "$(echo "$bad" | tr '\n' ' ')$(grep -h -m 1 \
      'cuda_shim:\|Sanitizer:\|runtime error\|ERROR' out)"
  fi
}

if ! make -C "$HYMN_BUILT" -n src/gpu/test_parity >out 2>&1; then
  ok "left out: kernels on the CPU (no C++ compiler or no cmocka)"
else
  # --- orders -----------------------------------------------------------------
  test_that "the parity program is built" built src/gpu/test_parity
  plain=$HYMN_BUILT/src/gpu/test_parity
  parity "a random order, late, out of the host's reach" \
    env HYMN_SHIM_ORDER=7 HYMN_SHIM_LAZY=1 HYMN_SHIM_PROTECT=1 "$plain"
  parity "warps that run ahead" env HYMN_SHIM_ORDER=greedy "$plain"

  # --- sanitizers -------------------------------------------------------------
  case $(sed -n 's/^HYMN_CXXFLAGS = //p' "$HYMN_BUILT/Makefile") in
  *sanitize*) ok "left out: sanitizers (this build has them already)" ;;
  *)
    if built cuda/asan/test_parity; then
      parity "AddressSanitizer and UBSan, backwards" \
        env HYMN_SHIM_ORDER=reverse "$HYMN_BUILT/cuda/asan/test_parity"
    else
      not_ok "the parity program with AddressSanitizer is built"
    fi
    # ThreadSanitizer wants addresses that are not spread too far
    tsan=$HYMN_BUILT/cuda/tsan/test_parity
    if ! built cuda/tsan/test_parity; then
      not_ok "the parity program with ThreadSanitizer is built"
    elif ! command -v setarch >/dev/null ||
      ! setarch -R env HYMN_TEST_OP=none "$tsan" >out 2>err; then
      ok "left out: ThreadSanitizer (it does not run on this system)"
    else
      # what it has time for
      all=$ops
      ops='rmsnorm gated_rmsnorm gate sum_squares scaled_norm embedding conv1d
        ssd_state ssd router permute combine seq_count seq_aux ce_stat ce'
      parity "ThreadSanitizer" env HYMN_TEST_CASE=2 setarch -R "$tsan"
      ops=$all
    fi
    ;;
  esac
fi

# --- the module for a GPU -------------------------------------------------------
# By nvcc, where there is one, in a build of its own unless this one has it.
nvcc=$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc)
tree=$HYMN_BUILT
if ! grep -q '^CUDA_ARCH = .' "$HYMN_BUILT/Makefile"; then
  if [ -z "$nvcc" ] || [ ! -e "$top/configure" ] || [ -e "$top/config.status" ]
  then
    ok "left out: the module by nvcc (no nvcc, or the checkout is configured)"
    finish
  fi
  tree=$HYMN_BUILT/regression/cuda-module
  mkdir -p "$tree"
  [ -e "$tree/Makefile" ] ||
    (cd "$tree" && "$top/configure" --with-cuda NVCC="$nvcc") >configure.log 2>&1
fi
HYMN_BUILT=$tree
test_that "the module is built by nvcc" built cuda/hymn-cuda.so
module=$tree/cuda/hymn-cuda.so
archs=$(sed -n 's/^CUDA_ARCH = //p' "$tree/Makefile")
bin=$(dirname "${nvcc:-nvcc}")
if [ -x "$bin/cuobjdump" ]; then
  "$bin/cuobjdump" --list-elf --list-ptx "$module" >images 2>err
  for a in $archs; do
    test_that "kernels for sm_$a" grep -q "sm_$a\\.cubin" images
  done
  test_that "PTX for GPUs that come later" grep -q '\.ptx' images
fi
# loaded with every symbol resolved; a GPU is not needed
HYMN_CUDA_MODULE=$module
export HYMN_CUDA_MODULE
run 1 --version
if grep -q '^GPU .*runtime' out; then
  ok "hymn loads it: $(sed -n 's/^GPU *//p' out | head -n 1)"
else
  not_ok "hymn loads it" "$(grep GPU out)"
fi
finish
