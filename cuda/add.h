/* add.h: see add.cu. */
#ifndef HYMN_CUDA_ADD_H
#define HYMN_CUDA_ADD_H

#include "cu.h"

CU_API void cu_add_fwd(cudaStream_t s, cu_mat y, cu_mat a, cu_mat b,
                       int64_t rows, int64_t n);
/** da = beta_a da + dy, db likewise, not the same array; NULL: not wanted. */
CU_API void cu_add_bwd(cudaStream_t s, cu_mat da, float beta_a, cu_mat db,
                       float beta_b, cu_mat dy, int64_t rows, int64_t n);

#endif
