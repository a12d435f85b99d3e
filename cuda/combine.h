/* combine.h: see combine.cu. */
#ifndef HYMN_CUDA_COMBINE_H
#define HYMN_CUDA_COMBINE_H

#include "permute.h"

/** y[r] = sum over the choices i of row r, in order, of w(i) x[pos[i]]; rows of
 *  n. w is fp32, (n_row, top_k), or with lists (n_choice, 1). */
CU_API void cu_combine_fwd(cudaStream_t s, cu_mat y, cu_mat x, cu_mat w,
                           const int32_t *pos, cu_choices c, int64_t n);

/** dx[pos[i]] = beta_x dx[pos[i]] + w(i) dy[r] and dw(i) = beta_w dw(i) +
 *  dy[r] . x[pos[i]]; either of dx, dw may be missing. */
CU_API void cu_combine_bwd(cudaStream_t s, cu_mat dx, float beta_x, cu_mat dw,
                           float beta_w, cu_mat dy, cu_mat x, cu_mat w,
                           const int32_t *pos, cu_choices c, int64_t n);

#endif
