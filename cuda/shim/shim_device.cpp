/* shim_device.cpp: what the shim says of its one "GPU". */
#include <cstring>
#include <cuda_runtime.h>

extern "C" cudaError_t
cudaDriverGetVersion(int *v)
{
  *v = 13000;
  return cudaSuccess;
}

extern "C" cudaError_t
cudaRuntimeGetVersion(int *v)
{
  *v = 13000;
  return cudaSuccess;
}

#undef cudaGetDeviceProperties
extern "C" cudaError_t
cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
  memset(p, 0, sizeof *p);
  strcpy(p->name, "shim");
  p->major = 9;
  p->multiProcessorCount = 2;
  p->totalGlobalMem = (size_t)4 << 30;
  return cudaSuccess;
}
