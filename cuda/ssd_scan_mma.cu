/* ssd_scan_mma.cu: outputs of the scan as in ssd.cu, on tensor cores. A block
 * has a chunk of a group: c b' stays in registers while the block goes through
 * the heads, whose x arrives while the one before is computed. A warp has 16
 * rows; it makes the weights m of its rows and 16 columns from c b' in place
 * and gives them to the product with x at once. */
#include "ssd_mma.cuh"

enum { SCAN_THREADS = 256 };

typedef struct {
  bf16 c[SSD_Q * SSD_LDN], b[SSD_Q * SSD_LDN];
  bf16 x[2][SSD_Q * SSD_LDP];
  bf16 s[SSD_P * SSD_LDN];
  ssd_logs l[2];
  ssd_info f;
  int bad[SSD_Q]; /* rows of x that are not finite */
} scan_shared;

/* The 16 rows of a warp: long rows of c b' and short ones share the parts of a
 * multiprocessor. */
__device__ static inline int
scan_block(void)
{
  int w = threadIdx.x / 32;

  return w < 4 ? w : 11 - w;
}

/* A head, or 64 columns of it. */
typedef struct {
  int64_t h, p0;
  int cols;
} scan_head;

__device__ static inline scan_head
scan_head_of(const cu_ssd &k, int64_t i)
{
  int64_t tiles = ssd_head_tiles(k), each = k.n_heads / k.n_groups;
  scan_head s = {blockIdx.y * each + i / tiles, i % tiles * SSD_P, 0};

  s.cols = (int)min((int64_t)SSD_P, k.d_head - s.p0);
  return s;
}

/* Starts the copies of head i's x and logarithms. */
__device__ static inline void
scan_fetch(const cu_ssd &k, int64_t i, int64_t end, int stage, scan_shared &sh)
{
  int64_t t0 = blockIdx.x * (int64_t)SSD_Q, step = ssd_chunks(k) * SSD_Q;

  if (i < end) {
    scan_head s = scan_head_of(k, i);
    const float *l = ssd_logs_at(k, s.h, t0);
    int e = threadIdx.x % 32 * 4, which = threadIdx.x / 32;

    ssd_fill<SSD_P, SSD_LDP, SCAN_THREADS>(
        sh.x[stage], (const bf16 *)k.x.p + t0 * k.x.ld + s.h * k.d_head + s.p0,
        k.x.ld, 0, ssd_rows_of(k, blockIdx.x), s.cols);
    if (which < 3)
      __pipeline_memcpy_async((which == 0   ? sh.l[stage].dt
                               : which == 1 ? sh.l[stage].hi
                                            : sh.l[stage].lo) +
                                  e,
                              l + which * step + e, 16);
  }
  __pipeline_commit();
}

/* cb[j]: c b' of the warp's rows and columns 16 j .. for j <= its block. */
__device__ static inline void
scan_cb(const scan_shared &sh, int64_t d_state, float (&cb)[8][2][4])
{
  int rows = scan_block();

#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int i = 0; i < 8; i++)
      cb[j][i / 4][i % 4] = 0.0f;
  for (int k0 = 0; k0 < d_state; k0 += 16) {
    uint32_t a[4], b[2][2];

    ssd_a(a, sh.c, SSD_LDN, 16 * rows, k0);
#pragma unroll
    for (int j = 0; j < 8; j++)
      if (j <= rows) {
        ssd_b(b, sh.b, SSD_LDN, 16 * j, k0);
        ssd_mma(cb[j][0], a, b[0]);
        ssd_mma(cb[j][1], a, b[1]);
      }
  }
}

/* m[t,u] dt[u] c b' of the warp's rows and columns 16 j .. . */
__device__ static inline void
scan_weigh(const scan_shared &sh, const ssd_logs &l, int j,
           const float (&cb)[2][4], float (&m)[2][4])
{
  int t0 = 16 * scan_block() + ssd_lane_row();

#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      int t = t0 + e / 2 * 8, u = 16 * j + 8 * i + ssd_lane_col() + e % 2;

      m[i][e] = u <= t && u >= sh.f.first[t]
                    ? cb[i][e] * exp2f(l.hi[t] - l.hi[u]) * l.dt[u]
                    : 0.0f;
    }
}

/* y += m x, the warp's rows. */
__device__ static inline void
scan_inside(const scan_shared &sh, int stage, const float (&cb)[8][2][4],
            float (&y)[8][4])
{
#pragma unroll
  for (int j = 0; j < 8; j++)
    if (j <= scan_block()) {
      float m[2][4];
      uint32_t a[4], b[2][2];

      scan_weigh(sh, sh.l[stage], j, cb[j], m);
      ssd_a_of(a, m);
#pragma unroll
      for (int p = 0; p < 4; p++) {
        ssd_b_turned(b, sh.x[stage], SSD_LDP, 16 * p, 16 * j);
        ssd_mma(y[2 * p], a, b[0]);
        ssd_mma(y[2 * p + 1], a, b[1]);
      }
    }
}

/* y += enter s c for the warp's rows in r0 .. r1-1. */
__device__ static inline void
scan_enter(const scan_shared &sh, const ssd_logs &l, int64_t d_state, int r0,
           int r1, float (&y)[8][4])
{
  int rows = 16 * scan_block(), t = rows + ssd_lane_row();
  float z[8][4] = {}, f[2];

  if (rows + 16 <= r0 || rows >= r1)
    return;
  for (int k0 = 0; k0 < d_state; k0 += 16) {
    uint32_t a[4], b[2][2];

    ssd_a(a, sh.c, SSD_LDN, rows, k0);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      ssd_b(b, sh.s, SSD_LDN, 16 * p, k0);
      ssd_mma(z[2 * p], a, b[0]);
      ssd_mma(z[2 * p + 1], a, b[1]);
    }
  }
  for (int i = 0; i < 2; i++)
    f[i] = ssd_enter(l, t + 8 * i);
#pragma unroll
  for (int p = 0; p < 8; p++)
#pragma unroll
    for (int e = 0; e < 4; e++)
      if (t + e / 2 * 8 >= r0 && t + e / 2 * 8 < r1)
        y[p][e] += f[e / 2] * z[p][e];
}

/* What enters pieces: their rows of y. */
__device__ static inline void
scan_states(const cu_ssd &k, const scan_head &s, int stage, scan_shared &sh,
            float (&y)[8][4])
{
  int n = ssd_rows_of(k, blockIdx.x);

  for (int r = 0, end; r < n; r = end) {
    const float *from = ssd_source(k, sh.f, r, blockIdx.x, s.h);

    end = ssd_piece_end(sh.f, r, n);
    if (!from)
      continue;
    __syncthreads();
    ssd_fill_state<SCAN_THREADS>(sh.s, from + s.p0 * k.d_state, s.cols,
                                 k.d_state);
    __syncthreads();
    scan_enter(sh, sh.l[stage], k.d_state, r, end, y);
  }
}

/* Several documents meet in the chunk: what is not finite in x would reach
 * rows that do not see it through products with zero. It becomes 0 here, and
 * the rows of its own document that see it NaN in the end. */
__device__ static inline bool
scan_clean(scan_shared &sh, int stage)
{
  int any = 0;

  for (int e = threadIdx.x; e < SSD_Q * SSD_P; e += SCAN_THREADS) {
    bf16 *x = &sh.x[stage][e / SSD_P * SSD_LDP + e % SSD_P];

    if (fabsf(cu_get(*x)) < INFINITY)
      continue;
    *x = __float2bfloat16_rn(0.0f);
    atomicExch(&sh.bad[e / SSD_P], 1);
    any = 1;
  }
  return __syncthreads_or(any);
}

__device__ static inline bool
scan_sees_bad(const scan_shared &sh, int t)
{
  for (int u = sh.f.first[t]; u <= t; u++)
    if (sh.bad[u])
      return true;
  return false;
}

/* d x is added, and the rows go out through the warp's rows of x's place. */
__device__ static inline void
scan_store(const cu_ssd &k, const scan_head &s, cu_mat y, int stage, bool bad,
           scan_shared &sh, float (&v)[8][4])
{
  int rows = 16 * scan_block(), n = ssd_rows_of(k, blockIdx.x);
  bf16 *tile = sh.x[stage] + rows * SSD_LDP;
  float d = k.d[s.h];

#pragma unroll
  for (int p = 0; p < 8; p++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int t = ssd_lane_row() + 8 * r;
      uint32_t *at = (uint32_t *)&tile[t * SSD_LDP + 8 * p + ssd_lane_col()];
      float add = bad && scan_sees_bad(sh, rows + t) ? NAN : 0.0f;

      *at = cu_two(v[p][2 * r] + d * ssd_low(*at) + add,
                   v[p][2 * r + 1] + d * ssd_high(*at) + add);
    }
  __syncwarp();
  ssd_drain<16>(tile, SSD_LDP,
                (bf16 *)y.p + (blockIdx.x * (int64_t)SSD_Q + rows) * y.ld +
                    s.h * k.d_head + s.p0,
                y.ld, s.cols,
                [&](int r) { return rows + r < n && !sh.f.skip[rows + r]; });
}

/* Grid: chunks, groups, parts of the group's heads. */
__global__ void
__launch_bounds__(SCAN_THREADS) scan_mma(cu_ssd k, cu_mat y)
{
  CU_DYN_SHARED(scan_shared, sh);
  int64_t all = k.n_heads / k.n_groups * ssd_head_tiles(k);
  int64_t i0 = all * blockIdx.z / gridDim.z;
  int64_t end = all * (blockIdx.z + 1) / gridDim.z;
  int64_t t0 = blockIdx.x * (int64_t)SSD_Q, g = blockIdx.y * k.d_state;
  int n = ssd_rows_of(k, blockIdx.x);
  float cb[8][2][4];
  bool several;

  ssd_info_get(k, blockIdx.x, sh->f);
  ssd_fill<SSD_N, SSD_LDN, SCAN_THREADS>(
      sh->c, (const bf16 *)k.c.p + t0 * k.c.ld + g, k.c.ld, 0, n, k.d_state);
  ssd_fill<SSD_N, SSD_LDN, SCAN_THREADS>(
      sh->b, (const bf16 *)k.b.p + t0 * k.b.ld + g, k.b.ld, 0, n, k.d_state);
  __pipeline_commit();
  scan_fetch(k, i0, end, 0, *sh);
  __pipeline_wait_prior(1);
  __syncthreads();
  several = ssd_piece_end(sh->f, 0, n) < n;
  scan_cb(*sh, k.d_state, cb);
  for (int64_t i = i0; i < end; i++) {
    scan_head s = scan_head_of(k, i);
    int stage = (int)((i - i0) % 2);
    float out[8][4] = {};
    bool bad = false;

    scan_fetch(k, i + 1, end, 1 - stage, *sh);
    if (threadIdx.x < SSD_Q)
      sh->bad[threadIdx.x] = 0;
    __pipeline_wait_prior(1);
    __syncthreads();
    if (several)
      bad = scan_clean(*sh, stage);
    scan_inside(*sh, stage, cb, out);
    scan_states(k, s, stage, *sh, out);
    __syncthreads();
    scan_store(k, s, y, stage, bad, *sh, out);
    __syncthreads();
  }
  __pipeline_wait_prior(0);
}

void
ssd_scan_mma(cudaStream_t s, const cu_ssd &k, cu_mat y)
{
  int64_t all = k.n_heads / k.n_groups * ssd_head_tiles(k);
  int64_t blocks = ssd_chunks(k) * k.n_groups, parts = (263 + blocks) / blocks;

  cudaFuncSetAttribute((const void *)scan_mma,
                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                       sizeof(scan_shared));
  CU_LAUNCH(scan_mma,
            dim3((unsigned)ssd_chunks(k), (unsigned)k.n_groups,
                 (unsigned)(parts < all ? parts : all)),
            SCAN_THREADS, sizeof(scan_shared), s, k, y);
}
