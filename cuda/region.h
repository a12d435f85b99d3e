/* region.h: what regions do with arrays between messages, as hy_kit in
 * op/backend.h says: statistics of parts of the vocabulary, states of a scan
 * that are handed on. All in fp32. */
#ifndef HYMN_CUDA_REGION_H
#define HYMN_CUDA_REGION_H

#include "cu.h"

CU_API void cu_merge_stat(cudaStream_t s, float *out, const float *part,
                          int64_t rows, int n_part);
CU_API void cu_carry_none(cudaStream_t s, float *item, int64_t n_item,
                          int64_t n_heads, int64_t n);
CU_API void cu_carry_join(cudaStream_t s, float *to, const float *state,
                          const float *decay, const float *far, int64_t n_heads,
                          int64_t n);
CU_API void cu_carry_grad(cudaStream_t s, float *to, const float *g,
                          const float *in, int64_t n_heads, int64_t n,
                          float beta);

#endif
