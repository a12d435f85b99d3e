#!/bin/sh
# cuda-occupancy.sh: what nvcc makes of each kernel: registers, shared memory,
# spills, and the share of a multiprocessor's threads that can be there at once.
# A table for doc/gpu-log.md:
#
#   sh regression/cuda-occupancy.sh [ARCH [FILE.cu...]]      (90a, all of cuda/)
#
# Block sizes and dynamic shared memory are the largest with which the parity
# program launches a kernel (through the shim; HYMN_BUILT names its build
# directory). Limits: 65536 registers, 2048 threads and, of 9.0, 228 KiB.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 5
top=$(dirname "$here")
HYMN_BUILT=${HYMN_BUILT-$top/build}
arch=${1-90a}
[ $# = 0 ] || shift
nvcc=${NVCC-nvcc}
command -v "$nvcc" >/dev/null || nvcc=/usr/local/cuda/bin/nvcc
work=$(mktemp -d) || exit 5
trap 'rm -rf "$work"' EXIT
[ $# != 0 ] || set -- "$top"/cuda/*.cu

# name threads bytes, the largest of each
HYMN_SHIM_TRACE=1 "$HYMN_BUILT/src/gpu/test_parity" 2>&1 >/dev/null |
  sed -n 's/^cuda_shim: (*\([A-Za-z0-9_]*\).*<<<([0-9,]*),(\([0-9]*\),\([0-9]*\),\([0-9]*\)),\([0-9]*\)>>>.*/\1 \2 \3 \4 \5/p' |
  awk '{ t = $2 * $3 * $4
         if (t > n[$1]) n[$1] = t
         if ($5 > s[$1] + 0) s[$1] = $5 }
       END { for (k in n) print k, n[k], s[k] + 0 }' >"$work/launches"

for file; do
  "$nvcc" -std=c++17 -O3 -arch="sm_$arch" -Xptxas -v -I"$top" -c \
    -o "$work/out.o" "$file" 2>&1 | c++filt |
    awk -v file="$(basename "$file")" '
      /Compiling entry function/ {
        name = $0
        sub(/.*entry function ./, "", name)
        sub(/. for .sm_.*/, "", name)
        sub(/^void /, "", name)
      }
      /bytes spill stores/ { spill = $5 + $9 }
      /Used [0-9]+ registers/ {
        for (i = 1; i < NF; i++) {
          if ($(i + 1) ~ /^registers/) reg = $i
          if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) smem = $i
        }
        print file "|" name "|" reg "|" smem + 0 "|" spill + 0
        smem = 0
      }'
done >"$work/kernels"

echo '| file | kernel | registers | static + dynamic shared | spilled | threads | occupancy |'
echo '|---|---|---|---|---|---|---|'
awk -F'|' -v launches="$work/launches" '
  BEGIN {
    while ((getline line <launches) > 0) {
      split(line, f, " ")
      threads[f[1]] = f[2]
      dynamic[f[1]] = f[3]
    }
  }
  function least(a, b) { return a < b ? a : b }
  {
    full = $2
    base = full
    sub(/[<(].*/, "", base)
    short = full
    sub(/\(.*/, "", short)
    gsub(/__nv_bfloat16/, "bf16", short)
    t = threads[base]
    if (!t) {
      printf "| %s | %s | %d | %d | %d | | |\n", $1, short, $3, $4, $5
      next
    }
    warps = int((t + 31) / 32)
    regs = int(($3 * 32 + 255) / 256) * 256 * warps
    shared = $4 + dynamic[base] + 1024
    n = least(int(65536 / regs), least(int(64 / warps), 32))
    n = least(n, int(228 * 1024 / shared))
    printf "| %s | %s | %d | %d + %d | %d | %d | %d %% |\n", $1, short, $3, $4,
      dynamic[base], $5, t, 100 * n * warps / 64
  }' "$work/kernels"
