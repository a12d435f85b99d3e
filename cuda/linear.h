/* linear.h: see linear.cu. */
#ifndef HYMN_CUDA_LINEAR_H
#define HYMN_CUDA_LINEAR_H

#include "cu.h"

/** c = beta c + op(a) op(b), c (m, n), op(a) (m, k), op(b) (k, n); ta, tb: 1
 *  for the transposed operand, not both. a and b have one format; of fp32 ones
 *  c is fp32. Any alignment, any k. */
CU_API void cu_gemm(cudaStream_t s, int ta, int tb, int64_t m, int64_t n,
                    int64_t k, cu_mat a, cu_mat b, float beta, cu_mat c);

/** x (rows, n), fp32, as bf16 numbers that add up to it: of each the first
 *  three, p1 the nearest, p2 the nearest of what is left, p3 of the rest. Part
 * i of CU_PARTS lies at to + i step, with rows ld apart: p1, p1, p2, p3 or,
 * with `left`, p1, p2, p1, p3. The first three of a left and of a right factor,
 * one behind another in the sum, make their product but for 2^-16 of it. */
CU_API void cu_linear_split(cudaStream_t s, void *to, int64_t ld, int64_t step,
                            int left, cu_mat x, int64_t rows, int64_t n);

#endif
