/* permute.h: see permute.cu. */
#ifndef HYMN_CUDA_PERMUTE_H
#define HYMN_CUDA_PERMUTE_H

#include "cu.h"

/* Choices of rows: top_k each, or those of row r are list[r] .. list[r+1]-1. */
typedef struct {
  const int32_t *list; /* (n_row + 1) or NULL */
  int64_t n_row, top_k, n_choice;
} cu_choices;

/** The place of each choice when they are sorted by expert; those of one expert
 *  keep their order.
 *  \param pos     (n_choice), out
 *  \param offset  (n_experts + 1) first place of each expert, out
 *  \param idx     (n_choice) experts
 *  \param scratch cu_sort_bytes */
CU_API void cu_permute_sort(cudaStream_t s, int32_t *pos, int32_t *offset,
                            const int32_t *idx, int64_t n_choice, int n_experts,
                            void *scratch);

/** y[pos[i]] = x[row of i] for each choice i with a place, pos[i] >= 0; rows of
 *  n. */
CU_API void cu_permute_fwd(cudaStream_t s, cu_mat y, cu_mat x,
                           const int32_t *pos, cu_choices c, int64_t n);

/** dx[row] = beta dx[row] + sum over its choices with a place of
 *  dy[pos[i]], in order. */
CU_API void cu_permute_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat dy,
                           const int32_t *pos, cu_choices c, int64_t n);

#endif
