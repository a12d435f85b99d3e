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

/* F: void f(const float in[N_IN], float out[N_OUT]) */
template <class T, int V, int N_IN, int N_OUT, class F>
__global__ void
cu_point_kernel(cu_point<N_IN, N_OUT> a, F f)
{
  enum { U = CU_POINT_ROWS };
  int64_t j = ((int64_t)(blockIdx.x % a.across) * blockDim.x + threadIdx.x) * V;
  int64_t first =
      (int64_t)(blockIdx.x / a.across) * blockDim.y * U + threadIdx.y;
  cu_pack<T, V> x[U][N_IN], old[U][N_OUT];

  if (j >= a.n)
    return;
#pragma unroll
  for (int u = 0; u < U; u++) {
    int64_t t = first + u * blockDim.y;

    if (t >= a.rows)
      continue;
#pragma unroll
    for (int i = 0; i < N_IN; i++)
      cu_load(x[u][i], (const T *)a.in[i].p + t * a.in[i].ld + j);
#pragma unroll
    for (int i = 0; i < N_OUT; i++)
      if (a.out[i].p && a.beta[i] != 0)
        cu_load(old[u][i], (const T *)a.out[i].p + t * a.out[i].ld + j);
  }
#pragma unroll
  for (int u = 0; u < U; u++) {
    int64_t t = first + u * blockDim.y;
    float in[N_IN][V], out[N_OUT][V];

    if (t >= a.rows)
      continue;
#pragma unroll
    for (int i = 0; i < N_IN; i++)
      cu_unpack(in[i], x[u][i]);
#pragma unroll
    for (int k = 0; k < V; k++) {
      float one[N_IN], y[N_OUT];

#pragma unroll
      for (int i = 0; i < N_IN; i++)
        one[i] = in[i][k];
      f(one, y);
#pragma unroll
      for (int i = 0; i < N_OUT; i++)
        out[i][k] = y[i];
    }
#pragma unroll
    for (int i = 0; i < N_OUT; i++) {
      cu_pack<T, V> y;

      if (!a.out[i].p)
        continue;
      if (a.beta[i] != 0) {
        float was[V];

        cu_unpack(was, old[u][i]);
#pragma unroll
        for (int k = 0; k < V; k++)
          out[i][k] += a.beta[i] * was[k];
      }
      cu_repack(y, out[i]);
      cu_store((T *)a.out[i].p + t * a.out[i].ld + j, y);
    }
  }
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
