/* concat.h: see concat.cu. */
#ifndef HYMN_CUDA_CONCAT_H
#define HYMN_CUDA_CONCAT_H

#include "cu.h"

/** Columns at .. at+n-1 of y are x. */
CU_API void cu_concat_fwd(cudaStream_t s, cu_mat y, int64_t at, cu_mat x,
                          int64_t rows, int64_t n);
/** dx = beta dx + columns at .. at+n-1 of dy. */
CU_API void cu_concat_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat dy,
                          int64_t at, int64_t rows, int64_t n);

#endif
