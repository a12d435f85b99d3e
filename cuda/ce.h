/* ce.h: see ce.cu. */
#ifndef HYMN_CUDA_CE_H
#define HYMN_CUDA_CE_H

#include "cu.h"

/** lse (rows) of the logits z (rows, n), 0 where the weight is; loss (rows),
 *  scratch: weight (lse - z[id - first]); *value += their sum. */
CU_API void cu_ce_fwd(cudaStream_t s, float *lse, double *loss, double *value,
                      cu_mat z, const int32_t *id, const float *weight,
                      int64_t first, int64_t rows, int64_t n);

/** The same from the rows of ce_stat of the whole vocabulary. */
CU_API void cu_ce_fwd_stat(cudaStream_t s, float *lse, double *loss,
                           double *value, const float *stat, int64_t stat_ld,
                           const float *weight, int64_t rows);

/** z becomes w scale (softmax(z) - 1[target]) with scale factor / max(*over,
 *  1); over NULL: factor. */
CU_API void cu_ce_bwd(cudaStream_t s, cu_mat z, const float *lse,
                      const int32_t *id, const float *weight, int64_t first,
                      double factor, const double *over, int64_t rows,
                      int64_t n);

#endif
