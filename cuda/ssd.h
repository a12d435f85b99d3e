/* ssd.h: the scan of Mamba-2 and what a span does to its state; see ssd.cu. */
#ifndef HYMN_CUDA_SSD_H
#define HYMN_CUDA_SSD_H

#include "rows.h"

/* Inputs of both ops. A state is (n_heads, d_head, d_state), fp32. */
typedef struct {
  cu_mat x, b, c; /* (T, n_heads d_head), (T, n_groups d_state) twice */
  const float *dt;
  int64_t ld_dt; /* (T, n_heads) */
  const float *a_log, *d;
  float *s0; /* states before documents, by span or slot of the cache; NULL:
                documents start from zero */
  int64_t ld_s0;
  cu_rows rows;
  int64_t n_heads, n_groups, d_head, d_state;
  float *logs; /* scratch: cu_ssd_logs_size floats */
  float *save; /* (chunks, state): what enters each chunk, of those that do not
                  start with a document */
} cu_ssd;

/* Gradients; NULL: not wanted. beta in the order of hy_ssd's inputs: x, dt, b,
 * c, a_log, d, s0. */
typedef struct {
  cu_mat dy, dx, db, dc; /* dy: of the output */
  float *dt;             /* rows as cu_ssd.dt */
  float *a_log, *d, *s0;
  float beta[7];
  void *work; /* scratch: cu_ssd_bwd_size bytes */
} cu_ssd_grad;

/** y (T, n_heads d_head). With segments s0 is renewed. */
CU_API void cu_ssd_fwd(cudaStream_t s, cu_ssd k, cu_mat y);
CU_API void cu_ssd_bwd(cudaStream_t s, cu_ssd k, cu_ssd_grad g);

/** out (n_span, state + n_heads): own states, then decays. c, d, s0 and save
 *  of k are not used. */
CU_API void cu_ssd_state_fwd(cudaStream_t s, cu_ssd k, float *out, int64_t ld);
/** From the gradient of out; beta: x, dt, b, a_log.
 *  \param g     dx, db, dt, a_log, beta and work are used */
CU_API void cu_ssd_state_bwd(cudaStream_t s, cu_ssd k, const float *dout,
                             int64_t ld, cu_ssd_grad g);

#endif
