/* ssd_bwd_in.cuh: the first part of ssd_bwd_mma.cu, what happens inside a
 * chunk. */
#ifndef HYMN_CUDA_SSD_BWD_IN_CUH
#define HYMN_CUDA_SSD_BWD_IN_CUH

#include "ssd_bwd_mma.cuh"

/* Sums of a warp's rows u: of two of them by lane, and of all by column t. */
typedef struct {
  float col[2], left[2], later[2]; /* later: w dt over the blocks behind */
  uint32_t one[2], tri[2][2];      /* fragments of 1 and of t' >= t */
} in_sums;

/* One stage of tiles. */
typedef struct {
  bf16 *x, *dy, *gs;
} in_stage;

__device__ static inline in_stage
in_stage_of(bwd_shared &sh, int i)
{
  if (i == 0)
    return {sh.x_dy, sh.x_dy + BWD_TILE_P, sh.s};
  return {sh.c_dcb, sh.c_dcb + BWD_TILE_P, sh.c_dcb + 2 * BWD_TILE_P};
}

/* Sums of e by warp and column, behind the second stage. */
__device__ static inline float *
in_parts(bwd_shared &sh)
{
  return (float *)(sh.c_dcb + 2 * BWD_TILE_P + BWD_TILE_S);
}

__device__ static inline void
in_sums_start(in_sums &s)
{
  int k0 = ssd_lane_col(), n0 = ssd_lane_row();

  s = {};
  s.one[0] = s.one[1] = cu_two(1.0f, 1.0f);
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 2; j++) {
      int k = k0 + 8 * j, n = n0 + 8 * i;

      s.tri[i][j] = cu_two(k >= n ? 1.0f : 0.0f, k + 1 >= n ? 1.0f : 0.0f);
    }
}

/* c b' turned: rows u of the warp, columns t from 16 j on. */
__device__ static inline void
in_cb(const bwd_shared &sh, int64_t d_state, float (&cb)[8][2][4])
{
  int rows = bwd_rows();

#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int i = 0; i < 8; i++)
      cb[j][i / 4][i % 4] = 0.0f;
  for (int k0 = 0; k0 < d_state; k0 += 16) {
    uint32_t a[4], b[2][2];

    ssd_a(a, sh.b, SSD_LDN, rows, k0);
#pragma unroll
    for (int j = 0; j < 8; j++)
      if (16 * j >= rows) {
        ssd_b(b, sh.c_dcb, SSD_LDN, 16 * j, k0);
        ssd_mma(cb[j][0], a, b[0]);
        ssd_mma(cb[j][1], a, b[1]);
      }
  }
}

/* From k' (of 16 columns t): the gradient of c b', and in place of k' the
 * weights w dt; m: those of dy in dx, without dt[u]. */
__device__ static inline void
in_weigh(bwd_shared &sh, const ssd_logs &l, ssd_sums &sum, int j,
         const float (&cb)[2][4], float (&kk)[2][4], float (&m)[2][4],
         float (&dcb)[2][4], in_sums &s)
{
  int u0 = bwd_rows() + ssd_lane_row();

#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      int u = u0 + e / 2 * 8, t = 16 * j + 8 * i + ssd_lane_col() + e % 2;
      bool sees = u <= t && u >= sh.f.first[t];
      float decay = sees ? exp2f(l.hi[t] - l.hi[u]) : 0.0f;
      float w = sees ? cb[i][e] * decay * kk[i][e] : 0.0f;

      if (t == u)
        sum.diag[u] = kk[i][e];
      m[i][e] = sees ? cb[i][e] * decay : 0.0f;
      dcb[i][e] += sees ? decay * l.dt[u] * kk[i][e] : 0.0f;
      s.col[e / 2] += w;
      kk[i][e] = sees ? w * l.dt[u] : 0.0f;
    }
}

/* The part of the warp's rows in e[t] of 16 columns, from their weights a. */
__device__ static inline void
in_behind(const bwd_shared &sh, int j, const uint32_t (&a)[4], in_sums &s,
          float *part)
{
  float row[4] = {}, v[2][2] = {};
  int u0 = bwd_rows() + ssd_lane_row(), lane = threadIdx.x % 32;

#pragma unroll
  for (int i = 0; i < 2; i++) {
    float z[4] = {s.later[0], s.later[0], s.later[1], s.later[1]};

    ssd_mma(z, a, s.tri[i]);
#pragma unroll
    for (int e = 0; e < 4; e++) {
      int u = u0 + e / 2 * 8, t = 16 * j + 8 * i + ssd_lane_col() + e % 2;

      v[i][e % 2] += u < t && u >= sh.f.first[t] ? z[e] : 0.0f;
    }
  }
  ssd_mma(row, a, s.one);
  s.later[0] += row[0];
  s.later[1] += row[2];
  /* Over the 8 lanes of a column; each step halves what a lane has. */
  {
    int i = lane / 16, e = lane / 8 % 2;
    float send0 = v[1 - i][0], send1 = v[1 - i][1], x, y;

    x = v[i][0] + __shfl_xor_sync(~0u, send0, 16);
    y = v[i][1] + __shfl_xor_sync(~0u, send1, 16);
    send0 = e ? x : y;
    x = (e ? y : x) + __shfl_xor_sync(~0u, send0, 8);
    x += __shfl_xor_sync(~0u, x, 4);
    if (lane / 4 % 2 == 0)
      part[16 * j + 8 * i + ssd_lane_col() + e] = x;
  }
}

/* One block of 16 columns t. */
__device__ static inline void
in_columns(const bwd_block &b, bwd_shared &sh, const in_stage &st,
           const ssd_logs &l, ssd_sums &sum, int j, const float (&cb)[2][4],
           float (&dcb)[2][4], in_sums &s, float (&dx)[8][4], float *part)
{
  float kk[2][4] = {}, m[2][4];
  uint32_t a[4], v[2][2];

#pragma unroll
  for (int p = 0; p < 4; p++) {
    ssd_a(a, st.x, SSD_LDP, bwd_rows(), 16 * p);
    ssd_b(v, st.dy, SSD_LDP, 16 * j, 16 * p);
    ssd_mma(kk[0], a, v[0]);
    ssd_mma(kk[1], a, v[1]);
  }
  in_weigh(sh, l, sum, j, cb, kk, m, dcb, s);
  ssd_a_of(a, m);
#pragma unroll
  for (int p = 0; p < 4; p++) {
    ssd_b_turned(v, st.dy, SSD_LDP, 16 * p, 16 * j);
    ssd_mma(dx[2 * p], a, v[0]);
    ssd_mma(dx[2 * p + 1], a, v[1]);
  }
  ssd_a_of(a, kk);
  in_behind(sh, j, a, s, part);
}

/* dx += leave gs b for the rows of the last piece, and left. */
__device__ static inline void
in_leave(const bwd_block &b, const bwd_shared &sh, const in_stage &st,
         const ssd_logs &l, in_sums &s, float (&dx)[8][4])
{
  int rows = bwd_rows(), u0 = rows + ssd_lane_row();
  float z[8][4] = {};

  if (!b.q.leaves || rows + 16 <= b.q.last || rows >= b.q.n)
    return;
  for (int k0 = 0; k0 < b.k->d_state; k0 += 16) {
    uint32_t a[4], v[2][2];

    ssd_a(a, sh.b, SSD_LDN, rows, k0);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      ssd_b(v, st.gs, SSD_LDN, 16 * p, k0);
      ssd_mma(z[2 * p], a, v[0]);
      ssd_mma(z[2 * p + 1], a, v[1]);
    }
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int u = u0 + 8 * r;
    float f, dot = 0.0f;

    if (u < b.q.last || u >= b.q.n)
      continue;
    f = bwd_leave(b.q, l, u);
#pragma unroll
    for (int p = 0; p < 8; p++) {
      uint32_t x =
          *(const uint32_t *)&st.x[u * SSD_LDP + 8 * p + ssd_lane_col()];

      dot += z[p][2 * r] * ssd_low(x) + z[p][2 * r + 1] * ssd_high(x);
      dx[p][2 * r] += f * z[p][2 * r];
      dx[p][2 * r + 1] += f * z[p][2 * r + 1];
    }
    s.left[r] = f * dot;
  }
}

/* dx of the warp's rows out, and its sums to shared memory. */
__device__ static inline void
in_store(const bwd_block &b, bwd_shared &sh, const in_stage &st,
         const bwd_head &h, const ssd_logs &l, ssd_sums &sum, in_sums &s,
         float (&dx)[8][4])
{
  int rows = bwd_rows();
  float d = b.k->d[h.h], beta = b.g->beta[0];
  bf16 *to = (bf16 *)b.g->dx.p + (b.q.t0 + rows) * b.k->x.ld +
             h.h * b.k->d_head + h.p0;

#pragma unroll
  for (int r = 0; r < 2; r++) {
    int i = ssd_lane_row() + 8 * r, u = rows + i;
    float f = l.dt[u], add = bwd_poison(b, sh, u);

    for (int o = 1; o < 4; o *= 2) {
      s.col[r] += __shfl_xor_sync(~0u, s.col[r], o);
      s.left[r] += __shfl_xor_sync(~0u, s.left[r], o);
    }
    if (threadIdx.x % 4 == 0) {
      sum.col[u] = s.col[r];
      sum.left[u] = s.left[r];
    }
#pragma unroll
    for (int p = 0; p < 8; p++) {
      int c = 8 * p + ssd_lane_col();
      uint32_t dy = *(const uint32_t *)&st.dy[u * SSD_LDP + c];
      float v = f * dx[p][2 * r] + d * ssd_low(dy) + add;
      float w = f * dx[p][2 * r + 1] + d * ssd_high(dy) + add;

      if (b.g->dx.p && beta != 0.0f && u < b.q.n) {
        v += c < h.cols ? beta * cu_get(to[i * b.k->x.ld + c]) : 0.0f;
        w += c + 1 < h.cols ? beta * cu_get(to[i * b.k->x.ld + c + 1]) : 0.0f;
      }
      *(uint32_t *)&st.x[u * SSD_LDP + c] = cu_two(v, w);
    }
  }
  __syncwarp();
  if (b.g->dx.p)
    ssd_drain<16>(st.x + rows * SSD_LDP, SSD_LDP, to, b.k->x.ld, h.cols,
                  [&](int r) { return rows + r < b.q.n; });
}

/* Sums of one head (or more of its columns) to where part 2 finds them. */
__device__ static inline void
in_keep(const bwd_block &b, bwd_shared &sh, const bwd_head &h,
        const ssd_sums &sum, const float *parts)
{
  float *to = bwd_sums_at(*b.k, b.sums, h.h, b.q.c);
  int t = threadIdx.x;
  float v[BWD_ENTER];

  if (t >= SSD_Q)
    return;
  v[BWD_COL] = sum.col[t];
  v[BWD_E] = 0.0f;
  v[BWD_LEFT] = sum.left[t];
  v[BWD_DIAG] = sum.diag[t];
  for (int w = 0; w < BWD_WARPS; w++)
    if (16 * (w < 4 ? w : 11 - w) <= t)
      v[BWD_E] += parts[w * SSD_Q + t];
  for (int i = 0; i < BWD_ENTER; i++)
    to[i * SSD_Q + t] =
        v[i] + bwd_poison(b, sh, t) + (h.p0 ? to[i * SSD_Q + t] : 0.0f);
}

__device__ static inline void
in_fetch(const bwd_block &b, bwd_shared &sh, int64_t i)
{
  if (i < bwd_heads(*b.k)) {
    bwd_head h = bwd_head_of(*b.k, i);
    in_stage st = in_stage_of(sh, (int)(i % 2));

    bwd_get_rows(b, h, b.k->x, st.x);
    bwd_get_rows(b, h, b.g->dy, st.dy);
    bwd_get_logs(b, h, sh.l[i % 2]);
    if (b.q.leaves)
      bwd_get_gs(b, h, st.gs);
  }
  __pipeline_commit();
}

/* One head. */
__device__ static inline void
in_head(const bwd_block &b, bwd_shared &sh, int64_t i,
        const float (&cb)[8][2][4], float (&dcb)[8][2][4])
{
  bwd_head h = bwd_head_of(*b.k, i);
  in_stage st = in_stage_of(sh, (int)(i % 2));
  const ssd_logs &l = sh.l[i % 2];
  float *part = in_parts(sh) + threadIdx.x / 32 * SSD_Q, dx[8][4] = {};
  in_sums s;

  in_sums_start(s);
#pragma unroll
  for (int j = 7; j >= 0; j--)
    if (16 * j >= bwd_rows())
      in_columns(b, sh, st, l, sh.sum, j, cb[j], dcb[j], s, dx, part);
  in_leave(b, sh, st, l, s, dx);
  in_store(b, sh, st, h, l, sh.sum, s, dx);
}

/* Rows of b and c that are there. */
__device__ static inline void
bwd_get_bc(const bwd_block &b, cu_mat m, bf16 *to)
{
  ssd_fill<SSD_N, SSD_LDN, BWD_THREADS>(
      to, (const bf16 *)m.p + b.q.t0 * m.ld + blockIdx.y * b.k->d_state, m.ld,
      0, b.q.n, b.k->d_state);
}

/* All heads; then the gradient of c b', turned, lies in its tile and c again in
 * its own. */
__device__ static inline void
bwd_inside(const bwd_block &b, bwd_shared &sh)
{
  float cb[8][2][4], dcb[8][2][4] = {};
  int rows = bwd_rows() + ssd_lane_row();

  bwd_get_bc(b, b.k->b, sh.b);
  bwd_get_bc(b, b.k->c, sh.c_dcb);
  __pipeline_commit();
  in_fetch(b, sh, 0);
  __pipeline_wait_prior(1);
  __syncthreads();
  if (b.several) {
    bwd_clean(sh.b, SSD_LDN, SSD_N, sh.bad);
    bwd_clean(sh.c_dcb, SSD_LDN, SSD_N, sh.bad);
    __syncthreads();
  }
  in_cb(sh, b.k->d_state, cb);
  for (int64_t i = 0; i < bwd_heads(*b.k); i++) {
    __syncthreads(); /* the other stage is free */
    in_fetch(b, sh, i + 1);
    __pipeline_wait_prior(1);
    __syncthreads();
    if (b.several) {
      bwd_clean(in_stage_of(sh, (int)(i % 2)).dy, SSD_LDP, SSD_P, sh.bad);
      __syncthreads();
    }
    in_head(b, sh, i, cb, dcb);
    __syncthreads();
    in_keep(b, sh, bwd_head_of(*b.k, i), sh.sum, in_parts(sh));
  }
  __syncthreads();
  bwd_get_bc(b, b.k->c, sh.c_dcb);
  __pipeline_commit();
#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int e = 0; e < 4; e++)
      *(uint32_t *)&sh.c_dcb[BWD_TILE_N + (rows + e % 2 * 8) * SSD_LDN +
                             16 * j + e / 2 * 8 + ssd_lane_col()] =
          cu_two(dcb[j][e / 2][2 * (e % 2)], dcb[j][e / 2][2 * (e % 2) + 1]);
  __pipeline_wait_prior(0);
  __syncthreads();
  if (b.several)
    bwd_clean(sh.c_dcb, SSD_LDN, SSD_N, sh.bad);
  __syncthreads();
}

#endif
