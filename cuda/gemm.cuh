/* gemm.cuh: a 128 x 128 tile of a product of bf16 matrices with fp32 sums on
 * tensor cores (mma.sync), by a block of 128 threads: 4 warps of 64 x 64 each.
 *
 * A factor is 128 lines, rows of the left one or columns of the right one,
 * each a vector over k. ALONG: k runs along memory, lines are ld apart; else
 * the lines lie beside each other and k steps by ld. Panels of 64 k come
 * through a ring of stages of shared memory (cp.async), in chunks of 16 bytes
 * whose place in a row of the panel is xored with the row, so that ldmatrix
 * meets no bank twice. What is outside of a factor is filled with zeros.
 *
 * VEC: base and ld are multiples of 16 bytes. Else elements are copied one by
 * one; the sums are the same. */
#ifndef HYMN_CUDA_GEMM_CUH
#define HYMN_CUDA_GEMM_CUH

#include "launch.h"
#include "ptx.h"
#include <cuda_pipeline.h>

enum {
  GEMM_TILE = 128, /* rows and columns */
  GEMM_K = 64,
  GEMM_STAGES = 3,
  GEMM_THREADS = 128,
  GEMM_PANEL = GEMM_TILE * GEMM_K,                /* elements */
  GEMM_SHARED = GEMM_STAGES * 2 * GEMM_PANEL * 2, /* bytes */
};

typedef struct {
  const bf16 *p; /* first line, k = 0 */
  int64_t ld;
  int n; /* lines there, at most GEMM_TILE */
} gemm_side;

/* The accumulators of a thread: element [i][j][2 h + e] is row 16 i + 8 h +
 * lane / 4, column 8 j + 2 (lane % 4) + e of the 64 x 64 of its warp. */
typedef struct {
  float v[4][8][4];
} gemm_sum;

typedef struct {
  uint32_t a[4][4], b[8][2];
} gemm_frag;

/** Lines first .. of n. */
template <bool ALONG>
__device__ static inline gemm_side
gemm_lines(const void *p, int64_t ld, int64_t first, int64_t n)
{
  int64_t left = n - first;

  return {(const bf16 *)p + (ALONG ? first * ld : first), ld,
          left < GEMM_TILE ? (int)left : (int)GEMM_TILE};
}

__device__ static inline int
gemm_row0(void)
{
  return threadIdx.x / 64 * 64;
}

__device__ static inline int
gemm_col0(void)
{
  return threadIdx.x / 32 % 2 * 64;
}

/* n of the 8 elements of a chunk, the rest zero. */
template <bool VEC>
__device__ static inline void
gemm_chunk(bf16 *to, const bf16 *from, int n)
{
  n = n < 0 ? 0 : n > 8 ? 8 : n;
  if (VEC) {
    cp_async_part(to, from, 2 * n);
  } else {
    union {
      uint16_t u[8];
      uint4 v;
    } x;

    for (int j = 0; j < 8; j++)
      x.u[j] = j < n ? ((const uint16_t *)from)[j] : (uint16_t)0;
    *(uint4 *)to = x.v;
  }
}

/* The next panel of which k are left. */
template <bool ALONG, bool VEC>
__device__ static inline void
gemm_fetch(bf16 *to, gemm_side s, int64_t k)
{
  constexpr int width = ALONG ? GEMM_K : GEMM_TILE, chunks = width / 8;
  int n_k = k < GEMM_K ? (int)k : (int)GEMM_K;
  int rows = ALONG ? s.n : n_k, cols = ALONG ? n_k : s.n;
  int row = threadIdx.x / chunks, col = threadIdx.x % chunks * 8;
  bf16 *at = to + row * width + (col ^ (row & 7) * 8);
  const bf16 *from = s.p + row * s.ld + col;
  constexpr int step = GEMM_THREADS / chunks; /* a multiple of 8 */

  if (VEC && rows * cols == GEMM_PANEL) {
#pragma unroll
    for (int i = 0; i < GEMM_PANEL / 8 / GEMM_THREADS; i++)
      cp_async_16(at + i * step * width, from + i * step * s.ld, true);
    return;
  }
#pragma unroll
  for (int i = 0; i < GEMM_PANEL / 8 / GEMM_THREADS; i++) {
    int n = row + i * step < rows ? cols - col : 0;

    gemm_chunk<VEC>(at + i * step * width, n > 0 ? from + i * step * s.ld : s.p,
                    n);
  }
}

/* Fragments of columns 16 s .. 16 s + 15 of the panels. */
template <bool ALONG_A, bool ALONG_B>
__device__ static inline void
gemm_load(gemm_frag &f, const bf16 *a, const bf16 *b, int s)
{
  int lane = threadIdx.x % 32, r = lane & 7, mid = lane >> 3 & 1,
      top = lane >> 4;
  int m = gemm_row0(), n = gemm_col0();

#pragma unroll
  for (int i = 0; i < 4; i++) {
    int line = m + 16 * i + 8 * mid, k = 16 * s + 8 * top;

    if (ALONG_A)
      ldmatrix_x4<false>(f.a[i], a + (line + r) * GEMM_K + (k ^ r * 8));
    else
      ldmatrix_x4<true>(f.a[i], a + (k + r) * GEMM_TILE + (line ^ r * 8));
  }
#pragma unroll
  for (int j = 0; j < 4; j++) {
    int line = n + 16 * j + 8 * top, k = 16 * s + 8 * mid;
    uint32_t x[4];

    if (ALONG_B)
      ldmatrix_x4<false>(x, b + (line + r) * GEMM_K + (k ^ r * 8));
    else
      ldmatrix_x4<true>(x, b + (k + r) * GEMM_TILE + (line ^ r * 8));
    f.b[2 * j][0] = x[0];
    f.b[2 * j][1] = x[1];
    f.b[2 * j + 1][0] = x[2];
    f.b[2 * j + 1][1] = x[3];
  }
}

/* c += the product of two panels; fragments come one step ahead. */
template <bool ALONG_A, bool ALONG_B>
__device__ static inline void
gemm_panel(gemm_sum &c, const bf16 *a, const bf16 *b)
{
  gemm_frag f[2];

  gemm_load<ALONG_A, ALONG_B>(f[0], a, b, 0);
#pragma unroll
  for (int s = 0; s < GEMM_K / 16; s++) {
    if (s + 1 < GEMM_K / 16)
      gemm_load<ALONG_A, ALONG_B>(f[(s + 1) % 2], a, b, s + 1);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 8; j++)
        mma_bf16_16816(c.v[i][j], f[s % 2].a[i], f[s % 2].b[j], c.v[i][j]);
  }
}

/** c = the product over k; every thread of the block calls it.
 *  \param sm  GEMM_SHARED bytes of shared memory, which nobody else uses */
template <bool ALONG_A, bool ALONG_B, bool VEC>
__device__ static inline void
gemm_tile(gemm_sum &c, gemm_side a, gemm_side b, int64_t k, bf16 *sm)
{
  bool busy = gemm_row0() < a.n && gemm_col0() < b.n;
  int n = (int)((k + GEMM_K - 1) / GEMM_K), in = 0, out = 0;

#pragma unroll
  for (int i = 0; i < 4 * 8 * 4; i++)
    c.v[i / 32][i / 4 % 8][i % 4] = 0;
  for (int i = 1 - GEMM_STAGES; i < n; i++) {
    if (i >= 0) {
      __pipeline_wait_prior(GEMM_STAGES - 2);
      __syncthreads(); /* all have panel i, nobody reads panel i - 1 */
    }
    if (i + GEMM_STAGES - 1 < n) {
      bf16 *to = sm + in * 2 * GEMM_PANEL;

      gemm_fetch<ALONG_A, VEC>(to, a, k);
      gemm_fetch<ALONG_B, VEC>(to + GEMM_PANEL, b, k);
      a.p += ALONG_A ? GEMM_K : GEMM_K * a.ld;
      b.p += ALONG_B ? GEMM_K : GEMM_K * b.ld;
      k -= GEMM_K;
      in = in + 1 < GEMM_STAGES ? in + 1 : 0;
    }
    __pipeline_commit();
    if (i < 0)
      continue;
    if (busy)
      gemm_panel<ALONG_A, ALONG_B>(c, sm + out * 2 * GEMM_PANEL,
                                   sm + out * 2 * GEMM_PANEL + GEMM_PANEL);
    out = out + 1 < GEMM_STAGES ? out + 1 : 0;
  }
  __pipeline_wait_prior(0); /* empty groups */
}

__device__ static inline void
gemm_pair(float *to, float x, float y, float beta)
{
  float2 old = {0, 0};

  if (beta != 0)
    old = *(const float2 *)to;
  *(float2 *)to = {beta != 0 ? beta * old.x + x : x,
                   beta != 0 ? beta * old.y + y : y};
}

__device__ static inline void
gemm_pair(bf16 *to, float x, float y, float beta)
{
  if (beta != 0) {
    __nv_bfloat162 old = *(const __nv_bfloat162 *)to;

    x += beta * __bfloat162float(old.x);
    y += beta * __bfloat162float(old.y);
  }
  *(__nv_bfloat162 *)to = __floats2bfloat162_rn(x, y);
}

/** c = beta c + sum for the m x n elements of the tile that begins at p. */
template <class T>
__device__ static inline void
gemm_store(T *p, int64_t ld, int m, int n, float beta, const gemm_sum &c)
{
  int lane = threadIdx.x % 32;
  int row0 = gemm_row0() + lane / 4, col0 = gemm_col0() + lane % 4 * 2;
  bool pairs = (uintptr_t)p % (2 * sizeof(T)) == 0 && ld % 2 == 0;

#pragma unroll
  for (int i = 0; i < 8; i++) {
    int row = row0 + 8 * i;
    T *to = p + row * ld + col0;

#pragma unroll
    for (int j = 0; j < 8; j++) {
      float x = c.v[i / 2][j][i % 2 * 2], y = c.v[i / 2][j][i % 2 * 2 + 1];
      int left = row < m ? n - col0 - 8 * j : 0;

      if (pairs && left > 1) {
        gemm_pair(to + 8 * j, x, y, beta);
        continue;
      }
      if (left > 0)
        cu_put(to + 8 * j, beta != 0 ? beta * cu_get(to[8 * j]) + x : x);
      if (left > 1)
        cu_put(to + 8 * j + 1,
               beta != 0 ? beta * cu_get(to[8 * j + 1]) + y : y);
    }
  }
}

/** Base and ld of whole chunks. */
static inline bool
gemm_aligned(const void *p, int64_t ld)
{
  return (uintptr_t)p % 16 == 0 && ld % 8 == 0;
}

#endif
