/* attention_bwd.cu: attention backward.
 *
 * With delta = dout . out of a row, tile by tile:
 *   p = exp(s - lse),  dp = dout v',  ds = p (dp - delta)
 *   dq += ds k / sqrt(d),  dk += ds' q / sqrt(d),  dv += p' dout.
 * dq is summed by blocks of queries, dk and dv by blocks of keys, which meet
 * the query heads of their key head one after another: each sum has one order.
 * Source: Dao et al. 2022, arXiv:2205.14135, algorithm 4. */
#include "attention_bwd.cuh"

/* delta (n_tokens, n_heads); a warp for each. */
__global__ void
attn_delta(cu_attn a, cu_mat dout, float *delta)
{
  int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32;
  int64_t t = i / a.n_heads, h = i % a.n_heads;
  float sum = 0.0f;

  if (t < a.n_tokens)
    for (int j = threadIdx.x % 32; j < a.d; j += 32)
      sum += attn_get(a.out.p, a.out.bf16, t * a.out.ld + h * a.d + j) *
             attn_get(dout.p, dout.bf16, t * dout.ld + h * a.d + j);
  for (int k = 16; k > 0; k /= 2)
    sum += __shfl_xor_sync(~0u, sum, k);
  if (t < a.n_tokens && threadIdx.x % 32 == 0)
    delta[i] = sum;
}

CU_API void
cu_attention_bwd(cudaStream_t s, cu_attn a, cu_attn_grad g)
{
  float *delta = (float *)g.scratch;

  if (a.n_tokens > 0 && (a.n_keys > 0 || a.start != NULL))
    CU_LAUNCH(attn_delta, cu_blocks(a.n_tokens * a.n_heads, 8), 256, 0, s, a,
              g.dout, delta);
  ATTN_BY_WIDTH(a.d, attn_bwd_any_launch<B>(s, a, g));
}
