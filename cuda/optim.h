/* optim.h: what the optimizer does to lists of runs, see hy_run and hy_kit in
 * op/backend.h. A run is walked in tiles of CU_TILE numbers, one for a block;
 * tile t of the list is of run owner[t]. */
#ifndef HYMN_CUDA_OPTIM_H
#define HYMN_CUDA_OPTIM_H

#include "cu.h"

enum { CU_TILE = 8192 };

typedef struct {
  float *w, *m, *v;
  const float *g;
  void *low; /* NULL: nothing reads it */
  int bf16;  /* format of low */
  int decay;
  int wide; /* all addresses are multiples of 16 bytes, of low of 8 */
  int64_t n;
  int64_t tile; /* its first one */
} cu_run;

/* A list in the memory of the GPU. */
typedef struct {
  const cu_run *run;
  const int *owner;
  int64_t n_tile;
} cu_runs;

typedef struct {
  float beta1, beta2, eps, scale, rate, c1, c2, keep[2];
} cu_adamw_rates;

CU_API void cu_adamw(cudaStream_t s, cu_runs r, cu_adamw_rates k);

/** \param part  (n_tile + 1), where part[n_tile] will be the sum */
CU_API void cu_runs_squares(cudaStream_t s, cu_runs r, double *part);

/** bad[i] becomes 1 where run i has a number that is not finite; elsewhere it
 *  is left alone. */
CU_API void cu_runs_not_finite(cudaStream_t s, cu_runs r, unsigned char *bad);

CU_API void cu_bias_update(cudaStream_t s, float *bias, const int64_t *count,
                           int64_t n, float rate);

#endif
