/* launch.h: the few things that a .cu file writes differently so that nvcc and
 * the host shim (cuda/shim) both compile it.
 *   CU_LAUNCH(kernel, grid, block, dynamic shared bytes, stream, args...)
 *   CU_SHARED(type, name, [dims]...)  a __shared__ variable
 *   CU_DYN_SHARED(type, name)         the dynamic shared memory, as type *
 * A kernel with commas in its name goes in parentheses: (k<T, 4>). */
#ifndef HYMN_CUDA_LAUNCH_H
#define HYMN_CUDA_LAUNCH_H

#include "cu.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#ifdef HYMN_CUDA_SHIM
#define CU_LAUNCH(kernel, grid, block, shmem, stream, ...)                     \
  shim::launch_with(#kernel, kernel, grid, block, shmem, stream, ##__VA_ARGS__)
#define CU_SHARED(T, name, ...)                                                \
  typedef T name##_shared_t __VA_ARGS__;                                       \
  static const int name##_site = shim::new_site();                             \
  name##_shared_t &name =                                                      \
      *(name##_shared_t *)shim::shared(name##_site, sizeof(name##_shared_t))
#define CU_DYN_SHARED(T, name) T *name = (T *)shim::dyn_shared()
#else
#define CU_LAUNCH(kernel, grid, block, shmem, stream, ...)                     \
  kernel<<<grid, block, shmem, stream>>>(__VA_ARGS__)
#define CU_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
#define CU_DYN_SHARED(T, name)                                                 \
  extern __shared__ __align__(128) unsigned char cu_dyn_shared_[];             \
  T *name = reinterpret_cast<T *>(cu_dyn_shared_)
#endif

typedef __nv_bfloat16 bf16;

/* Run the statement with T the type of the numbers of m. */
#define CU_TYPED(m, ...)                                                       \
  do {                                                                         \
    if ((m).bf16) {                                                            \
      typedef bf16 T;                                                          \
      __VA_ARGS__;                                                             \
    } else {                                                                   \
      typedef float T;                                                         \
      __VA_ARGS__;                                                             \
    }                                                                          \
  } while (0)

__device__ static inline float
cu_get(float x)
{
  return x;
}

__device__ static inline float
cu_get(bf16 x)
{
  return __bfloat162float(x);
}

__device__ static inline void
cu_put(float *p, float x)
{
  *p = x;
}

__device__ static inline void
cu_put(bf16 *p, float x)
{
  *p = __float2bfloat16_rn(x);
}

static inline unsigned
cu_blocks(int64_t n, int64_t per_block)
{
  return (unsigned)((n + per_block - 1) / per_block);
}

#endif
