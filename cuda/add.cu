/* add.cu: y = a + b. */
#include "add.h"
#include "pointwise.cuh"

namespace
{
struct plus {
  __device__ void operator()(int64_t, const float *x, float *y) const
  {
    y[0] = x[0] + x[1];
  }
};

struct both {
  __device__ void operator()(int64_t, const float *x, float *y) const
  {
    y[0] = y[1] = x[0];
  }
};
} // namespace

CU_API void
cu_add_fwd(cudaStream_t s, cu_mat y, cu_mat a, cu_mat b, int64_t rows,
           int64_t n)
{
  cu_point<2, 1> p = {{a, b}, {y}, {0}, rows, n, 0};

  cu_pointwise(s, p, plus());
}

CU_API void
cu_add_bwd(cudaStream_t s, cu_mat da, float beta_a, cu_mat db, float beta_b,
           cu_mat dy, int64_t rows, int64_t n)
{
  cu_point<1, 2> p = {{dy}, {da, db}, {beta_a, beta_b}, rows, n, 0};

  cu_pointwise(s, p, both());
}
