/* softplus.h: see softplus.cu. */
#ifndef HYMN_CUDA_SOFTPLUS_H
#define HYMN_CUDA_SOFTPLUS_H

#include "cu.h"

/** \param y (rows, n), fp32  \param b (n) */
CU_API void cu_softplus_fwd(cudaStream_t s, cu_mat y, cu_mat x, const float *b,
                            int64_t rows, int64_t n);
/** dx = beta dx + its gradient, part[p] = the sum of it over the rows of part p
 *  of n_part (what is added to b's); NULL: not wanted.
 *  \param dy (rows, n), fp32  \param part (n_part, n) */
CU_API void cu_softplus_bwd(cudaStream_t s, cu_mat dx, float beta, float *part,
                            int n_part, cu_mat x, const float *b, cu_mat dy,
                            int64_t rows, int64_t n);

#endif
