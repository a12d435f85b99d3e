/* ssd_bwd_mma.cu: the scan's backward pass as in ssd_bwd.cu, on tensor cores. A
 * block has a chunk of a group and goes through its heads three times, so that
 * x, dy and gs come from the cache when they are read again:
 *   1. what happens inside the chunk, turned: a warp has 16 rows u, and c b' as
 *      well as its gradient, summed over the heads, in registers; dx
 *   2. dc, from the heads' states and dy, then from the gradient of c b'; ddt
 *   3. db, from gs and x, then from the gradient of c b'. */
#include "ssd_bwd_in.cuh"

/* --- 2. dc and ddt ------------------------------------------------------- */

/* State `from` into its tile; returns the thread's part of <gs, s>, gs NULL:
 * none. */
__device__ static inline float
out_state(const bwd_block &b, const bwd_head &h, const float *from,
          const bf16 *gs, bf16 *tile)
{
  int n = (int)b.k->d_state;
  float sum = 0.0f;

  ssd_fill_state<BWD_THREADS>(tile, from, h.cols, n);
  if (gs)
    for (int e = threadIdx.x; e < h.cols * n / 2; e += BWD_THREADS) {
      uint32_t v = *(const uint32_t *)&gs[2 * e];

      sum += ssd_low(v) * from[2 * e] + ssd_high(v) * from[2 * e + 1];
    }
  return sum;
}

/* The state in its tile: enter dy s into dc, enter, for rows r0 .. r1-1. */
__device__ static inline void
out_enter(const bwd_block &b, const bwd_shared &sh, const bf16 *dy,
          const ssd_logs &l, ssd_sums &sum, int r0, int r1, float (&dc)[16][4])
{
  int rows = bwd_rows(), lane_t = rows + ssd_lane_row();
  float z[16][4] = {};

  if (rows + 16 <= r0 || rows >= r1)
    return;
#pragma unroll
  for (int k0 = 0; k0 < SSD_P; k0 += 16) {
    uint32_t a[4], v[2][2];

    ssd_a(a, dy, SSD_LDP, rows, k0);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      ssd_b_turned(v, sh.s, SSD_LDN, 16 * j, k0);
      ssd_mma(z[2 * j], a, v[0]);
      ssd_mma(z[2 * j + 1], a, v[1]);
    }
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int t = lane_t + 8 * r;
    bool in = t >= r0 && t < r1;
    float f = in ? ssd_enter(l, t) : 0.0f, dot = 0.0f;

#pragma unroll
    for (int j = 0; j < 16; j++) {
      uint32_t c =
          *(const uint32_t *)&sh.c_dcb[t * SSD_LDN + 8 * j + ssd_lane_col()];

      dot += z[j][2 * r] * ssd_low(c) + z[j][2 * r + 1] * ssd_high(c);
      dc[j][2 * r] += in ? f * z[j][2 * r] : 0.0f;
      dc[j][2 * r + 1] += in ? f * z[j][2 * r + 1] : 0.0f;
    }
    for (int o = 1; o < 4; o *= 2)
      dot += __shfl_xor_sync(~0u, dot, o);
    if (in && threadIdx.x % 4 == 0)
      sum.enter[t] += f * dot;
  }
}

/* What enters the pieces, of one head (or 64 columns of it). */
__device__ static inline void
out_head(const bwd_block &b, bwd_shared &sh, const bwd_head &h, int stage,
         float (&dc)[16][4])
{
  const bf16 *dy = sh.x_dy + stage * BWD_TILE_P;
  ssd_sums &sum = sh.sum;
  const ssd_logs &l = sh.l[stage];

  for (int r = 0, end; r < b.q.n; r = end) {
    const float *from = ssd_source(*b.k, sh.f, r, b.q.c, h.h);
    bool carries;
    float dot;

    end = ssd_piece_end(sh.f, r, b.q.n);
    carries = b.q.leaves && end == b.q.n;
    if (!from)
      continue;
    __syncthreads();
    dot = out_state(b, h, from + h.p0 * b.k->d_state,
                    carries ? bwd_gs_at(b, h) : NULL, sh.s);
    for (int o = 16; o > 0; o /= 2)
      dot += __shfl_xor_sync(~0u, dot, o);
    if (threadIdx.x % 32 == 0)
      sh.part[threadIdx.x / 32] = dot;
    __syncthreads();
    if (threadIdx.x == 0 && carries) {
      dot = 0.0f;
      for (int w = 0; w < BWD_WARPS; w++)
        dot += sh.part[w];
      sum.carried += dot * ssd_enter(l, b.q.n - 1);
    }
    out_enter(b, sh, dy, l, sum, r, end, dc);
  }
}

__device__ static inline void
out_fetch(const bwd_block &b, bwd_shared &sh, int64_t i)
{
  if (i < bwd_heads(*b.k)) {
    bwd_head h = bwd_head_of(*b.k, i);

    bwd_get_rows(b, h, b.g->dy, sh.x_dy + i % 2 * BWD_TILE_P);
    bwd_get_logs(b, h, sh.l[i % 2]);
  }
  __pipeline_commit();
}

/* A head's sums from its columns: before they are made, and after. */
__device__ static inline void
out_begin(bwd_shared &sh)
{
  if (threadIdx.x < SSD_Q)
    sh.sum.enter[threadIdx.x] = 0.0f;
  if (threadIdx.x == 0)
    sh.sum.carried = 0.0f;
}

__device__ static inline void
out_keep(const bwd_block &b, const bwd_shared &sh, const bwd_head &h)
{
  float *to = bwd_sums_at(*b.k, b.sums, h.h, b.q.c);
  int t = threadIdx.x;

  if (t >= SSD_Q)
    return;
  to += t;
  to[BWD_ENTER * SSD_Q] =
      sh.sum.enter[t] + (h.p0 ? to[BWD_ENTER * SSD_Q] : 0.0f);
  if (t >= b.q.last)
    to[BWD_E * SSD_Q] += sh.sum.carried;
}

/* ddt and what a_log and d get, a warp for each head. */
__device__ static inline void
out_dt(const bwd_block &b, bwd_shared &sh)
{
  int64_t each = b.k->n_heads / b.k->n_groups;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  ssd_sums &sum = ((ssd_sums *)sh.x_dy)[warp];
  ssd_logs &l = ((ssd_logs *)sh.s)[warp];

  for (int64_t i = warp; i < each; i += BWD_WARPS) {
    int64_t h = blockIdx.y * each + i, step = ssd_chunks(*b.k) * SSD_Q;
    const float *from = bwd_sums_at(*b.k, b.sums, h, b.q.c);
    const float *log = ssd_logs_at(*b.k, h, b.q.t0);

    __syncwarp();
    for (int t = lane; t < SSD_Q; t += 32) {
      sum.col[t] = from[BWD_COL * SSD_Q + t];
      sum.e[t] = from[BWD_E * SSD_Q + t];
      sum.left[t] = from[BWD_LEFT * SSD_Q + t];
      sum.diag[t] = from[BWD_DIAG * SSD_Q + t];
      sum.enter[t] = from[BWD_ENTER * SSD_Q + t];
      l.dt[t] = log[t];
      l.hi[t] = log[step + t];
      l.lo[t] = log[2 * step + t];
    }
    sum.carried = 0.0f;
    __syncwarp();
    bwd_dt(*b.k, b.q, h, *b.g, sh.f, l, sum, b.part);
  }
}

/* acc[rows of the warp][n] += a v, over 16 rows i of v from `from` on; a is
 * the gradient of c b' from its tile, turned if rows are t. */
template <bool TURNED>
__device__ static inline void
bwd_product(const bf16 *dcb, const bf16 *v, int from, int end,
            float (&acc)[16][4])
{
  for (int k0 = from; k0 < end; k0 += 16) {
    uint32_t a[4], w[2][2];

    if (TURNED)
      ssd_a_turned(a, dcb, SSD_LDN, bwd_rows(), k0);
    else
      ssd_a(a, dcb, SSD_LDN, bwd_rows(), k0);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      ssd_b_turned(w, v, SSD_LDN, 16 * j, k0);
      ssd_mma(acc[2 * j], a, w[0]);
      ssd_mma(acc[2 * j + 1], a, w[1]);
    }
  }
}

/* The warp's rows of db or dc out. */
__device__ static inline void
bwd_store(const bwd_block &b, const bwd_shared &sh, cu_mat to, float beta,
          float (&acc)[16][4])
{
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int t = bwd_rows() + ssd_lane_row() + 8 * r;
    float add = bwd_poison(b, sh, t);
    bf16 *p = (bf16 *)to.p + (b.q.t0 + t) * to.ld + blockIdx.y * b.k->d_state +
              ssd_lane_col();

#pragma unroll
    for (int j = 0; j < 16; j++)
      if (to.p && t < b.q.n && 8 * j < b.k->d_state)
        bwd_put_pair(p + 8 * j, beta, acc[j][2 * r] + add,
                     acc[j][2 * r + 1] + add);
  }
}

__device__ static inline void
bwd_out(const bwd_block &b, bwd_shared &sh)
{
  int64_t n = bwd_heads(*b.k);
  float dc[16][4] = {};

  out_fetch(b, sh, 0);
  for (int64_t i = 0; i < n; i++) {
    bwd_head h = bwd_head_of(*b.k, i);

    __syncthreads(); /* the other stage is free */
    out_fetch(b, sh, i + 1);
    out_begin(sh);
    __pipeline_wait_prior(1);
    __syncthreads();
    out_head(b, sh, h, (int)(i % 2), dc);
    __syncthreads();
    out_keep(b, sh, h);
  }
  bwd_product<true>(sh.c_dcb + BWD_TILE_N, sh.b, 0, min(b.q.n, bwd_rows() + 16),
                    dc);
  bwd_store(b, sh, b.g->dc, b.g->beta[3], dc);
  __pipeline_wait_prior(0);
  __syncthreads();
  out_dt(b, sh);
  __syncthreads();
}

/* --- 3. db --------------------------------------------------------------- */

__device__ static inline void
left_fetch(const bwd_block &b, bwd_shared &sh, int64_t i)
{
  if (i < bwd_heads(*b.k)) {
    bwd_head h = bwd_head_of(*b.k, i);

    bwd_get_rows(b, h, b.k->x, sh.x_dy + i % 2 * BWD_TILE_P);
    bwd_get_logs(b, h, sh.l[i % 2]);
    bwd_get_gs(b, h, i % 2 ? sh.b : sh.s);
  }
  __pipeline_commit();
}

/* db += leave dt x gs of one head; rows outside the last piece are dropped in
 * the end. */
__device__ static inline void
left_head(const bwd_block &b, const bwd_shared &sh, int stage,
          float (&db)[16][4])
{
  const bf16 *x = sh.x_dy + stage * BWD_TILE_P, *gs = stage ? sh.b : sh.s;
  const ssd_logs &l = sh.l[stage];
  int rows = bwd_rows();
  float f[2];

  if (rows + 16 <= b.q.last || rows >= b.q.n)
    return;
  for (int r = 0; r < 2; r++) {
    int u = rows + ssd_lane_row() + 8 * r;

    f[r] = u >= b.q.last && u < b.q.n ? bwd_leave(b.q, l, u) * l.dt[u] : 0.0f;
  }
#pragma unroll
  for (int k0 = 0; k0 < SSD_P; k0 += 16) {
    uint32_t a[4], v[2][2];

    ssd_a(a, x, SSD_LDP, rows, k0);
#pragma unroll
    for (int i = 0; i < 4; i++)
      a[i] = cu_two(ssd_low(a[i]) * f[i % 2], ssd_high(a[i]) * f[i % 2]);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      ssd_b_turned(v, gs, SSD_LDN, 16 * j, k0);
      ssd_mma(db[2 * j], a, v[0]);
      ssd_mma(db[2 * j + 1], a, v[1]);
    }
  }
}

__device__ static inline void
bwd_left(const bwd_block &b, bwd_shared &sh)
{
  float db[16][4] = {};

  if (b.q.leaves) {
    left_fetch(b, sh, 0);
    for (int64_t i = 0; i < bwd_heads(*b.k); i++) {
      __syncthreads(); /* the other stage is free */
      left_fetch(b, sh, i + 1);
      __pipeline_wait_prior(1);
      __syncthreads();
      left_head(b, sh, (int)(i % 2), db);
    }
    __pipeline_wait_prior(0);
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int u = bwd_rows() + ssd_lane_row() + 8 * r;

#pragma unroll
    for (int j = 0; j < 16; j++)
      if (u < b.q.last)
        db[j][2 * r] = db[j][2 * r + 1] = 0.0f;
  }
  bwd_product<false>(sh.c_dcb + BWD_TILE_N, sh.c_dcb, bwd_rows(), b.q.n, db);
  bwd_store(b, sh, b.g->db, b.g->beta[2], db);
}

/* Grid: chunks, groups. */
__global__ void
__launch_bounds__(BWD_THREADS)
    bwd_mma(cu_ssd k, cu_ssd_grad g, const bf16 *gs, float *sums, double *part)
{
  CU_DYN_SHARED(bwd_shared, sh);
  bwd_block b = {&k, &g, gs, sums, part, {}, false};

  ssd_info_get(k, blockIdx.x, sh->f);
  if (threadIdx.x < SSD_Q)
    sh->bad[threadIdx.x] = 0;
  __syncthreads();
  b.q = bwd_chunk_of(k, sh->f, blockIdx.x);
  b.several = b.q.last > 0;
  bwd_inside(b, *sh);
  bwd_out(b, *sh);
  if (g.db.p)
    bwd_left(b, *sh);
}

void
ssd_bwd_mma(cudaStream_t s, const cu_ssd &k, const cu_ssd_grad &g,
            const void *gs, float *sums, double *part)
{
  cudaFuncSetAttribute((const void *)bwd_mma,
                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                       sizeof(bwd_shared));
  CU_LAUNCH(bwd_mma, dim3((unsigned)ssd_chunks(k), (unsigned)k.n_groups),
            BWD_THREADS, sizeof(bwd_shared), s, k, g, (const bf16 *)gs, sums,
            part);
}
