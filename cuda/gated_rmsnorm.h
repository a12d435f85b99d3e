/* gated_rmsnorm.h: see gated_rmsnorm.cu. */
#ifndef HYMN_CUDA_GATED_RMSNORM_H
#define HYMN_CUDA_GATED_RMSNORM_H

#include "norm.h"

CU_API void cu_gated_rmsnorm_fwd(cudaStream_t s, const cu_norm *a);
CU_API void cu_gated_rmsnorm_bwd(cudaStream_t s, const cu_norm *a);

#endif
