/* silu.cu: x sigmoid(x). */
#include "silu.h"
#include "math.cuh"
#include "pointwise.cuh"

namespace
{
struct silu {
  __device__ void operator()(int64_t, const float *x, float *y) const
  {
    y[0] = x[0] * cu_sigmoid(x[0]);
  }
};

/* x, dy */
struct silu_slope {
  __device__ void operator()(int64_t, const float *x, float *dx) const
  {
    float s = cu_sigmoid(x[0]);

    dx[0] = x[1] * (s + x[0] * s * (1 - s));
  }
};
} // namespace

CU_API void
cu_silu_fwd(cudaStream_t s, cu_mat y, cu_mat x, int64_t rows, int64_t n)
{
  cu_point<1, 1> a = {{x}, {y}, {0}, rows, n, 0};

  cu_pointwise(s, a, silu());
}

CU_API void
cu_silu_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat x, cu_mat dy,
            int64_t rows, int64_t n)
{
  cu_point<2, 1> a = {{x, dy}, {dx}, {beta}, rows, n, 0};

  cu_pointwise(s, a, silu_slope());
}
