/* pointwise.cuh: out[i] = beta[i] out[i] + f_i(in[0], in[1], ...), element by
 * element, rows with strides; all numbers of one format, f in fp32. */
#ifndef HYMN_CUDA_POINTWISE_CUH
#define HYMN_CUDA_POINTWISE_CUH

#include "pack.cuh"

/* Rows that a thread has in flight. */
enum { CU_POINT_ROWS = 4, CU_POINT_THREADS = 256 };

template <int N_IN, int N_OUT> struct cu_point {
  cu_mat in[N_IN], out[N_OUT]; /* NULL out: not wanted */
  float beta[N_OUT];           /* 0: out is not read */
  int64_t rows, n;
  unsigned across; /* blocks side by side over a row */
};

/* What a thread has of a row: V columns of each input, and of each output what
 * it held. */
template <class T, int V, int N_IN, int N_OUT> struct cu_point_held {
  cu_pack<T, V> x[N_IN], old[N_OUT];
};

template <class T, int V, int N_IN, int N_OUT>
__device__ static inline void
cu_point_load(cu_point_held<T, V, N_IN, N_OUT> &h,
              const cu_point<N_IN, N_OUT> &a, int64_t t, int64_t j)
{
#pragma unroll
  for (int i = 0; i < N_IN; i++)
    cu_load(h.x[i], (const T *)a.in[i].p + t * a.in[i].ld + j);
#pragma unroll
  for (int i = 0; i < N_OUT; i++)
    if (a.out[i].p && a.beta[i] != 0)
      cu_load(h.old[i], (const T *)a.out[i].p + t * a.out[i].ld + j);
}

template <class T, int V>
__device__ static inline void
cu_point_store(T *p, float (&y)[V], const cu_pack<T, V> &old, float beta)
{
  cu_pack<T, V> out;

  if (beta != 0) {
    float was[V];

    cu_unpack(was, old);
#pragma unroll
    for (int k = 0; k < V; k++)
      y[k] += beta * was[k];
  }
  cu_repack(out, y);
  cu_store(p, out);
}

template <class T, int V, int N_IN, int N_OUT, class F>
__device__ static inline void
cu_point_work(const cu_point_held<T, V, N_IN, N_OUT> &h,
              const cu_point<N_IN, N_OUT> &a, const F &f, int64_t t, int64_t j)
{
  float in[N_IN][V], out[N_OUT][V];

#pragma unroll
  for (int i = 0; i < N_IN; i++)
    cu_unpack(in[i], h.x[i]);
#pragma unroll
  for (int k = 0; k < V; k++) {
    float x[N_IN], y[N_OUT];

#pragma unroll
    for (int i = 0; i < N_IN; i++)
      x[i] = in[i][k];
    f(t, x, y);
#pragma unroll
    for (int i = 0; i < N_OUT; i++)
      out[i][k] = y[i];
  }
#pragma unroll
  for (int i = 0; i < N_OUT; i++)
    if (a.out[i].p)
      cu_point_store((T *)a.out[i].p + t * a.out[i].ld + j, out[i], h.old[i],
                     a.beta[i]);
}

/* F: void f(int64_t row, const float in[N_IN], float out[N_OUT]) */
template <class T, int V, int N_IN, int N_OUT, class F>
__global__ void
cu_point_kernel(cu_point<N_IN, N_OUT> a, F f)
{
  enum { U = CU_POINT_ROWS };
  int64_t j = ((int64_t)(blockIdx.x % a.across) * blockDim.x + threadIdx.x) * V;
  int64_t first =
      (int64_t)(blockIdx.x / a.across) * blockDim.y * U + threadIdx.y;
  cu_point_held<T, V, N_IN, N_OUT> h[U];

  if (j >= a.n)
    return;
#pragma unroll
  for (int u = 0; u < U; u++)
    if (first + u * blockDim.y < a.rows)
      cu_point_load(h[u], a, first + u * blockDim.y, j);
#pragma unroll
  for (int u = 0; u < U; u++)
    if (first + u * blockDim.y < a.rows)
      cu_point_work(h[u], a, f, first + u * blockDim.y, j);
}

template <class T, int V, int N_IN, int N_OUT, class F>
static void
cu_point_launch(cudaStream_t s, cu_point<N_IN, N_OUT> a, F f)
{
  unsigned w = 1, high;

  while (w < 32 && w * V < a.n)
    w *= 2;
  high = CU_POINT_THREADS / w;
  a.across = cu_blocks(a.n, (int64_t)w * V);
  CU_LAUNCH((cu_point_kernel<T, V, N_IN, N_OUT, F>),
            a.across * cu_blocks(a.rows, high * CU_POINT_ROWS), dim3(w, high),
            0, s, a, f);
}

template <int N_IN, int N_OUT, class F>
static void
cu_pointwise(cudaStream_t s, const cu_point<N_IN, N_OUT> &a, F f)
{
  int v = a.in[0].bf16 ? 8 : 4;
  bool wide = true;

  if (a.rows <= 0 || a.n <= 0)
    return;
  for (int i = 0; i < N_IN; i++)
    wide = wide && cu_packs(a.in[i], a.n, v);
  for (int i = 0; i < N_OUT; i++)
    wide = wide && cu_packs(a.out[i], a.n, v);
  CU_TYPED(a.in[0], if (wide) cu_point_launch<T, cu_wide<T>::n>(s, a, f);
           else cu_point_launch<T, 1>(s, a, f));
}

#endif
