/* gpu_blas.h: products with weights, by cublasLt (in the shim: a stand-in).
 *
 * A fused end is only the sum with what c holds: the products of the model have
 * no bias, and the squared ReLU is none of the library's functions. */
#ifndef HYMN_GPU_GPU_BLAS_H
#define HYMN_GPU_GPU_BLAS_H

#include "cuda/cu.h"

/** Get the library and its workspace of CU_BLAS_ROOM bytes, once: the first
 *  product does it otherwise. */
CU_API void gpu_blas_open(void);
CU_API void gpu_blas_close(void);

/** c = beta c + op(a) op(b), rows one after another: c (m, n), op(a) (m, k),
 *  op(b) (k, n); ta, tb: 1 for the transposed operand, not both. a and b are
 *  both bf16, c bf16 or fp32, or all are fp32. Sums are in fp32, of fp32
 *  factors without shorter products in between, and rounded once. beta 0 does
 *  not read c. The same shapes and alignments (of up to 16 bytes) give the same
 *  bits. The first call of a shape asks the library how; later ones neither
 *  allocate nor wait. */
CU_API void gpu_blas_gemm(cudaStream_t s, int ta, int tb, int64_t m, int64_t n,
                          int64_t k, cu_mat a, cu_mat b, float beta, cu_mat c);

#endif
