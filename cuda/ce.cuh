/* ce.cuh: what cross-entropy does to a row of logits: a block of 256 threads,
 * 4 pieces of 16 bytes in flight for each. WHOLE: rows begin at multiples of
 * 16 bytes; else pieces are single elements. */
#ifndef HYMN_CUDA_CE_CUH
#define HYMN_CUDA_CE_CUH

#include "launch.h"

enum { CE_THREADS = 256, CE_FLIGHT = 4 };

/* A piece of a row: N numbers, loaded and stored at once. */
template <class T, bool WHOLE> struct ce_piece {
  enum { N = WHOLE ? 16 / sizeof(T) : 1 };
  struct __align__(WHOLE ? 16 : sizeof(T)) raw { T x[N]; };
};

/** Rows of ld elements from p begin at multiples of 16 bytes. */
template <class T>
static inline bool
ce_whole(const void *p, int64_t ld)
{
  return (uintptr_t)p % 16 == 0 && ld * sizeof(T) % 16 == 0;
}

/* The sum of exp(x - top) of what a thread has seen, and top, the largest. */
typedef struct {
  float top, sum;
} ce_seen;

template <int N>
__device__ static inline void
ce_see(ce_seen &s, const float (&x)[N], int n)
{
  float top = s.top, ref, sum = 0;

#pragma unroll
  for (int i = 0; i < N; i++)
    if (i < n)
      top = fmaxf(top, x[i]);
  ref = top == -INFINITY ? 0 : top; /* nothing but -inf: exp is 0, not NaN */
#pragma unroll
  for (int i = 0; i < N; i++)
    if (i < n)
      sum += __expf(x[i] - ref);
  s.sum = s.sum * __expf(s.top - ref) + sum;
  s.top = top;
}

/* The numbers that a thread has in flight. */
template <class T, bool WHOLE>
using ce_flight = float[CE_FLIGHT * ce_piece<T, WHOLE>::N];

/* Up to CE_FLIGHT pieces, CE_THREADS apart from piece i, of a row of n. */
template <class T, bool WHOLE>
__device__ static inline int
ce_load(ce_flight<T, WHOLE> &x, const T *z, int64_t i, int64_t n)
{
  typedef ce_piece<T, WHOLE> piece;
  typename piece::raw raw[CE_FLIGHT];
  int got = 0;

#pragma unroll
  for (int j = 0; j < CE_FLIGHT; j++)
    if (i + j * CE_THREADS < n / piece::N) {
      raw[j] = ((const typename piece::raw *)z)[i + j * CE_THREADS];
      got = j + 1;
    }
#pragma unroll
  for (int j = 0; j < CE_FLIGHT; j++)
#pragma unroll
    for (int k = 0; k < piece::N; k++)
      x[j * piece::N + k] = j < got ? cu_get(raw[j].x[k]) : 0.0f;
  return got * piece::N;
}

/** Largest of the n logits at z, -inf if there is none, and the sum of
 *  exp(z - largest), the same for all threads of the block. Sums of a thread
 *  are fp32 (up to a few hundred terms), those of threads double. */
template <class T, bool WHOLE>
__device__ static inline float
ce_sum_exp(const T *z, int64_t n, double *sum)
{
  typedef ce_piece<T, WHOLE> piece;
  CU_SHARED(float, tops, [CE_THREADS / 32]);
  CU_SHARED(double, sums, [CE_THREADS / 32]);
  ce_seen s = {-INFINITY, 0};
  float top, x[CE_FLIGHT * piece::N], last[1];
  double all;

  for (int64_t i = threadIdx.x; i < n / piece::N; i += CE_FLIGHT * CE_THREADS) {
    int got = ce_load<T, WHOLE>(x, z, i, n);

    ce_see(s, x, got);
  }
  if ((int)threadIdx.x < n % piece::N) {
    last[0] = cu_get(z[n - 1 - threadIdx.x]);
    ce_see(s, last, 1);
  }
  top = s.top;
  for (int b = 16; b > 0; b /= 2)
    top = fmaxf(top, __shfl_xor_sync(~0u, top, b));
  if (threadIdx.x % 32 == 0)
    tops[threadIdx.x / 32] = top;
  __syncthreads();
  for (int i = 0; i < CE_THREADS / 32; i++)
    top = fmaxf(top, tops[i]);
  all = s.top == -INFINITY ? (double)s.sum
                           : (double)s.sum * (double)expf(s.top - top);
  for (int b = 16; b > 0; b /= 2)
    all += __shfl_xor_sync(~0u, all, b);
  if (threadIdx.x % 32 == 0)
    sums[threadIdx.x / 32] = all;
  __syncthreads();
  *sum = 0;
  for (int i = 0; i < CE_THREADS / 32; i++)
    *sum += sums[i];
  return top;
}

#endif
