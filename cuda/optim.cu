/* optim.cu: AdamW, sums of squares and what is not finite over lists of runs;
 * router biases. Bytes an element: AdamW reads 16 and writes 12 (14 with a bf16
 * copy), the two others read 4. */
#include "optim.h"
#include "pack.cuh"

enum { THREADS = 256, FLIGHT = 2 /* packs of each array in flight */ };

/* The numbers of a run that this block takes. */
struct part {
  cu_run run;
  int64_t from, n;
};

__device__ static inline part
part_of(const cu_runs &r, int64_t tile)
{
  part p = {r.run[r.owner[tile]], 0, 0};

  p.from = (tile - p.run.tile) * CU_TILE;
  p.n = p.run.n - p.from < CU_TILE ? p.run.n - p.from : CU_TILE;
  return p;
}

/* ---- AdamW ----------------------------------------------------------------
 */

template <int V>
__device__ static inline void
put_low(const cu_run &r, int64_t at, const float (&w)[V])
{
  if (!r.low)
    return;
  if (!r.bf16) {
    cu_pack<float, V> x;

    cu_repack(x, w);
    cu_store((float *)r.low + at, x);
    return;
  }
  if constexpr (V == 4)
    *(uint2 *)((bf16 *)r.low + at) =
        make_uint2(cu_two(w[0], w[1]), cu_two(w[2], w[3]));
  else
    for (int i = 0; i < V; i++)
      cu_put((bf16 *)r.low + at + i, w[i]);
}

template <int V> struct four {
  cu_pack<float, V> w, m, v, g;
};

template <int V>
__device__ static inline void
load_four(four<V> &x, const cu_run &r, int64_t at)
{
  cu_load(x.g, r.g + at);
  cu_load(x.m, r.m + at);
  cu_load(x.v, r.v + at);
  cu_load(x.w, r.w + at);
}

template <int V>
__device__ static inline void
update(const four<V> &x, const cu_run &r, int64_t at, const cu_adamw_rates &k)
{
  float keep = r.decay ? k.keep[1] : k.keep[0], w[V], m[V], v[V], g[V];
  cu_pack<float, V> out;

  cu_unpack(w, x.w);
  cu_unpack(m, x.m);
  cu_unpack(v, x.v);
  cu_unpack(g, x.g);
#pragma unroll
  for (int i = 0; i < V; i++) {
    float gi = g[i] * k.scale;

    m[i] = k.beta1 * m[i] + (1 - k.beta1) * gi;
    v[i] = k.beta2 * v[i] + (1 - k.beta2) * gi * gi;
    w[i] = keep * w[i] - k.rate * (m[i] * k.c1) / (sqrtf(v[i] * k.c2) + k.eps);
  }
  cu_repack(out, m);
  cu_store(r.m + at, out);
  cu_repack(out, v);
  cu_store(r.v + at, out);
  cu_repack(out, w);
  cu_store(r.w + at, out);
  put_low<V>(r, at, w);
}

/* Packs of V of the first n numbers behind `from`. */
template <int V>
__device__ static inline void
update_part(const cu_run &r, int64_t from, int64_t n, const cu_adamw_rates &k)
{
  enum { STEP = THREADS * V };
  four<V> x[FLIGHT];

  for (int64_t at = threadIdx.x * V; at < n; at += FLIGHT * STEP) {
#pragma unroll
    for (int u = 0; u < FLIGHT; u++)
      if (at + u * STEP < n)
        load_four(x[u], r, from + at + u * STEP);
#pragma unroll
    for (int u = 0; u < FLIGHT; u++)
      if (at + u * STEP < n)
        update<V>(x[u], r, from + at + u * STEP, k);
  }
}

__global__ void
__launch_bounds__(THREADS, 3) adamw_kernel(cu_runs r, cu_adamw_rates k)
{
  part p = part_of(r, blockIdx.x);
  int64_t body = p.run.wide ? p.n / 4 * 4 : 0;

  update_part<4>(p.run, p.from, body, k);
  update_part<1>(p.run, p.from + body, p.n - body, k);
}

CU_API void
cu_adamw(cudaStream_t s, cu_runs r, cu_adamw_rates k)
{
  if (r.n_tile > 0)
    CU_LAUNCH(adamw_kernel, (unsigned)r.n_tile, THREADS, 0, s, r, k);
}

/* ---- sums of squares --------------------------------------------------------
 */

/* Sum over the block in an order that does not change, in thread 0. */
__device__ static inline double
block_sum(double x)
{
  CU_SHARED(double, warp, [32]);
  unsigned lane = threadIdx.x % 32, n = blockDim.x / 32;

  for (int d = 16; d > 0; d /= 2)
    x += __shfl_down_sync(0xffffffffu, x, d);
  if (lane == 0)
    warp[threadIdx.x / 32] = x;
  __syncthreads();
  x = threadIdx.x < n ? warp[threadIdx.x] : 0;
  if (threadIdx.x < 32)
    for (int d = 16; d > 0; d /= 2)
      x += __shfl_down_sync(0xffffffffu, x, d);
  return x;
}

/* Of every THREADS-th pack; a thread adds 32 numbers of a whole tile. */
template <int V>
__device__ static inline float
squares(const float *g, int64_t n)
{
  enum { STEP = THREADS * V, DEEP = 4 };
  float sum = 0, f[V];

  for (int64_t at = threadIdx.x * V; at < n; at += DEEP * STEP) {
    cu_pack<float, V> x[DEEP];

#pragma unroll
    for (int u = 0; u < DEEP; u++)
      if (at + u * STEP < n)
        cu_load(x[u], g + at + u * STEP);
#pragma unroll
    for (int u = 0; u < DEEP; u++)
      if (at + u * STEP < n) {
        cu_unpack(f, x[u]);
#pragma unroll
        for (int i = 0; i < V; i++)
          sum += f[i] * f[i];
      }
  }
  return sum;
}

__global__ void
__launch_bounds__(THREADS) squares_kernel(cu_runs r, double *out)
{
  part p = part_of(r, blockIdx.x);
  int64_t body = p.run.wide ? p.n / 4 * 4 : 0;
  double sum = squares<4>(p.run.g + p.from, body);

  sum = block_sum(sum + squares<1>(p.run.g + p.from + body, p.n - body));
  if (threadIdx.x == 0)
    out[blockIdx.x] = sum;
}

__global__ void
sum_kernel(const double *x, int64_t n, double *out)
{
  double sum = 0;

  for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
    sum += x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    *out = sum;
}

CU_API void
cu_runs_squares(cudaStream_t s, cu_runs r, double *part)
{
  if (r.n_tile > 0)
    CU_LAUNCH(squares_kernel, (unsigned)r.n_tile, THREADS, 0, s, r, part);
  CU_LAUNCH(sum_kernel, 1, 1024, 0, s, part, r.n_tile, part + r.n_tile);
}

/* ---- the rest ---------------------------------------------------------------
 */

__global__ void
__launch_bounds__(THREADS) not_finite_kernel(cu_runs r, unsigned char *bad)
{
  part p = part_of(r, blockIdx.x);
  const float *g = p.run.g + p.from;
  int found = 0;

  for (int64_t i = threadIdx.x; i < p.n; i += THREADS)
    found |= !(fabsf(g[i]) <= 3.402823466e+38f);
  if (__syncthreads_or(found) && threadIdx.x == 0)
    bad[r.owner[blockIdx.x]] = 1; /* other tiles of the run write the same */
}

CU_API void
cu_runs_not_finite(cudaStream_t s, cu_runs r, unsigned char *bad)
{
  if (r.n_tile > 0)
    CU_LAUNCH(not_finite_kernel, (unsigned)r.n_tile, THREADS, 0, s, r, bad);
}

/* Few numbers: every thread of the one block sums them all. */
__global__ void
bias_kernel(float *bias, const int64_t *count, int64_t n, float rate)
{
  int64_t sum = 0;

  for (int64_t e = 0; e < n; e++)
    sum += count[e];
  for (int64_t e = threadIdx.x; e < n; e += blockDim.x)
    bias[e] += rate * (float)((sum > n * count[e]) - (sum < n * count[e]));
}

CU_API void
cu_bias_update(cudaStream_t s, float *bias, const int64_t *count, int64_t n,
               float rate)
{
  if (n > 0)
    CU_LAUNCH(bias_kernel, 1, THREADS, 0, s, bias, count, n, rate);
}
