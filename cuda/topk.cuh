/* topk.cuh: a warp chooses the k largest of n numbers, for routers and the
 * balance loss. The numbers are keys in shared memory, unsigned integers in the
 * order of the floats; lane l alone reads and writes those of l, l + 32, ... */
#ifndef HYMN_CUDA_TOPK_CUH
#define HYMN_CUDA_TOPK_CUH

#include "launch.h"

/* Keys below those of all numbers. */
enum { TOPK_CHOSEN, TOPK_DROPPED };

/* Shared memory of a block without asking for more, and what it can ask for. */
enum { TOPK_SHARED = 48 << 10, TOPK_SHARED_MOST = 227 << 10 };

__device__ static inline float
topk_sigmoid(float x)
{
  return 1.0f / (1.0f + expf(-x));
}

/* NaN and -inf count as a very small number, so that there always are k. */
__device__ static inline unsigned
topk_key(float v)
{
  unsigned u;

  v = v > -INFINITY ? v + 0.0f : -3e38f; /* no -0 */
  u = __float_as_uint(v);
  return u & 0x80000000u ? ~u : u | 0x80000000u;
}

__device__ static inline float
topk_value(unsigned key)
{
  if (key <= TOPK_DROPPED)
    return -INFINITY;
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* The largest key of a lane and where it first is. */
typedef struct {
  unsigned key;
  int at;
} topk_best;

__device__ static inline topk_best
topk_scan(const unsigned *key, int n, int lane)
{
  topk_best b = {TOPK_CHOSEN, 0x7fffffff};

  for (int e = lane; e < n; e += 32)
    if (key[e] > b.key)
      b = topk_best{key[e], e};
  return b;
}

/* Mark the k largest as chosen, of equal ones the lower index.
 * \return by how much the last of them beats the best one left */
__device__ static inline float
topk_choose(unsigned *key, int n, int k, int lane)
{
  topk_best b = topk_scan(key, n, lane);
  unsigned least = TOPK_CHOSEN;

  for (int j = 0; j < k; j++) {
    unsigned at;

    least = __reduce_max_sync(~0u, b.key);
    at = __reduce_min_sync(~0u, b.key == least ? (unsigned)b.at : ~0u);
    if ((unsigned)b.at == at) {
      key[at] = TOPK_CHOSEN;
      b = topk_scan(key, n, lane);
    }
  }
  return topk_value(least) - topk_value(__reduce_max_sync(~0u, b.key));
}

/* The indices of the chosen, ascending, into sel in shared memory. */
__device__ static inline void
topk_list(const unsigned *key, int n, int *sel, int lane)
{
  int at = 0;

  for (int first = 0; first < n; first += 32) {
    int e = first + lane, in = e < n && key[e] == TOPK_CHOSEN;
    unsigned all = __ballot_sync(~0u, in);

    if (in)
      sel[at + __popc(all & ((1u << lane) - 1))] = e;
    at += __popc(all);
  }
  __syncwarp();
}

__device__ static inline float
warp_sum(float x)
{
  for (int d = 16; d > 0; d >>= 1)
    x += __shfl_xor_sync(~0u, x, d);
  return x;
}

/* Warps of a block, at most 8, of which each wants so many bytes of shared
 * memory beside `fixed` ones of the block. */
static inline int
topk_warps(size_t fixed, size_t each)
{
  int n = 8;

  while (n > 1 && fixed + (size_t)n * each > TOPK_SHARED)
    n--;
  return n;
}

/* Where that is more than a block has without asking. */
static inline void
topk_ask(const void *kernel, size_t bytes)
{
  if (bytes > TOPK_SHARED)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         bytes < TOPK_SHARED_MOST ? (int)bytes
                                                  : (int)TOPK_SHARED_MOST);
}

#endif
