/* cuda_runtime.h of the shim: the CUDA C++ language as g++ and clang++ compile
 * it for the CPU. The keywords vanish; what a thread does with other threads
 * is in threads.h. */
#ifndef HYMN_SHIM_CUDA_RUNTIME_H
#define HYMN_SHIM_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
/* No __shared__: CU_SHARED of cuda/launch.h gives each block fresh memory. */

#include "../threads.h"
#include "../device_math.h"

/* The attribute of a kernel, by its name as CUDA's own header allows. */
template <class T>
inline cudaError_t
cudaFuncSetAttribute(T *kernel, cudaFuncAttribute attr, int value)
{
  return cudaFuncSetAttribute((const void *)kernel, attr, value);
}

template <class T>
inline cudaError_t
cudaMalloc(T **p, size_t bytes)
{
  return cudaMalloc((void **)p, bytes);
}

#endif
#endif
