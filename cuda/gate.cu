/* gate.cu: u = y silu(z). */
#include "gate.h"
#include "math.cuh"
#include "pointwise.cuh"

namespace
{
/* y, z */
struct gate {
  __device__ void operator()(int64_t, const float *x, float *u) const
  {
    u[0] = x[0] * x[1] * cu_sigmoid(x[1]);
  }
};

/* y, z, du to dy, dz */
struct gate_slope {
  __device__ void operator()(int64_t, const float *x, float *d) const
  {
    float g = cu_sigmoid(x[1]), v = x[1] * g;

    d[0] = x[2] * v;
    d[1] = x[2] * x[0] * (g + v * (1 - g));
  }
};
} // namespace

CU_API void
cu_gate_fwd(cudaStream_t s, cu_mat u, cu_mat y, cu_mat z, int64_t rows,
            int64_t n)
{
  cu_point<2, 1> a = {{y, z}, {u}, {0}, rows, n, 0};

  cu_pointwise(s, a, gate());
}

CU_API void
cu_gate_bwd(cudaStream_t s, cu_mat dy, float beta_y, cu_mat dz, float beta_z,
            cu_mat y, cu_mat z, cu_mat du, int64_t rows, int64_t n)
{
  cu_point<3, 2> a = {{y, z, du}, {dy, dz}, {beta_y, beta_z}, rows, n, 0};

  cu_pointwise(s, a, gate_slope());
}
