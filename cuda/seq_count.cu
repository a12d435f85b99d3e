/* seq_count.cu: how often the tokens of each cut document choose each expert.
 * Counts are whole numbers, added as such in the place of the output. */
#include "seq_count.h"
#include "topk.cuh"

__global__ void
count_begin(int *y, int64_t n)
{
  int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

  if (i < n)
    y[i] = 0;
}

__global__ void
count_end(float *y, int64_t n)
{
  int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

  if (i < n)
    y[i] = (float)((const int *)y)[i];
}

/* A warp takes a token. */
__global__ void
count_tokens(int *y, const float *logit, int64_t ld, int64_t n_tokens, int n,
             int top_k, const int32_t *doc, const uint8_t *pad)
{
  CU_DYN_SHARED(unsigned, shared);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t t = blockIdx.x * (int64_t)(blockDim.x / 32) + warp;
  unsigned *key = shared + (int64_t)warp * n;

  if (t >= n_tokens || doc[t] < 0 || (pad && pad[t]))
    return;
  y += doc[t] * (int64_t)(n + 1);
  for (int e = lane; e < n; e += 32)
    key[e] = topk_key(topk_sigmoid(logit[t * ld + e]));
  topk_choose(key, n, top_k, lane);
  for (int e = lane; e < n; e += 32)
    if (key[e] == TOPK_CHOSEN)
      atomicAdd(&y[e], 1);
  if (lane == 0)
    atomicAdd(&y[n], 1);
}

CU_API void
cu_seq_count_fwd(cudaStream_t s, float *y, int64_t n_docs, cu_mat logit,
                 int64_t n_tokens, int n, int top_k, const int32_t *doc,
                 const uint8_t *pad)
{
  int64_t size = n_docs * (n + 1);
  size_t each = (size_t)n * sizeof(unsigned);
  int n_warp = topk_warps(0, each);

  if (size == 0)
    return;
  CU_LAUNCH(count_begin, cu_blocks(size, 256), 256, 0, s, (int *)y, size);
  if (n_tokens > 0) {
    topk_ask((const void *)count_tokens, n_warp * each);
    CU_LAUNCH(count_tokens, cu_blocks(n_tokens, n_warp), 32 * n_warp,
              n_warp * each, s, (int *)y, (const float *)logit.p, logit.ld,
              n_tokens, n, top_k, doc, pad);
  }
  CU_LAUNCH(count_end, cu_blocks(size, 256), 256, 0, s, y, size);
}
