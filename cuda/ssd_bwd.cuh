/* ssd_bwd.cuh: what the backward kernels of the scan share; names as in
 * ssd_bwd.cu. */
#ifndef HYMN_CUDA_SSD_BWD_CUH
#define HYMN_CUDA_SSD_BWD_CUH

#include "ssd.cuh"

/* A chunk's place in the arrays. */
typedef struct {
  int64_t c, t0;
  int n;       /* rows */
  int last;    /* first row of the last piece */
  bool leaves; /* the chunk behind goes on with it */
} bwd_chunk;

__device__ static inline bwd_chunk
bwd_chunk_of(const cu_ssd &k, const ssd_info &f, int64_t c)
{
  int n = ssd_rows_of(k, c);

  return {c, c * SSD_Q, n, f.first[n - 1], ssd_linked(k, c + 1)};
}

/* 2^(l[last] - l[t]) */
__device__ static inline float
bwd_leave(const bwd_chunk &q, const ssd_logs &l, int t)
{
  return ssd_decay(l, q.n - 1, t);
}

__device__ static inline bool
bwd_sees(const ssd_info &f, const bwd_chunk &q, int t, int u)
{
  return t < q.n && u <= t && u >= f.first[t];
}

/* One warp: gradients of dt, sums for those of a_log and d. */
__device__ static inline void
bwd_dt(const cu_ssd &k, const bwd_chunk &q, int64_t h, const cu_ssd_grad &g,
       const ssd_info &f, const ssd_logs &l, ssd_sums &s, double *part)
{
  double a = ssd_rate(k, h), da = 0.0, dd = 0.0;
  int lane = threadIdx.x % 32;

  ssd_scan_pieces(f, s.enter, true);
  __syncwarp();
  for (int t = lane; t < q.n; t += 32) {
    s.e[t] += s.enter[t] + (t >= q.last ? s.carried : 0.0f);
    s.enter[t] = l.dt[t] * s.left[t];
  }
  __syncwarp();
  ssd_scan_pieces(f, s.enter, false);
  __syncwarp();
  for (int t = lane; t < q.n; t += 32) {
    float *to = g.dt + (q.t0 + t) * k.ld_dt + h, v;
    float e = s.e[t] + (t > f.first[t] ? s.enter[t - 1] : 0.0f);

    da += (double)(l.dt[t] * e);
    dd += (double)s.diag[t];
    v = s.col[t] + s.left[t] + (float)(a * (double)e);
    if (g.dt)
      *to = g.beta[1] != 0.0f ? g.beta[1] * *to + v : v;
  }
  for (int o = 16; o > 0; o /= 2) {
    da += __shfl_xor_sync(~0u, da, o);
    dd += __shfl_xor_sync(~0u, dd, o);
  }
  if (lane == 0) {
    part[2 * (q.c * k.n_heads + h)] = da;
    part[2 * (q.c * k.n_heads + h) + 1] = dd;
  }
}

#endif
