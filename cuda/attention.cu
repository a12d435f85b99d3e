/* attention.cu: attention inside documents, and over caches, forward. */
#include "attention_fwd.cuh"
#include "attention_fwd_mma.cuh"

CU_API void
cu_attention_fwd(cudaStream_t s, cu_attn a)
{
  if (a.n_tokens == 0)
    return;
  if (attn_mma_fits(a))
    ATTN_MMA_WIDTH(a.d, attn_fwd_mma_launch<D>(s, a));
  else
    ATTN_BY_WIDTH(a.d, attn_fwd_any_launch<B>(s, a));
}

template <class T>
__global__ void
attn_append(cu_attn a, int which, cu_mat from, T *cache)
{
  int64_t n = (int64_t)a.n_kv * a.d, t = blockIdx.x;
  int64_t at;
  int s = 0;

  while (s < a.seg.n && a.seg.start[s + 1] <= t)
    s++;
  if (s == a.seg.n)
    return;
  at = a.seg.slot[s] * a.seg.step[which] +
       (a.seg.past[s] + t - a.seg.start[s]) * n;
  for (int64_t j = threadIdx.x; j < n; j += blockDim.x)
    cu_put(&cache[at + j], attn_get(from.p, from.bf16, t * from.ld + j));
}

CU_API void
cu_attention_append(cudaStream_t s, cu_attn a, int which, cu_mat rows)
{
  cu_mat cache = which ? a.v : a.k;

  if (a.n_tokens > 0)
    CU_TYPED(cache, CU_LAUNCH((attn_append<T>), (unsigned)a.n_tokens, 128, 0, s,
                              a, which, rows, (T *)cache.p));
}
