/* ce.cu: cross-entropy of rows of logits against targets, and its gradient in
 * their place. */
#include "ce.cuh"
#include "ce.h"

template <class T, bool WHOLE>
__global__
__launch_bounds__(CE_THREADS) void ce_fwd(float *lse, double *loss, const T *z,
                                          int64_t ld, const int32_t *id,
                                          const float *weight, int64_t first,
                                          int64_t n)
{
  int64_t t = blockIdx.x, target = id[t] - first;
  bool counts = weight[t] != 0;
  double l = 0, sum = 0;

  z += t * ld;
  if (counts)
    l = ce_sum_exp<T, WHOLE>(z, n, &sum);
  if (threadIdx.x > 0)
    return;
  if (counts)
    l += log(sum);
  lse[t] = (float)l;
  if (!counts)
    loss[t] = 0;
  else if (target >= 0 && target < n)
    loss[t] = (l - (double)cu_get(z[target])) * (double)weight[t];
  else
    loss[t] = NAN; /* there is no such id */
}

__global__
__launch_bounds__(CE_THREADS) void ce_fwd_stat(float *lse, double *loss,
                                               const float *stat, int64_t ld,
                                               const float *weight,
                                               int64_t rows)
{
  int64_t t = (int64_t)blockIdx.x * CE_THREADS + threadIdx.x;
  const float *s = stat + t * ld;
  double l = 0;

  if (t >= rows)
    return;
  loss[t] = 0;
  if (weight[t] != 0) {
    l = (double)s[0] + log((double)s[1] + (double)s[2]);
    loss[t] = (l - (double)s[3]) * (double)weight[t];
  }
  lse[t] = (float)l;
}

/* *value += the sum of loss, in an order that n alone decides; one block. */
__global__
__launch_bounds__(CE_THREADS) void ce_sum(double *value, const double *loss,
                                          int64_t n)
{
  CU_SHARED(double, part, [CE_THREADS]);
  double sum = 0;

  for (int64_t i = threadIdx.x; i < n; i += CE_THREADS)
    sum += loss[i];
  part[threadIdx.x] = sum;
  __syncthreads();
  for (int half = CE_THREADS / 2; half > 0; half /= 2) {
    if ((int)threadIdx.x < half)
      part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0)
    *value += part[0];
}

template <class T, bool WHOLE>
__global__
__launch_bounds__(CE_THREADS) void ce_bwd(T *z, int64_t ld, const float *lse,
                                          const int32_t *id,
                                          const float *weight, int64_t first,
                                          double factor, const double *over,
                                          int64_t n)
{
  typedef ce_piece<T, WHOLE> piece;
  int64_t t = blockIdx.x, target = id[t] - first;
  double scale = over ? factor / fmax(*over, 1.0) : factor;
  float f = weight[t] * (float)scale, l = lse[t];
  float x[CE_FLIGHT * piece::N];

  z += t * ld;
  for (int64_t i = threadIdx.x; i < n / piece::N; i += CE_FLIGHT * CE_THREADS) {
    if (f != 0) /* else what is there may be NaN */
      ce_load<T, WHOLE>(x, z, i, n);
#pragma unroll
    for (int j = 0; j < CE_FLIGHT; j++) {
      int64_t at = i + j * CE_THREADS;
      typename piece::raw out;

#pragma unroll
      for (int k = 0; k < piece::N; k++) {
        float y = f != 0 ? f * __expf(x[j * piece::N + k] - l) : 0;

        cu_put(&out.x[k], at * piece::N + k == target ? y - f : y);
      }
      if (at < n / piece::N)
        ((typename piece::raw *)z)[at] = out;
    }
  }
  if ((int)threadIdx.x < n % piece::N) {
    int64_t at = n - 1 - threadIdx.x;
    float y = f != 0 ? f * __expf(cu_get(z[at]) - l) : 0;

    cu_put(&z[at], at == target ? y - f : y);
  }
}

CU_API void
cu_ce_fwd(cudaStream_t s, float *lse, double *loss, double *value, cu_mat z,
          const int32_t *id, const float *weight, int64_t first, int64_t rows,
          int64_t n)
{
  if (rows <= 0)
    return;
  CU_TYPED(z, {
    if (ce_whole<T>(z.p, z.ld))
      CU_LAUNCH((ce_fwd<T, true>), (unsigned)rows, CE_THREADS, 0, s, lse, loss,
                (const T *)z.p, z.ld, id, weight, first, n);
    else
      CU_LAUNCH((ce_fwd<T, false>), (unsigned)rows, CE_THREADS, 0, s, lse, loss,
                (const T *)z.p, z.ld, id, weight, first, n);
  });
  CU_LAUNCH(ce_sum, 1, CE_THREADS, 0, s, value, loss, rows);
}

CU_API void
cu_ce_fwd_stat(cudaStream_t s, float *lse, double *loss, double *value,
               const float *stat, int64_t stat_ld, const float *weight,
               int64_t rows)
{
  if (rows <= 0)
    return;
  CU_LAUNCH(ce_fwd_stat, cu_blocks(rows, CE_THREADS), CE_THREADS, 0, s, lse,
            loss, stat, stat_ld, weight, rows);
  CU_LAUNCH(ce_sum, 1, CE_THREADS, 0, s, value, loss, rows);
}

CU_API void
cu_ce_bwd(cudaStream_t s, cu_mat z, const float *lse, const int32_t *id,
          const float *weight, int64_t first, double factor, const double *over,
          int64_t rows, int64_t n)
{
  if (rows <= 0 || n <= 0)
    return;
  CU_TYPED(z, {
    if (ce_whole<T>(z.p, z.ld))
      CU_LAUNCH((ce_bwd<T, true>), (unsigned)rows, CE_THREADS, 0, s, (T *)z.p,
                z.ld, lse, id, weight, first, factor, over, n);
    else
      CU_LAUNCH((ce_bwd<T, false>), (unsigned)rows, CE_THREADS, 0, s, (T *)z.p,
                z.ld, lse, id, weight, first, factor, over, n);
  });
}
