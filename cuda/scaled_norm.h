/* scaled_norm.h: see scaled_norm.cu. */
#ifndef HYMN_CUDA_SCALED_NORM_H
#define HYMN_CUDA_SCALED_NORM_H

#include "norm.h"

CU_API void cu_scaled_norm_fwd(cudaStream_t s, const cu_norm *a);
CU_API void cu_scaled_norm_bwd(cudaStream_t s, const cu_norm *a);

#endif
