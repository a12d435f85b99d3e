/* norm.h: RMS norms over groups of a row: y = u w inv with
 *   CU_NORM_PLAIN   u = x,          inv = 1 / sqrt(mean u^2 + eps)
 *   CU_NORM_GATED   u = x silu(z),  inv the same
 *   CU_NORM_SCALED  u = x,          inv = 1 / sqrt(s / width + eps), s given
 * Backward: du = w dy inv - k u with k = inv^3 / n sum(w dy u), or k = 0 and
 * ds = -inv^3 / (2 width) sum(w dy u); dw = sum over rows of dy u inv, left as
 * n_part sums. */
#ifndef HYMN_CUDA_NORM_H
#define HYMN_CUDA_NORM_H

#include "cu.h"

enum { CU_NORM_PLAIN, CU_NORM_GATED, CU_NORM_SCALED };

typedef struct {
  cu_mat x, z, y;      /* y: the output, of backward its gradient */
  const float *w;      /* (n_group n) */
  float *inv;          /* (rows, n_group); CU_NORM_SCALED: none */
  cu_mat s, ds;        /* CU_NORM_SCALED: (rows, 1), fp32 */
  float beta_s, width; /* features behind s */
  int64_t rows;
  int n, n_group; /* features of a group, groups of a row */
  float eps;
  int n_chunk;   /* set by the launchers, see row.cuh */
  cu_mat dx, dz; /* NULL: not wanted */
  float beta_x, beta_z;
  float *part; /* (n_part, n_group n): sums for dw; NULL: not wanted */
  int n_part;
} cu_norm;

#endif
