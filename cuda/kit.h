/* kit.h: arrays in the memory of the GPU, as hy_kit in op/backend.h says;
 * lengths in elements. */
#ifndef HYMN_CUDA_KIT_H
#define HYMN_CUDA_KIT_H

#include "cu.h"

CU_API void cu_kit_cast(cudaStream_t s, cu_mat to, cu_mat from, int64_t n);
CU_API void cu_kit_add(cudaStream_t s, cu_mat y, cu_mat x, int64_t rows,
                       int64_t n, float beta);
CU_API void cu_kit_sum_parts(cudaStream_t s, cu_mat out, const void *part,
                             int64_t n, int n_part, int more);
CU_API void cu_kit_add_counts(cudaStream_t s, int64_t *to, const int32_t *x,
                              int64_t n);
CU_API void cu_kit_least(cudaStream_t s, float *to, const float *x);

/** out[j] = beta out[j] + sum over i < n_part of part[i n + j], j < n: the
 *  last step of a gradient that sums over rows. For more parts than sum_parts
 *  is made for: they are added in groups, in an order that n_part fixes. */
CU_API void cu_add_parts(cudaStream_t s, float *out, const float *part,
                         int64_t n, int n_part, float beta);

#endif
