/* gemm_f32.cuh: a 64 x 64 tile of an fp32 product with plain multiply-adds, by
 * a block of 256 threads with 4 x 4 elements each. Lines and ALONG are those
 * of gemm.cuh. */
#ifndef HYMN_CUDA_GEMM_F32_CUH
#define HYMN_CUDA_GEMM_F32_CUH

#include "launch.h"

enum { GEMM_F32_TILE = 64, GEMM_F32_K = 16, GEMM_F32_THREADS = 256 };

typedef struct {
  const float *p; /* first line, k = 0 */
  int64_t ld;
  int n; /* lines there, at most GEMM_F32_TILE */
} gemm_f32_side;

/* Element [i][j] of a thread is row 4 (thread / 16) + i, column 4 (thread %
 * 16) + j. */
typedef struct {
  float v[4][4];
} gemm_f32_sum;

typedef float gemm_f32_panel[GEMM_F32_K][GEMM_F32_TILE + 4];

template <bool ALONG>
__device__ static inline gemm_f32_side
gemm_f32_lines(const void *p, int64_t ld, int64_t first, int64_t n)
{
  int64_t left = n - first;

  return {(const float *)p + (ALONG ? first * ld : first), ld,
          left < GEMM_F32_TILE ? (int)left : (int)GEMM_F32_TILE};
}

template <bool ALONG>
__device__ static inline void
gemm_f32_fetch(gemm_f32_panel &to, gemm_f32_side s, int64_t k)
{
  for (int i = 0; i < GEMM_F32_TILE * GEMM_F32_K / GEMM_F32_THREADS; i++) {
    int at = threadIdx.x + i * GEMM_F32_THREADS;
    int line = ALONG ? at / GEMM_F32_K : at % GEMM_F32_TILE;
    int kk = ALONG ? at % GEMM_F32_K : at / GEMM_F32_TILE;
    bool there = line < s.n && kk < k;

    to[kk][line] =
        there ? s.p[ALONG ? line * s.ld + kk : kk * s.ld + line] : 0.0f;
  }
}

/** c = the product over k; every thread of the block calls it. */
template <bool ALONG_A, bool ALONG_B>
__device__ static inline void
gemm_f32_tile(gemm_f32_sum &c, gemm_f32_side a, gemm_f32_side b, int64_t k)
{
  CU_SHARED(gemm_f32_panel, x);
  CU_SHARED(gemm_f32_panel, y);
  int row = threadIdx.x / 16 * 4, col = threadIdx.x % 16 * 4;

  for (int i = 0; i < 16; i++)
    c.v[i / 4][i % 4] = 0;
  for (; k > 0; k -= GEMM_F32_K) {
    gemm_f32_fetch<ALONG_A>(x, a, k);
    gemm_f32_fetch<ALONG_B>(y, b, k);
    __syncthreads();
    if (row < a.n && col < b.n)
#pragma unroll
      for (int kk = 0; kk < GEMM_F32_K; kk++)
#pragma unroll
        for (int i = 0; i < 16; i++)
          c.v[i / 4][i % 4] += x[kk][row + i / 4] * y[kk][col + i % 4];
    __syncthreads();
    a.p += ALONG_A ? GEMM_F32_K : GEMM_F32_K * a.ld;
    b.p += ALONG_B ? GEMM_F32_K : GEMM_F32_K * b.ld;
  }
}

/** c = beta c + sum for the m x n elements of the tile that begins at p. */
__device__ static inline void
gemm_f32_store(float *p, int64_t ld, int m, int n, float beta,
               const gemm_f32_sum &c)
{
  int row = threadIdx.x / 16 * 4, col = threadIdx.x % 16 * 4;

#pragma unroll
  for (int i = 0; i < 16; i++)
    if (row + i / 4 < m && col + i % 4 < n) {
      float *to = p + (row + i / 4) * ld + col + i % 4;

      *to = beta != 0 ? beta * *to + c.v[i / 4][i % 4] : c.v[i / 4][i % 4];
    }
}

#endif
