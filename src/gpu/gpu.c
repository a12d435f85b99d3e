/* gpu.c: the GPU of this rank. */
#include "gpu/gpu.h"
#include "base/err.h"

/* One GPU a process, as there is one MPI. */
static struct {
  cudaStream_t stream;
} dev;

cudaStream_t
gpu_stream(void)
{
  return dev.stream;
}

void
gpu_check(cudaError_t e, const char *what)
{
  if (e != cudaSuccess)
    hy_die(HY_ERES, "CUDA: %s: %s", what, cudaGetErrorString(e));
}
