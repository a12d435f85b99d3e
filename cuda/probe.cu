/* probe.cu: whether this GPU can run the kernels that were compiled. */
#include "launch.h"
#include "probe.h"

__global__ void
probe(int *p)
{
  if (p)
    *p = 1;
}

CU_API cudaError_t
cu_probe(void)
{
  cudaError_t e;

  CU_LAUNCH(probe, 1, 1, 0, 0, (int *)0);
  e = cudaGetLastError();
  return e == cudaSuccess ? cudaDeviceSynchronize() : e;
}
