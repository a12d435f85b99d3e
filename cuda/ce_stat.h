/* ce_stat.h: see ce_stat.cu. */
#ifndef HYMN_CUDA_CE_STAT_H
#define HYMN_CUDA_CE_STAT_H

#include "cu.h"

/** stat (rows, 4), stat_ld elements apart, of the logits z (rows, n) of the ids
 *  first ..: largest, sum of exp(logit - largest) as two floats, logit of the
 *  target or 0. Rows of weight 0: zeros. */
CU_API void cu_ce_stat_fwd(cudaStream_t s, float *stat, int64_t stat_ld,
                           cu_mat z, const int32_t *id, const float *weight,
                           int64_t first, int64_t rows, int64_t n);

#endif
