/* ce_stat.cu: what a part of the vocabulary knows of the cross-entropy. */
#include "ce.cuh"
#include "ce_stat.h"

template <class T, bool WHOLE>
__global__
__launch_bounds__(CE_THREADS) void ce_stat_fwd(float *stat, int64_t stat_ld,
                                               const T *z, int64_t ld,
                                               const int32_t *id,
                                               const float *weight,
                                               int64_t first, int64_t n)
{
  int64_t t = blockIdx.x, target = id[t] - first;
  float top = 0;
  double sum = 0;
  bool counts = weight[t] != 0;

  z += t * ld;
  stat += t * stat_ld;
  if (counts)
    top = ce_sum_exp<T, WHOLE>(z, n, &sum);
  if (threadIdx.x > 0)
    return;
  stat[0] = top;
  stat[1] = (float)sum;
  stat[2] = (float)(sum - (double)stat[1]);
  stat[3] = counts && target >= 0 && target < n ? cu_get(z[target]) : 0.0f;
}

CU_API void
cu_ce_stat_fwd(cudaStream_t s, float *stat, int64_t stat_ld, cu_mat z,
               const int32_t *id, const float *weight, int64_t first,
               int64_t rows, int64_t n)
{
  if (rows <= 0)
    return;
  CU_TYPED(z, {
    if (ce_whole<T>(z.p, z.ld))
      CU_LAUNCH((ce_stat_fwd<T, true>), (unsigned)rows, CE_THREADS, 0, s, stat,
                stat_ld, (const T *)z.p, z.ld, id, weight, first, n);
    else
      CU_LAUNCH((ce_stat_fwd<T, false>), (unsigned)rows, CE_THREADS, 0, s, stat,
                stat_ld, (const T *)z.p, z.ld, id, weight, first, n);
  });
}
