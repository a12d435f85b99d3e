/* seq_count.h: see seq_count.cu. */
#ifndef HYMN_CUDA_SEQ_COUNT_H
#define HYMN_CUDA_SEQ_COUNT_H

#include "cu.h"

/** y[d][e]: tokens of document d with expert e in the top_k of their plain
 *  scores, y[d][n]: its tokens; padding left out.
 *  \param y      (n_docs, n + 1), fp32, contiguous, out
 *  \param logit  (T, n), fp32
 *  \param doc    (T) document of each token, -1: none
 *  \param pad    (T) or NULL */
CU_API void cu_seq_count_fwd(cudaStream_t s, float *y, int64_t n_docs,
                             cu_mat logit, int64_t n_tokens, int n, int top_k,
                             const int32_t *doc, const uint8_t *pad);

#endif
