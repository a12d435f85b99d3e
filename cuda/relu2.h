/* relu2.h: see relu2.cu. */
#ifndef HYMN_CUDA_RELU2_H
#define HYMN_CUDA_RELU2_H

#include "cu.h"

CU_API void cu_relu2_fwd(cudaStream_t s, cu_mat y, cu_mat x, int64_t rows,
                         int64_t n);
/** dx = beta dx + the gradient of x. */
CU_API void cu_relu2_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat x,
                         cu_mat dy, int64_t rows, int64_t n);

#endif
