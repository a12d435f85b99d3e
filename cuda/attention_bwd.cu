/* attention_bwd.cu: attention backward.
 *
 * With delta = dout . out of a row, tile by tile:
 *   p = exp(s - lse),  dp = dout v',  ds = p (dp - delta)
 *   dq += ds k / sqrt(d),  dk += ds' q / sqrt(d),  dv += p' dout.
 * dq is summed by blocks of queries, dk and dv by blocks of keys, which meet
 * query heads of their key head one after another: each sum has one order.
 * Source: Dao et al. 2022, arXiv:2205.14135, algorithm 4. */
#include "attention_bwd.cuh"
#include "attention_bwd_mma.cuh"

/* Half a warp for each query and head. */
__global__ void
attn_delta(cu_attn a, cu_attn_grad g, int packed)
{
  int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 16;
  int64_t t = i / a.n_heads, h = i % a.n_heads;
  int64_t at = t * a.out.ld + h * a.d, dat = t * g.dout.ld + h * a.d;
  int l = threadIdx.x % 16, live = t < a.n_tokens;
  float sum = 0.0f;

  if (packed)
    for (int j = 8 * l; live && j < a.d; j += 128) {
      uint4 x = *(const uint4 *)((const bf16 *)a.out.p + at + j);
      uint4 y = *(const uint4 *)((const bf16 *)g.dout.p + dat + j);
      bf16 p[8], q[8];

      memcpy(p, &x, sizeof p);
      memcpy(q, &y, sizeof q);
#pragma unroll
      for (int k = 0; k < 8; k++)
        sum = fmaf(cu_get(p[k]), cu_get(q[k]), sum);
    }
  else
    for (int j = l; live && j < a.d; j += 16)
      sum = fmaf(attn_get(a.out.p, a.out.bf16, at + j),
                 attn_get(g.dout.p, g.dout.bf16, dat + j), sum);
  for (int k = 8; k > 0; k /= 2)
    sum += __shfl_xor_sync(~0u, sum, k);
  if (live && l == 0)
    attn_stat(a, g, h)[t] = make_float2(
        ATTN_LOG2E * ((const float *)a.lse.p)[t * a.lse.ld + h], sum);
}

CU_API void
cu_attention_bwd(cudaStream_t s, cu_attn a, cu_attn_grad g)
{
  int mma = attn_bwd_mma_fits(a, g);

  if (a.n_tokens > 0)
    CU_LAUNCH(attn_delta, cu_blocks(a.n_tokens * a.n_heads, 16), 256, 0, s, a,
              g, mma);
  if (mma)
    ATTN_MMA_WIDTH(a.d, attn_bwd_mma_launch<D>(s, a, g));
  else
    ATTN_BY_WIDTH(a.d, attn_bwd_any_launch<B>(s, a, g));
}
