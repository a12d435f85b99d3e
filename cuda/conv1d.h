/* conv1d.h: see conv1d.cu. */
#ifndef HYMN_CUDA_CONV1D_H
#define HYMN_CUDA_CONV1D_H

#include "rows.h"

/* What lies before documents: row j of item i (a span, or a slot of the cache)
 * is at p + i step + j ld; NULL p: nothing does. */
typedef struct {
  void *p;
  int64_t step, ld;
  int bf16;
} cu_taps;

typedef struct {
  cu_mat x;       /* (T, channels) */
  const float *w; /* (channels, n_taps), rows ldw apart */
  int64_t ldw;
  const float *b; /* (channels) */
  cu_taps before; /* (items, n_taps - 1, channels) */
  cu_rows rows;
  int64_t channels;
  int n_taps;
} cu_conv;

/** y (T, channels). With segments the taps before are renewed. */
CU_API void cu_conv1d_fwd(cudaStream_t s, cu_conv k, cu_mat y);

/** Gradients from dy (T, channels); NULL: not wanted.
 *  \param dx, dw, db, dbefore  as x, w, b, before
 *  \param beta  of x, w, b, before
 *  \param part  cu_conv1d_parts floats */
CU_API void cu_conv1d_bwd(cudaStream_t s, cu_conv k, cu_mat dy, cu_mat dx,
                          float *dw, float *db, cu_taps dbefore,
                          const float beta[4], float *part);

#endif
