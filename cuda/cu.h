/* cu.h: what C and CUDA C share: arrays as kernels take them. Kernels know no
 * tape and no MPI; src/gpu gives them plain arguments. */
#ifndef HYMN_CUDA_CU_H
#define HYMN_CUDA_CU_H

#include "sizes.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
#define CU_API extern "C"
#else
#define CU_API extern
#endif

/* Rows of numbers, ld elements apart; NULL p: not there. */
typedef struct {
  void *p;
  int64_t ld;
  int bf16; /* else fp32 */
} cu_mat;

#endif
