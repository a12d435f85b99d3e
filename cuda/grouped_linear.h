/* grouped_linear.h: see grouped_linear.cu. */
#ifndef HYMN_CUDA_GROUPED_LINEAR_H
#define HYMN_CUDA_GROUPED_LINEAR_H

#include "cu.h"

/* Experts: w (n, n_out, n_in) without gaps; of `rows` rows, offset[e] ..
 * offset[e+1]-1 are e's. offset (n + 1) is in the memory of the GPU, and the
 * host does not know it. */
typedef struct {
  const int32_t *offset;
  int n;
  int64_t rows, n_out, n_in;
} cu_experts;

/** y[r] = x[r] w[e]' */
CU_API void cu_grouped_linear_fwd(cudaStream_t s, cu_experts e, cu_mat y,
                                  cu_mat x, const void *w);
/** dx[r] = beta dx[r] + dy[r] w[e] */
CU_API void cu_grouped_linear_dx(cudaStream_t s, cu_experts e, cu_mat dx,
                                 cu_mat dy, const void *w, float beta);
/** dw[e] = beta dw[e] + sum over its rows of dy[r]' x[r], fp32 */
CU_API void cu_grouped_linear_dw(cudaStream_t s, cu_experts e, float *dw,
                                 cu_mat dy, cu_mat x, float beta);

#endif
