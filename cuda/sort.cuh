/* sort.cuh: items 0 .. n-1 sorted by a small key, those of one key in their
 * order. Counting in three steps: a warp counts the keys of its unit of items,
 * the counts are added up over the units, a warp gives its items their places.
 * Only whole numbers are added, so the result is the same each time. */
#ifndef HYMN_CUDA_SORT_CUH
#define HYMN_CUDA_SORT_CUH

#include "topk.cuh"

/* The items of a unit. */
typedef struct {
  int64_t first, end;
} sort_unit;

__device__ static inline sort_unit
sort_unit_of(int64_t u, int64_t n)
{
  int64_t end = (u + 1) * CU_SORT_UNIT;

  return sort_unit{u * CU_SORT_UNIT, end < n ? end : n};
}

/* hist[key][u]: items with that key in unit u. */
template <class KEY>
__global__ void
sort_count(int32_t *hist, KEY key, int64_t n, int n_keys, int64_t n_unit)
{
  CU_DYN_SHARED(int, shared);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t u = blockIdx.x * (int64_t)(blockDim.x / 32) + warp;
  int *count = shared + (int64_t)warp * n_keys;
  sort_unit m = sort_unit_of(u, n);

  for (int e = lane; e < n_keys; e += 32)
    count[e] = 0;
  __syncwarp();
  for (int64_t i = m.first + lane; i < m.end; i += 32) {
    int e = key(i);

    if (e >= 0)
      atomicAdd(&count[e], 1);
  }
  __syncwarp();
  for (int e = lane; u < n_unit && e < n_keys; e += 32)
    hist[e * n_unit + u] = count[e];
}

/* Sum of the lanes before this one, and of all. */
__device__ static inline int
sort_scan(int x, int *all)
{
  int lane = threadIdx.x % 32, sum = x;

  for (int d = 1; d < 32; d *= 2) {
    int from = __shfl_up_sync(~0u, sum, d);

    sum += lane >= d ? from : 0;
  }
  *all = __shfl_sync(~0u, sum, 31);
  return sum - x;
}

/* A warp for each key: hist[key][u] becomes the number of its items in the
 * units before u, total[key] that of all. */
__global__ static void
sort_add(int32_t *hist, int32_t *total, int n_keys, int64_t n_unit)
{
  int lane = threadIdx.x % 32, sum = 0;
  int64_t e = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;

  if (e >= n_keys)
    return;
  hist += e * n_unit;
  for (int64_t first = 0; first < n_unit; first += 32) {
    int64_t u = first + lane;
    int all, before = sort_scan(u < n_unit ? hist[u] : 0, &all);

    if (u < n_unit)
      hist[u] = sum + before;
    sum += all;
  }
  if (lane == 0)
    total[e] = sum;
}

/* The first place of each key, by the first warp of a block. */
__device__ static inline void
sort_first(int *first, const int32_t *total, int n_keys)
{
  int lane = threadIdx.x % 32, sum = 0;

  for (int at = 0; threadIdx.x < 32 && at < n_keys; at += 32) {
    int e = at + lane;
    int all, before = sort_scan(e < n_keys ? total[e] : 0, &all);

    if (e < n_keys)
      first[e] = sum + before;
    sum += all;
  }
  if (threadIdx.x == 0)
    first[n_keys] = sum;
}

template <class KEY, class PUT>
__global__ void
sort_place(KEY key, PUT put, int32_t *offset, const int32_t *hist,
           const int32_t *total, int64_t n, int n_keys, int64_t n_unit)
{
  CU_DYN_SHARED(int, shared); /* first places; next places of each warp */
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t u = blockIdx.x * (int64_t)(blockDim.x / 32) + warp;
  int *next = shared + n_keys + 1 + (int64_t)warp * n_keys;
  sort_unit m = sort_unit_of(u, n);

  sort_first(shared, total, n_keys);
  __syncthreads();
  for (int e = threadIdx.x; blockIdx.x == 0 && offset && e <= n_keys;
       e += blockDim.x)
    offset[e] = shared[e];
  for (int e = lane; u < n_unit && e < n_keys; e += 32)
    next[e] = shared[e] + hist[e * n_unit + u];
  for (int64_t first = m.first; first < m.end; first += 32) {
    int64_t i = first + lane;
    int e = i < m.end ? key(i) : -1;
    unsigned same = __match_any_sync(~0u, e);
    int before = __popc(same & ((1u << lane) - 1)), at = 0;

    __syncwarp();
    if (e >= 0)
      at = next[e];
    __syncwarp();
    if (e >= 0 && before == 0) /* the first of those with this key */
      next[e] = at + __popc(same);
    if (i < m.end)
      put(i, e >= 0 ? at + before : -1);
  }
}

/* put(i, place) for each item i; key(i) < 0: it has none, place -1.
 *  offset   (n_keys + 1) first place of each key, or NULL
 *  scratch  cu_sort_bytes(n, n_keys) */
template <class KEY, class PUT>
static inline void
cu_sort(cudaStream_t s, KEY key, PUT put, int32_t *offset, int64_t n,
        int n_keys, void *scratch)
{
  int64_t n_unit = (n + CU_SORT_UNIT - 1) / CU_SORT_UNIT;
  size_t each = (size_t)n_keys * sizeof(int), fixed = each + sizeof(int);
  int n_warp = topk_warps(fixed, each);
  unsigned n_block = cu_blocks(n_unit, n_warp);
  int32_t *hist = (int32_t *)scratch, *total = hist + n_keys * n_unit;

  if (n_unit > 0) {
    topk_ask((const void *)sort_count<KEY>, n_warp * each);
    CU_LAUNCH((sort_count<KEY>), n_block, 32 * n_warp, n_warp * each, s, hist,
              key, n, n_keys, n_unit);
  }
  CU_LAUNCH(sort_add, cu_blocks(n_keys, 8), 256, 0, s, hist, total, n_keys,
            n_unit);
  topk_ask((const void *)sort_place<KEY, PUT>, fixed + n_warp * each);
  CU_LAUNCH((sort_place<KEY, PUT>), n_block > 0 ? n_block : 1, 32 * n_warp,
            fixed + n_warp * each, s, key, put, offset, hist, total, n, n_keys,
            n_unit);
}

#endif
