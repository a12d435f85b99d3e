/* relu2.cu: max(x, 0)^2. */
#include "launch.h"
#include "relu2.h"

template <class T>
__global__ void
relu2_fwd(const T *x, int64_t ldx, T *y, int64_t ldy, int64_t rows, int64_t n)
{
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (i < rows * n) {
    float v = fmaxf(cu_get(x[i / n * ldx + i % n]), 0);

    cu_put(&y[i / n * ldy + i % n], v * v);
  }
}

CU_API void
cu_relu2_fwd(cudaStream_t s, cu_mat y, cu_mat x, int64_t rows, int64_t n)
{
  if (rows * n > 0)
    CU_TYPED(x, CU_LAUNCH((relu2_fwd<T>), cu_blocks(rows * n, 256), 256, 0, s,
                          (const T *)x.p, x.ld, (T *)y.p, y.ld, rows, n));
}
