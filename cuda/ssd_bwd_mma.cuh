/* ssd_bwd_mma.cuh: what the three parts of ssd_bwd_mma.cu share. */
#ifndef HYMN_CUDA_SSD_BWD_MMA_CUH
#define HYMN_CUDA_SSD_BWD_MMA_CUH

#include "ssd_bwd.cuh"
#include "ssd_mma.cuh"

enum {
  BWD_WARPS = 8,
  BWD_THREADS = 32 * BWD_WARPS,
  BWD_TILE_P = SSD_Q * SSD_LDP,
  BWD_TILE_N = SSD_Q * SSD_LDN,
  BWD_TILE_S = SSD_P * SSD_LDN,
};

/* Tiles by place. Those of c and of the gradient of c b' serve as second stage
 * while both are in registers. */
typedef struct {
  bf16 b[BWD_TILE_N], c_dcb[2 * BWD_TILE_N];
  bf16 x_dy[2 * BWD_TILE_P], s[BWD_TILE_S];
  ssd_info f;
  ssd_logs l[2];
  ssd_sums sum;
  float part[BWD_WARPS];
  int bad[SSD_Q]; /* rows of b, c or dy that are not finite */
} bwd_shared;

/* Sums by row of one head, which the first two parts make and bwd_dt takes:
 * col, e, left, diag, enter, each SSD_Q. */
enum { BWD_COL, BWD_E, BWD_LEFT, BWD_DIAG, BWD_ENTER };

__device__ static inline float *
bwd_sums_at(const cu_ssd &k, float *sums, int64_t h, int64_t c)
{
  return sums + (c * k.n_heads + h) * CU_SSD_SUMS * SSD_Q;
}

typedef struct {
  const cu_ssd *k;
  const cu_ssd_grad *g;
  const bf16 *gs;
  float *sums;
  double *part;
  bwd_chunk q;
  bool several; /* documents meet in the chunk */
} bwd_block;

/* A head, or 64 columns of it. */
typedef struct {
  int64_t h, p0;
  int cols;
} bwd_head;

__device__ static inline bwd_head
bwd_head_of(const cu_ssd &k, int64_t i)
{
  int64_t tiles = ssd_head_tiles(k), each = k.n_heads / k.n_groups;
  bwd_head s = {blockIdx.y * each + i / tiles, i % tiles * SSD_P, 0};

  s.cols = (int)min((int64_t)SSD_P, k.d_head - s.p0);
  return s;
}

__device__ static inline int64_t
bwd_heads(const cu_ssd &k)
{
  return k.n_heads / k.n_groups * ssd_head_tiles(k);
}

/* The 16 rows of a warp, so that long and short rows of c b' share the parts of
 * a multiprocessor. */
__device__ static inline int
bwd_rows(void)
{
  int w = threadIdx.x / 32;

  return 16 * (w < 4 ? w : 11 - w);
}

/* Copies under way: a head's columns of x or dy, its logarithms, its gs. */
__device__ static inline void
bwd_get_rows(const bwd_block &b, const bwd_head &s, cu_mat m, bf16 *to)
{
  ssd_fill<SSD_P, SSD_LDP, BWD_THREADS>(
      to, (const bf16 *)m.p + b.q.t0 * m.ld + s.h * b.k->d_head + s.p0, m.ld, 0,
      b.q.n, s.cols);
}

__device__ static inline void
bwd_get_logs(const bwd_block &b, const bwd_head &s, ssd_logs &l)
{
  const float *from = ssd_logs_at(*b.k, s.h, b.q.t0);
  int64_t step = ssd_chunks(*b.k) * SSD_Q;
  int e = threadIdx.x % 32 * 4, which = threadIdx.x / 32;

  if (which < 3)
    __pipeline_memcpy_async((which == 0   ? l.dt
                             : which == 1 ? l.hi
                                          : l.lo) +
                                e,
                            from + which * step + e, 16);
}

__device__ static inline const bf16 *
bwd_gs_at(const bwd_block &b, const bwd_head &s)
{
  return b.gs + b.q.c * ssd_state_size(*b.k) + s.h * ssd_head_size(*b.k) +
         s.p0 * b.k->d_state;
}

__device__ static inline void
bwd_get_gs(const bwd_block &b, const bwd_head &s, bf16 *to)
{
  int n = (int)b.k->d_state;
  const bf16 *from = bwd_gs_at(b, s);

  for (int e = threadIdx.x; e < SSD_P * SSD_N / 8; e += BWD_THREADS) {
    int r = e / (SSD_N / 8), c = e % (SSD_N / 8) * 8;

    if (r < s.cols && c < n)
      __pipeline_memcpy_async(to + r * SSD_LDN + c, from + r * n + c, 16);
    else
      *(uint4 *)&to[r * SSD_LDN + c] = make_uint4(0, 0, 0, 0);
  }
}

/* Where documents meet, what is not finite would reach rows of another one
 * through products with zero: it becomes 0, and its row is marked. */
__device__ static inline void
bwd_clean(bf16 *tile, int ld, int cols, int *bad)
{
  for (int e = threadIdx.x; e < SSD_Q * cols; e += BWD_THREADS) {
    bf16 *x = &tile[e / cols * ld + e % cols];

    if (fabsf(cu_get(*x)) < INFINITY)
      continue;
    *x = __float2bfloat16_rn(0.0f);
    atomicExch(&bad[e / cols], 1);
  }
}

/* NaN if a row of t's piece is marked, else 0. */
__device__ static inline float
bwd_poison(const bwd_block &b, const bwd_shared &sh, int t)
{
  if (!b.several || t >= b.q.n)
    return 0.0f;
  for (int u = sh.f.first[t]; u < b.q.n && sh.f.first[u] == sh.f.first[t]; u++)
    if (sh.bad[u])
      return NAN;
  return 0.0f;
}

/* Two neighbours at p: beta p + v. */
__device__ static inline void
bwd_put_pair(bf16 *p, float beta, float v, float w)
{
  bool wide = ((uintptr_t)p & 3) == 0;

  if (beta != 0.0f) {
    v += beta * cu_get(p[0]);
    w += beta * cu_get(p[1]);
  }
  if (wide) {
    *(uint32_t *)p = cu_two(v, w);
  } else {
    cu_put(&p[0], v);
    cu_put(&p[1], w);
  }
}

void ssd_bwd_mma(cudaStream_t s, const cu_ssd &k, const cu_ssd_grad &g,
                 const void *gs, float *sums, double *part);

#endif
