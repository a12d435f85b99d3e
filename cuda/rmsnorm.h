/* rmsnorm.h: see rmsnorm.cu. */
#ifndef HYMN_CUDA_RMSNORM_H
#define HYMN_CUDA_RMSNORM_H

#include "norm.h"

CU_API void cu_rmsnorm_fwd(cudaStream_t s, const cu_norm *a);
CU_API void cu_rmsnorm_bwd(cudaStream_t s, const cu_norm *a);

#endif
