/* embedding_sort.cuh: tokens by the row of the table that they want, in a
 * stable order: a radix sort, 4 bits a pass, by one block (a batch has some
 * thousand tokens; this takes microseconds). Each thread owns a stretch of the
 * list; its tokens of a digit go behind those of lower digits and of the same
 * digit before it. */
#ifndef HYMN_CUDA_EMBEDDING_SORT_CUH
#define HYMN_CUDA_EMBEDDING_SORT_CUH

#include "embedding.h"
#include "launch.h"

enum {
  CU_SORT_THREADS = 512,
  CU_SORT_BITS = 4,
  CU_SORT_DIGITS = 1 << CU_SORT_BITS,
  CU_SORT_COUNTS = CU_SORT_DIGITS * CU_SORT_THREADS,
};

/* Where counter i lies: the threads' stretches of counters in different
 * banks. */
__device__ static inline int
cu_sort_at(int i)
{
  return i + i / CU_SORT_DIGITS;
}

/* Each counter becomes the sum of those before it. */
__device__ static inline void
cu_sort_scan(int *count, int *warp_sum)
{
  int me = threadIdx.x, lane = me % 32, sum = 0, before;

  for (int i = 0; i < CU_SORT_DIGITS; i++)
    sum += count[cu_sort_at(me * CU_SORT_DIGITS + i)];
  before = sum;
#pragma unroll
  for (int k = 1; k < 32; k *= 2) {
    int other = __shfl_up_sync(0xffffffffu, before, k);

    if (lane >= k)
      before += other;
  }
  if (lane == 31)
    warp_sum[me / 32] = before;
  __syncthreads();
  before -= sum;
  for (int i = 0; i < me / 32; i++)
    before += warp_sum[i];
  for (int i = 0; i < CU_SORT_DIGITS; i++) {
    int *c = &count[cu_sort_at(me * CU_SORT_DIGITS + i)], n = *c;

    *c = before;
    before += n;
  }
  __syncthreads();
}

__device__ static inline void
cu_sort_pass(int *count, int *warp_sum, const int32_t *key,
             const int32_t *token, int32_t *key_out, int32_t *token_out,
             int64_t n, int shift)
{
  int me = threadIdx.x;
  int64_t lo = n * me / CU_SORT_THREADS, hi = n * (me + 1) / CU_SORT_THREADS;

  for (int d = 0; d < CU_SORT_DIGITS; d++)
    count[cu_sort_at(d * CU_SORT_THREADS + me)] = 0;
  __syncthreads();
#pragma unroll 4
  for (int64_t i = lo; i < hi; i++)
    count[cu_sort_at((key[i] >> shift) % CU_SORT_DIGITS * CU_SORT_THREADS +
                     me)]++;
  __syncthreads();
  cu_sort_scan(count, warp_sum);
#pragma unroll 4
  for (int64_t i = lo; i < hi; i++) {
    int k = key[i], t = token[i];
    int at = count[cu_sort_at((k >> shift) % CU_SORT_DIGITS * CU_SORT_THREADS +
                              me)]++;

    key_out[at] = k;
    token_out[at] = t;
  }
  __syncthreads();
}

/* The sorted list is list n_pass % 2 of the two. A token whose row is not here
 * has the key `rows`. */
__global__ void
__launch_bounds__(CU_SORT_THREADS)
    cu_sort_kernel(cu_embed_room r, const int32_t *id, int64_t first,
                   int64_t rows, int64_t n, int n_pass)
{
  CU_SHARED(int, count, [CU_SORT_COUNTS + CU_SORT_COUNTS / CU_SORT_DIGITS]);
  CU_SHARED(int, warp_sum, [CU_SORT_THREADS / 32]);

  for (int64_t t = threadIdx.x; t < n; t += CU_SORT_THREADS) {
    int64_t k = id[t] - first;

    r.key[t] = (int32_t)(k >= 0 && k < rows ? k : rows);
    r.token[t] = (int32_t)t;
  }
  __syncthreads();
  for (int p = 0; p < n_pass; p++) {
    int64_t from = p % 2 * n, to = n - from;

    cu_sort_pass(count, warp_sum, r.key + from, r.token + from, r.key + to,
                 r.token + to, n, p * CU_SORT_BITS);
  }
}

/* Moves room's lists to the sorted ones. */
static void
cu_embed_sort(cudaStream_t s, cu_embed_room *room, const int32_t *id,
              int64_t first, int64_t rows, int64_t n)
{
  int n_pass = 1;

  while (rows >> n_pass * CU_SORT_BITS)
    n_pass++;
  CU_LAUNCH(cu_sort_kernel, 1, CU_SORT_THREADS, 0, s, *room, id, first, rows, n,
            n_pass);
  room->key += n_pass % 2 * n;
  room->token += n_pass % 2 * n;
}

#endif
