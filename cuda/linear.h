/* linear.h: see linear.cu. */
#ifndef HYMN_CUDA_LINEAR_H
#define HYMN_CUDA_LINEAR_H

#include "cu.h"

/** c = beta c + op(a) op(b), c (m, n), op(a) (m, k), op(b) (k, n); ta, tb: 1
 *  for the transposed operand, not both. a and b have one format; of fp32 ones
 *  c is fp32. Any alignment, any k. */
CU_API void cu_gemm(cudaStream_t s, int ta, int tb, int64_t m, int64_t n,
                    int64_t k, cu_mat a, cu_mat b, float beta, cu_mat c);

/** to (rows, n), without gaps, = x in fp32. */
CU_API void cu_linear_widen(cudaStream_t s, float *to, cu_mat x, int64_t rows,
                            int64_t n);

/** y = beta y + x (rows, n), x without gaps. */
CU_API void cu_linear_narrow(cudaStream_t s, cu_mat y, const float *x,
                             int64_t rows, int64_t n, float beta);

#endif
