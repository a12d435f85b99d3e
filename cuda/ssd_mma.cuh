/* ssd_mma.cuh: tiles of bf16 in shared memory, and their products on tensor
 * cores. Rows of a tile are 8 numbers longer than their contents, so that the
 * 8 rows that ldmatrix reads lie in different banks. */
#ifndef HYMN_CUDA_SSD_MMA_CUH
#define HYMN_CUDA_SSD_MMA_CUH

#include "pack.cuh"
#include "ptx.h"
#include "ssd.cuh"

#include <cuda_pipeline.h>

enum {
  SSD_P = 64,  /* columns of a head that a block has at once */
  SSD_N = 128, /* largest d_state */
  SSD_LDP = SSD_P + 8,
  SSD_LDN = SSD_N + 8,
};

/* The shapes that the kernels on tensor cores take. */
static inline bool
ssd_fast(const cu_ssd &k)
{
  return k.x.bf16 && k.d_state % 8 == 0 && k.d_state <= SSD_N;
}

/* Columns of a head in tiles of SSD_P. */
__device__ __host__ static inline int64_t
ssd_head_tiles(const cu_ssd &k)
{
  return (k.d_head + SSD_P - 1) / SSD_P;
}

/* --- filling ------------------------------------------------------------- */

/* Rows lo .. hi-1 and the first `cols` columns of p into a tile of SSD_Q rows
 * of COLS, zero elsewhere; asynchronous where addresses allow it. */
template <int COLS, int LD, int THREADS>
__device__ static inline void
ssd_fill(bf16 *tile, const bf16 *p, int64_t ld, int lo, int hi, int64_t cols)
{
  bool wide = (((uintptr_t)p | (uintptr_t)(2 * ld)) & 15) == 0;

  for (int e = threadIdx.x; e < SSD_Q * COLS / 8; e += THREADS) {
    int r = e / (COLS / 8), c = e % (COLS / 8) * 8;
    bf16 *to = tile + r * LD + c;
    const bf16 *from = p + r * ld + c;

    if (wide && r >= lo && r < hi && c + 8 <= cols)
      __pipeline_memcpy_async(to, from, 16);
    else
      for (int i = 0; i < 8; i++)
        to[i] = r >= lo && r < hi && c + i < cols ? from[i]
                                                  : __float2bfloat16_rn(0.0f);
  }
}

/* A state of fp32 (rows, d_state) into a tile of SSD_P rows. */
template <int THREADS>
__device__ static inline void
ssd_fill_state(bf16 *tile, const float *p, int rows, int64_t d_state)
{
  bool wide = ((uintptr_t)p & 15) == 0;

#pragma unroll
  for (int e = threadIdx.x; e < SSD_P * SSD_N / 4; e += THREADS) {
    int r = e / (SSD_N / 4), c = e % (SSD_N / 4) * 4;
    const float *from = p + r * d_state + c;
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);

    if (r < rows && c < d_state)
      v = wide ? *(const float4 *)from
               : make_float4(from[0], from[1], from[2], from[3]);
    *(uint2 *)&tile[r * SSD_LDN + c] =
        make_uint2(cu_two(v.x, v.y), cu_two(v.z, v.w));
  }
}

/* One warp: ROWS rows of a tile of SSD_P columns to p, those of which keep(row)
 * is true, 16 bytes at a time where addresses allow it. */
template <int ROWS, class F>
__device__ static inline void
ssd_drain(const bf16 *tile, int lds, bf16 *p, int64_t ld, int cols, F keep)
{
  bool wide = (((uintptr_t)p | (uintptr_t)(2 * ld)) & 15) == 0;

#pragma unroll
  for (int e = threadIdx.x % 32; e < ROWS * SSD_P / 8; e += 32) {
    int r = e / (SSD_P / 8), c = e % (SSD_P / 8) * 8;

    if (!keep(r))
      continue;
    if (wide && c + 8 <= cols)
      *(uint4 *)&p[r * ld + c] = *(const uint4 *)&tile[r * lds + c];
    else
      for (int i = 0; i < 8 && c + i < cols; i++)
        p[r * ld + c + i] = tile[r * lds + c + i];
  }
}

/* --- fragments ----------------------------------------------------------- */

/* Lane l of a warp has, of a 16 x 8 result, rows l / 4 and l / 4 + 8, columns
 * 2 (l % 4) and the next one. */
__device__ static inline int
ssd_lane_row(void)
{
  return threadIdx.x % 32 / 4;
}

__device__ static inline int
ssd_lane_col(void)
{
  return threadIdx.x % 4 * 2;
}

/* a[16 rows from m0][16 from k0] of a tile with rows m. */
__device__ static inline void
ssd_a(uint32_t (&a)[4], const bf16 *tile, int ld, int m0, int k0)
{
  int l = threadIdx.x % 32;

  ldmatrix_x4<false>(a, tile + (m0 + l % 16) * ld + k0 + l / 16 * 8);
}

/* The same of a tile with rows k. */
__device__ static inline void
ssd_a_turned(uint32_t (&a)[4], const bf16 *tile, int ld, int m0, int k0)
{
  int l = threadIdx.x % 32;

  ldmatrix_x4<true>(a,
                    tile + (k0 + l / 16 * 8 + l % 8) * ld + m0 + l / 8 % 2 * 8);
}

/* b[16 from k0][16 from n0] of a tile with rows n: two fragments. */
__device__ static inline void
ssd_b(uint32_t (&b)[2][2], const bf16 *tile, int ld, int n0, int k0)
{
  int l = threadIdx.x % 32;
  uint32_t r[4];

  ldmatrix_x4<false>(r, tile + (n0 + l / 16 * 8 + l % 8) * ld + k0 +
                            l / 8 % 2 * 8);
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

/* The same of a tile with rows k. */
__device__ static inline void
ssd_b_turned(uint32_t (&b)[2][2], const bf16 *tile, int ld, int n0, int k0)
{
  int l = threadIdx.x % 32;
  uint32_t r[4];

  ldmatrix_x4<true>(r, tile + (k0 + l % 16) * ld + n0 + l / 16 * 8);
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

/* Two results side by side as a of the next product. */
__device__ static inline void
ssd_a_of(uint32_t (&a)[4], const float (&c)[2][4])
{
  a[0] = cu_two(c[0][0], c[0][1]);
  a[1] = cu_two(c[0][2], c[0][3]);
  a[2] = cu_two(c[1][0], c[1][1]);
  a[3] = cu_two(c[1][2], c[1][3]);
}

__device__ static inline void
ssd_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
  mma_bf16_16816(c, a, b, c);
}

/* The two numbers of a register, the first in the low half. */
__device__ static inline float
ssd_low(uint32_t v)
{
  return __uint_as_float(v << 16);
}

__device__ static inline float
ssd_high(uint32_t v)
{
  return __uint_as_float(v & 0xffff0000u);
}

/* a's columns k times w[k0 + k]. */
__device__ static inline void
ssd_scale_k(uint32_t (&a)[4], const float *w, int k0)
{
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float *f = w + k0 + ssd_lane_col() + i / 2 * 8;

    a[i] = cu_two(ssd_low(a[i]) * f[0], ssd_high(a[i]) * f[1]);
  }
}

#endif
