/* plan_attention.c: scratch of the CUDA bodies of these ops. */
#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"

/* Backward: delta of each query and head. */
static size_t
scratch(const hy_rec *r, int backward)
{
  if (!backward)
    return 0;
  return sizeof(float) * (size_t)(r->in[0]->dim[0] * r->attr.n_heads);
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
