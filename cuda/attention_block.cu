/* attention_block.cu: queries meet more keys, all of which they see; what is
 * found is merged into the output. */
#include "attention_fwd.cuh"
#include "attention_fwd_mma.cuh"

CU_API void
cu_attention_block_fwd(cudaStream_t s, cu_attn a)
{
  if (a.n_tokens == 0 || a.n_keys == 0)
    return;
  if (attn_mma_fits(a))
    ATTN_MMA_WIDTH(a.d, attn_fwd_mma_launch<D>(s, a));
  else
    ATTN_BY_WIDTH(a.d, attn_fwd_any_launch<B>(s, a));
}
