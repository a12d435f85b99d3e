/* sum_squares.h: see sum_squares.cu. */
#ifndef HYMN_CUDA_SUM_SQUARES_H
#define HYMN_CUDA_SUM_SQUARES_H

#include "cu.h"

/** q[t] = sum of x[t]^2.  \param q (rows, 1), fp32 */
CU_API void cu_sum_squares_fwd(cudaStream_t s, cu_mat q, cu_mat x, int64_t rows,
                               int64_t n);
/** dx = beta dx + 2 dq x. */
CU_API void cu_sum_squares_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat x,
                               cu_mat dq, int64_t rows, int64_t n);

#endif
