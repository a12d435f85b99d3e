/* embedding.h: see embedding.cu. */
#ifndef HYMN_CUDA_EMBEDDING_H
#define HYMN_CUDA_EMBEDDING_H

#include "cu.h"

/* A piece of a table: rows of the ids first .. first+rows-1, n numbers each. */
typedef struct {
  cu_mat w; /* of backward its gradient, fp32 */
  int64_t first, rows, n;
} cu_table;

/** y[t] = the row of id[t], 0 if it is not here; t < n_tokens. */
CU_API void cu_embedding_fwd(cudaStream_t s, cu_mat y, cu_table w,
                             const int32_t *id, int64_t n_tokens);

/* Memory that backward wants. */
typedef struct {
  int32_t *key, *token; /* (2, n_tokens) */
  float *sum;           /* (2 pieces of CU_EMBED_PIECE tokens, n) */
} cu_embed_room;

/** Row id of w = beta times itself + the sum of dy[t] over the tokens t with
 *  that id, in an order that the ids fix. */
CU_API void cu_embedding_bwd(cudaStream_t s, cu_table w, float beta, cu_mat dy,
                             const int32_t *id, int64_t n_tokens,
                             cu_embed_room room);

#endif
