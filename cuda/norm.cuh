/* norm.cuh: the forward kernel of norm.h; a row, or a group of it, is taken by
 * blockDim.x threads, stays in their registers and is read once. */
#ifndef HYMN_CUDA_NORM_CUH
#define HYMN_CUDA_NORM_CUH

#include "norm.h"
#include "math.cuh"
#include "row.cuh"

/* Packs a thread holds: the gated norm has two inputs. */
template <int MODE> struct cu_norm_packs {
  enum { n = MODE == CU_NORM_GATED ? 2 : 4 };
};

template <class T>
__device__ static inline T *
cu_norm_row(const cu_mat &m, int64_t t, int g, int n)
{
  return (T *)m.p + t * m.ld + (int64_t)g * n;
}

/* u of pack i of chunk c. */
template <class T, int V, int P, int MODE>
__device__ static inline void
cu_norm_u(float (&u)[P][V], const cu_norm &a, const T *x, const T *z, int c)
{
  cu_pack<T, V> px[P], pz[P];

#pragma unroll
  for (int i = 0; i < P; i++) {
    int j = cu_row_at<V, P>(c, i);

    if (j >= a.n)
      continue;
    cu_load(px[i], x + j);
    if (MODE == CU_NORM_GATED)
      cu_load(pz[i], z + j);
  }
#pragma unroll
  for (int i = 0; i < P; i++) {
    float gate[V];

#pragma unroll
    for (int k = 0; k < V; k++)
      u[i][k] = 0;
    if (cu_row_at<V, P>(c, i) >= a.n)
      continue;
    cu_unpack(u[i], px[i]);
    if (MODE != CU_NORM_GATED)
      continue;
    cu_unpack(gate, pz[i]);
#pragma unroll
    for (int k = 0; k < V; k++)
      u[i][k] *= gate[k] * cu_sigmoid_as<T>(gate[k]);
  }
}

template <class T, int V, int P>
__device__ static inline void
cu_norm_put(const cu_norm &a, T *y, const float (&u)[P][V], const float *w,
            float inv, int c)
{
#pragma unroll
  for (int i = 0; i < P; i++) {
    int j = cu_row_at<V, P>(c, i);
    cu_pack<float, V> pw;
    cu_pack<T, V> py;
    float f[V];

    if (j >= a.n)
      continue;
    cu_load(pw, w + j);
    cu_unpack(f, pw);
#pragma unroll
    for (int k = 0; k < V; k++)
      f[k] *= u[i][k] * inv;
    cu_repack(py, f);
    cu_store(y + j, py);
  }
}

/* 1 / rms that the input s gives. */
__device__ static inline float
cu_norm_inv(const cu_norm &a, int64_t t)
{
  return 1 / sqrtf(((const float *)a.s.p)[t * a.s.ld] / a.width + a.eps);
}

/* A row for each threadIdx.y, group blockIdx.x % n_group. */
template <class T, int V, int P, int MODE>
__global__ void
__launch_bounds__(CU_ROW_MOST) cu_norm_fwd_kernel(cu_norm a)
{
  CU_SHARED(float, room, [CU_ROW_WARPS]);
  int g = blockIdx.x % a.n_group;
  int64_t t = (int64_t)(blockIdx.x / a.n_group) * blockDim.y + threadIdx.y;
  bool on = t < a.rows;
  const T *x = cu_norm_row<T>(a.x, t, g, a.n);
  const T *z = cu_norm_row<T>(a.z, t, g, a.n);
  float u[P][V], s = 0, inv;

  for (int c = 0; on && c < a.n_chunk; c++) {
    cu_norm_u<T, V, P, MODE>(u, a, x, z, c);
#pragma unroll
    for (int i = 0; i < P; i++)
#pragma unroll
      for (int k = 0; k < V; k++)
        s += u[i][k] * u[i][k];
  }
  if (MODE == CU_NORM_SCALED)
    inv = on ? cu_norm_inv(a, t) : 0;
  else
    inv = 1 / sqrtf(cu_row_sum(s, room) / (float)a.n + a.eps);
  if (MODE != CU_NORM_SCALED && on && threadIdx.x == 0)
    a.inv[t * a.n_group + g] = inv;
  for (int c = 0; on && c < a.n_chunk; c++) {
    if (a.n_chunk > 1)
      cu_norm_u<T, V, P, MODE>(u, a, x, z, c);
    cu_norm_put(a, cu_norm_row<T>(a.y, t, g, a.n), u, a.w + (int64_t)g * a.n,
                inv, c);
  }
}

template <class T, int V, int MODE>
static void
cu_norm_fwd_launch(cudaStream_t s, cu_norm a)
{
  enum { P = cu_norm_packs<MODE>::n };
  cu_row_shape r = cu_row_split(a.n, P, V);

  a.n_chunk = r.n_chunk;
  CU_LAUNCH((cu_norm_fwd_kernel<T, V, P, MODE>),
            a.n_group * cu_blocks(a.rows, r.block.y), r.block, 0, s, a);
}

/* Whether all rows of all groups can be moved 16 bytes at a time. */
static inline bool
cu_norm_wide(const cu_norm &a)
{
  int v = a.x.bf16 ? 8 : 4;

  return cu_packs(a.x, a.n, v) && cu_packs(a.z, a.n, v) &&
         cu_packs(a.y, a.n, v) && cu_packs(a.dx, a.n, v) &&
         cu_packs(a.dz, a.n, v) && cu_packs(a.w, 0, 4, a.n, v) &&
         cu_packs(a.part, 0, 4, a.n, v);
}

template <int MODE>
static void
cu_norm_fwd(cudaStream_t s, const cu_norm &a)
{
  if (a.rows <= 0 || a.n <= 0)
    return;
  CU_TYPED(a.x, if (cu_norm_wide(a))
                    cu_norm_fwd_launch<T, cu_wide<T>::n, MODE>(s, a);
           else cu_norm_fwd_launch<T, 1, MODE>(s, a));
}

#endif
