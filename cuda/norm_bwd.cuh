/* norm_bwd.cuh: backward of norm.cuh. A block takes the rows of one part and
 * one group, and adds up dw over them in registers. */
#ifndef HYMN_CUDA_NORM_BWD_CUH
#define HYMN_CUDA_NORM_BWD_CUH

#include "norm.cuh"
#include "pointwise.cuh"

/* What a thread holds of a row. */
template <class T, int V, int P> struct cu_norm_held {
  cu_pack<T, V> x[P], z[P], dy[P], dx[P], dz[P];
};

template <class T, int V, int P, int MODE>
__device__ static inline void
cu_norm_load(cu_norm_held<T, V, P> &h, const cu_norm &a, int64_t t, int g,
             int c)
{
#pragma unroll
  for (int i = 0; i < P; i++) {
    int j = cu_row_at<V, P>(c, i);

    if (j >= a.n)
      continue;
    cu_load(h.x[i], cu_norm_row<const T>(a.x, t, g, a.n) + j);
    cu_load(h.dy[i], cu_norm_row<const T>(a.y, t, g, a.n) + j);
    if (MODE == CU_NORM_GATED)
      cu_load(h.z[i], cu_norm_row<const T>(a.z, t, g, a.n) + j);
    if (a.dx.p && a.beta_x != 0)
      cu_load(h.dx[i], cu_norm_row<const T>(a.dx, t, g, a.n) + j);
    if (MODE == CU_NORM_GATED && a.dz.p && a.beta_z != 0)
      cu_load(h.dz[i], cu_norm_row<const T>(a.dz, t, g, a.n) + j);
  }
}

/* u, and silu(z) and its slope where the norm is gated. */
template <class T, int V, int MODE>
__device__ static inline void
cu_norm_open(float (&u)[V], float (&silu)[V], float (&slope)[V],
             const cu_pack<T, V> &x, const cu_pack<T, V> &z)
{
  cu_unpack(u, x);
  if (MODE != CU_NORM_GATED)
    return;
  cu_unpack(silu, z);
#pragma unroll
  for (int k = 0; k < V; k++) {
    float g = cu_sigmoid_as<T>(silu[k]), v = silu[k] * g;

    slope[k] = u[k] * (g + v * (1 - g));
    silu[k] = v;
    u[k] *= v;
  }
}

/* The sum of w dy u over what is held; dy u inv goes into dw. */
template <class T, int V, int P, int MODE>
__device__ static inline float
cu_norm_dot(float (&dw)[P][V], const cu_norm_held<T, V, P> &h, const cu_norm &a,
            const float *w, float inv, int c)
{
  float s = 0;

#pragma unroll
  for (int i = 0; i < P; i++) {
    int j = cu_row_at<V, P>(c, i);
    float u[V], dy[V], f[V], none[2][V];
    cu_pack<float, V> pw;

    if (j >= a.n)
      continue;
    cu_load(pw, w + j);
    cu_unpack(f, pw);
    cu_unpack(dy, h.dy[i]);
    cu_norm_open<T, V, MODE>(u, none[0], none[1], h.x[i], h.z[i]);
#pragma unroll
    for (int k = 0; k < V; k++) {
      float p = dy[k] * u[k];

      s += f[k] * p;
      dw[i][k] += p * inv;
    }
  }
  return s;
}

template <class T, int V, int P, int MODE>
__device__ static inline void
cu_norm_spread(const cu_norm_held<T, V, P> &h, const cu_norm &a, const float *w,
               int64_t t, int g, float inv, float factor, int c)
{
#pragma unroll
  for (int i = 0; i < P; i++) {
    int j = cu_row_at<V, P>(c, i);
    float u[V], silu[V], slope[V], dy[V], du[V];
    cu_pack<float, V> pw;

    if (j >= a.n)
      continue;
    cu_load(pw, w + j);
    cu_unpack(du, pw);
    cu_unpack(dy, h.dy[i]);
    cu_norm_open<T, V, MODE>(u, silu, slope, h.x[i], h.z[i]);
#pragma unroll
    for (int k = 0; k < V; k++)
      du[k] = MODE == CU_NORM_SCALED ? du[k] * dy[k] * inv
                                     : du[k] * dy[k] * inv - factor * u[k];
    if (MODE == CU_NORM_GATED) {
#pragma unroll
      for (int k = 0; k < V; k++) {
        slope[k] *= du[k];
        du[k] *= silu[k];
      }
      if (a.dz.p)
        cu_point_store(cu_norm_row<T>(a.dz, t, g, a.n) + j, slope, h.dz[i],
                       a.beta_z);
    }
    if (a.dx.p)
      cu_point_store(cu_norm_row<T>(a.dx, t, g, a.n) + j, du, h.dx[i],
                     a.beta_x);
  }
}

/* dw of this chunk is added to the part's, for rows too long for registers. */
template <int V, int P>
__device__ static inline void
cu_norm_keep(float (&dw)[P][V], float *part, int n, int c, bool first)
{
#pragma unroll
  for (int i = 0; i < P; i++) {
    int j = cu_row_at<V, P>(c, i);

#pragma unroll
    for (int k = 0; k < V; k++) {
      if (part && j + k < n)
        part[j + k] = first ? dw[i][k] : part[j + k] + dw[i][k];
      dw[i][k] = 0;
    }
  }
}

/* The sums of the rows side by side, added in their order. */
template <int V, int P>
__device__ static inline void
cu_norm_close(const float (&dw)[P][V], float *part, int n)
{
  CU_DYN_SHARED(float, sum);
  int step = blockDim.x * V * P;

#pragma unroll
  for (int i = 0; i < P; i++)
#pragma unroll
    for (int k = 0; k < V; k++)
      sum[threadIdx.y * step + (i * V + k) * blockDim.x + threadIdx.x] =
          dw[i][k];
  __syncthreads();
  if (threadIdx.y == 0)
#pragma unroll
    for (int i = 0; i < P; i++)
#pragma unroll
      for (int k = 0; k < V; k++) {
        int j = cu_row_at<V, P>(0, i) + k;
        float s = 0;

        for (int y = 0; y < (int)blockDim.y; y++)
          s += sum[y * step + (i * V + k) * blockDim.x + threadIdx.x];
        if (j < n)
          part[j] = s;
      }
}

template <class T, int V, int P, int MODE>
__global__ void
__launch_bounds__(CU_ROW_MOST) cu_norm_bwd_kernel(cu_norm a)
{
  CU_SHARED(float, room, [2][CU_ROW_WARPS]);
  int g = blockIdx.x % a.n_group, p = blockIdx.x / a.n_group, turn = 0;
  int64_t lo = a.rows * p / a.n_part, hi = a.rows * (p + 1) / a.n_part;
  const float *w = a.w + (int64_t)g * a.n;
  float *part =
      a.part ? a.part + ((int64_t)p * a.n_group + g) * a.n : (float *)0;
  cu_norm_held<T, V, P> h;
  float dw[P][V] = {};

  for (int64_t first = lo; first < hi; first += blockDim.y, turn ^= 1) {
    int64_t t = first + threadIdx.y;
    bool on = t < hi;
    float inv = 0, s = 0;

    if (on)
      inv =
          MODE == CU_NORM_SCALED ? cu_norm_inv(a, t) : a.inv[t * a.n_group + g];
    for (int c = 0; on && c < a.n_chunk; c++) {
      cu_norm_load<T, V, P, MODE>(h, a, t, g, c);
      s += cu_norm_dot<T, V, P, MODE>(dw, h, a, w, inv, c);
      if (a.n_chunk > 1)
        cu_norm_keep(dw, part, a.n, c, first == lo);
    }
    s = cu_row_sum(s, room[turn]) * inv * inv * inv;
    if (MODE == CU_NORM_SCALED && on && a.ds.p && threadIdx.x == 0) {
      float *ds = (float *)a.ds.p + t * a.ds.ld, v = -0.5f * s / a.width;

      *ds = a.beta_s == 0 ? v : a.beta_s * *ds + v;
    }
    for (int c = 0; on && c < a.n_chunk; c++) {
      if (a.n_chunk > 1)
        cu_norm_load<T, V, P, MODE>(h, a, t, g, c);
      cu_norm_spread<T, V, P, MODE>(h, a, w, t, g, inv, s / (float)a.n, c);
    }
  }
  if (part && a.n_chunk == 1 && blockDim.y > 1)
    cu_norm_close(dw, part, a.n);
  else if (part && a.n_chunk == 1)
    cu_norm_keep(dw, part, a.n, 0, true);
}

template <class T, int V, int MODE>
static void
cu_norm_bwd_launch(cudaStream_t s, cu_norm a)
{
  enum { P = cu_norm_packs<MODE>::n };
  cu_row_shape r = cu_row_split(a.n, P, V);
  size_t shared = r.block.x * r.block.y * P * V * sizeof(float);

  a.n_chunk = r.n_chunk;
  CU_LAUNCH((cu_norm_bwd_kernel<T, V, P, MODE>), a.n_part * a.n_group, r.block,
            a.part && r.block.y > 1 ? shared : 0, s, a);
}

template <int MODE>
static void
cu_norm_bwd(cudaStream_t s, const cu_norm &a)
{
  if (a.rows <= 0 || a.n <= 0)
    return;
  CU_TYPED(a.x, if (cu_norm_wide(a))
                    cu_norm_bwd_launch<T, cu_wide<T>::n, MODE>(s, a);
           else cu_norm_bwd_launch<T, 1, MODE>(s, a));
}

#endif
