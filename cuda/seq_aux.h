/* seq_aux.h: see seq_aux.cu. */
#ifndef HYMN_CUDA_SEQ_AUX_H
#define HYMN_CUDA_SEQ_AUX_H

#include "cu.h"

typedef struct {
  int64_t n_tokens;
  int n, top_k;   /* experts; chosen of them */
  int64_t token0; /* of the batch, that row 0 is */
  float scale;
  const double *over;       /* (1) */
  const int32_t *seq_start; /* (T) first token of each one's document */
  const uint8_t *pad;       /* (T) or NULL */
  const int32_t *doc;       /* (T) number of the cut document, -1: not cut; or
                               NULL */
  const float *all;         /* of each cut document: counts, tokens */
  int64_t ld_all;
} cu_seq_aux;

/** *value += the loss; factor[t], for the first token t of a document here, its
 *  factors of sum P.  \param factor (T, n)  \param logit (T, n), fp32
 *  \param scratch cu_seq_aux_bytes */
CU_API void cu_seq_aux_fwd(cudaStream_t s, const cu_seq_aux *a, double *value,
                           float *factor, cu_mat logit, void *scratch);

/** dx = beta dx + gradient; rows of padding: beta dx. */
CU_API void cu_seq_aux_bwd(cudaStream_t s, const cu_seq_aux *a, cu_mat dx,
                           float beta, const float *factor, cu_mat logit);

#endif
