/* plan_dense.c: scratch of the CUDA bodies of these ops. */
#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"

/* A weight that stays fp32 beside bf16 activations: its parts in bf16, and
 * those of the gradient that comes. */
size_t
gpu_linear_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  const hy_tensor *x = r->in[0], *w = r->in[1];

  (void)c;
  if (x->fmt != HY_BF16 || w->fmt != HY_F32)
    return 0;
  return hy_bytes(HY_BF16, CU_PARTS * w->dim[0] *
                               (hy_cols(w) + (backward ? x->dim[0] : 0)));
}

size_t
gpu_grouped_linear_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_ce_stat_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

/* The loss of each row. */
size_t
gpu_ce_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return backward ? 0 : (size_t)r->in[0]->dim[0] * sizeof(double);
}
