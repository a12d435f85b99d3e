/* row.cuh: rows shared out to threads: blockDim.x of them take a row, each P
 * packs of V numbers a chunk; blockDim.y rows lie side by side in a block. */
#ifndef HYMN_CUDA_ROW_CUH
#define HYMN_CUDA_ROW_CUH

#include "pack.cuh"

/* Threads of a block, and of a block whose rows are long. */
enum { CU_ROW_THREADS = 256, CU_ROW_MOST = 512, CU_ROW_WARPS = 16 };

typedef struct {
  dim3 block;
  int n_chunk; /* of blockDim.x P V numbers in a row; 1: it stays in
                  registers */
} cu_row_shape;

/* Rows of n numbers. */
static inline cu_row_shape
cu_row_split(int64_t n, int p, int v)
{
  int64_t packs = (n + v - 1) / v;
  unsigned x = 1;

  if (packs > 32 * p)
    x = 32 * cu_blocks(packs, 32 * p);
  else
    while (x < 32 && x * p < packs)
      x *= 2;
  if (x > CU_ROW_MOST)
    x = CU_ROW_MOST;
  return {dim3(x, x < CU_ROW_THREADS ? CU_ROW_THREADS / x : 1),
          (int)cu_blocks(packs, (int64_t)x * p)};
}

/* First of the numbers that are pack i of chunk c for this thread. */
template <int V, int P>
__device__ static inline int
cu_row_at(int c, int i)
{
  return (int)((c * P + i) * blockDim.x + threadIdx.x) * V;
}

/* Sum over the threads of a row, the same bits in each of them. Called by all
 * threads of a block; calls in turn have other rooms. */
__device__ static inline float
cu_row_sum(float s, float (&room)[CU_ROW_WARPS])
{
  int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  int w = lane % CU_ROW_WARPS; /* both halves of a warp add the warps' sums */

#pragma unroll
  for (int k = 16; k > 0; k /= 2)
    if (k < (int)blockDim.x)
      s += __shfl_xor_sync(0xffffffffu, s, k);
  if (warps <= 1)
    return s;
  if (lane == 0)
    room[threadIdx.y * warps + threadIdx.x / 32] = s;
  __syncthreads();
  s = w < warps ? room[threadIdx.y * warps + w] : 0;
#pragma unroll
  for (int k = CU_ROW_WARPS / 2; k > 0; k /= 2)
    s += __shfl_xor_sync(0xffffffffu, s, k);
  return s;
}

#endif
