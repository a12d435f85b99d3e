/* plan_attention.c: scratch of the CUDA bodies of these ops. */
#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"

static size_t
scratch(const hy_rec *r, int backward)
{
  int64_t heads = r->attr.n_heads, kv = r->attr.n_kv_heads;

  if (!backward)
    return 0;
  return sizeof(float) *
         (size_t)cu_attn_scratch(r->in[0]->dim[0], r->in[1]->dim[0], (int)heads,
                                 (int)kv, (int)(hy_cols(r->in[1]) / kv));
}

size_t
gpu_attention_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return scratch(r, backward);
}

size_t
gpu_attention_block_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return scratch(r, backward);
}
