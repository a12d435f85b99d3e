/* plan_norm.c: scratch of the CUDA bodies of norms and of element-wise ops. */
#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"

/* Two lists of ids and tokens, and two sums for each piece of the tokens. */
size_t
gpu_embedding_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  int64_t n = r->out[0]->dim[0];
  int64_t pieces = (n + CU_EMBED_PIECE - 1) / CU_EMBED_PIECE;

  (void)c;
  return backward ? hy_bytes(HY_F32,
                             cu_embed_lists(n) + 2 * pieces * hy_cols(r->in[0]))
                  : 0;
}

/* Partial sums of a weight's gradient, where a part is the work of `blocks`. */
static size_t
parts(const hy_rec *r, int64_t blocks, int backward)
{
  const hy_tensor *x = r->in[0];

  return backward
             ? hy_bytes(HY_F32, cu_sum_parts(x->dim[0], blocks) * hy_cols(x))
             : 0;
}

size_t
gpu_rmsnorm_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return parts(r, 1, backward);
}

size_t
gpu_gated_rmsnorm_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return parts(r, r->attr.n_groups, backward);
}

size_t
gpu_scaled_norm_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return parts(r, 1, backward);
}

size_t
gpu_softplus_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return parts(r, 1, backward);
}

/* The others want none. */
static size_t
none(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_gate_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  return none(c, r, backward);
}

size_t
gpu_sum_squares_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  return none(c, r, backward);
}

size_t
gpu_silu_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  return none(c, r, backward);
}

size_t
gpu_relu2_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  return none(c, r, backward);
}

size_t
gpu_add_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  return none(c, r, backward);
}

size_t
gpu_concat_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  return none(c, r, backward);
}
