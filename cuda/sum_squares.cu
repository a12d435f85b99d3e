/* sum_squares.cu: the sum of squares of each row. */
#include "sum_squares.h"
#include "pointwise.cuh"
#include "row.cuh"

template <class T, int V, int P>
__global__ void
__launch_bounds__(CU_ROW_MOST)
    sum_squares_fwd(cu_mat q, cu_mat x, int64_t rows, int n, int n_chunk)
{
  CU_SHARED(float, room, [CU_ROW_WARPS]);
  int64_t t = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
  const T *row = (const T *)x.p + t * x.ld;
  float s = 0;

  for (int c = 0; t < rows && c < n_chunk; c++) {
    cu_pack<T, V> p[P];

#pragma unroll
    for (int i = 0; i < P; i++)
      if (cu_row_at<V, P>(c, i) < n)
        cu_load(p[i], row + cu_row_at<V, P>(c, i));
#pragma unroll
    for (int i = 0; i < P; i++) {
      float f[V];

      if (cu_row_at<V, P>(c, i) >= n)
        continue;
      cu_unpack(f, p[i]);
#pragma unroll
      for (int k = 0; k < V; k++)
        s += f[k] * f[k];
    }
  }
  s = cu_row_sum(s, room);
  if (t < rows && threadIdx.x == 0)
    ((float *)q.p)[t * q.ld] = s;
}

template <class T, int V>
static void
fwd_by(cudaStream_t s, cu_mat q, cu_mat x, int64_t rows, int64_t n)
{
  cu_row_shape r = cu_row_split(n, 4, V);

  CU_LAUNCH((sum_squares_fwd<T, V, 4>), cu_blocks(rows, r.block.y), r.block, 0,
            s, q, x, rows, (int)n, r.n_chunk);
}

CU_API void
cu_sum_squares_fwd(cudaStream_t s, cu_mat q, cu_mat x, int64_t rows, int64_t n)
{
  if (rows <= 0)
    return;
  CU_TYPED(x, if (cu_packs(x, n, cu_wide<T>::n))
                  fwd_by<T, cu_wide<T>::n>(s, q, x, rows, n);
           else fwd_by<T, 1>(s, q, x, rows, n));
}

namespace
{
struct squares_slope {
  const float *dq;
  int64_t ld;

  __device__ void operator()(int64_t t, const float *x, float *dx) const
  {
    dx[0] = 2 * dq[t * ld] * x[0];
  }
};
} // namespace

CU_API void
cu_sum_squares_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat x, cu_mat dq,
                   int64_t rows, int64_t n)
{
  cu_point<1, 1> a = {{x}, {dx}, {beta}, rows, n, 0};

  cu_pointwise(s, a, squares_slope{(const float *)dq.p, dq.ld});
}
