/* plan_ssd.c: scratch of the CUDA bodies of these ops. */
#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"

size_t
gpu_conv1d_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  if (!backward)
    return 0;
  return sizeof(float) *
         (size_t)cu_conv1d_parts(r->in[0]->dim[0], hy_cols(r->in[0]),
                                 (int)hy_cols(r->in[1]),
                                 r->n_in > 3 ? r->attr.n_span : 0);
}

size_t
gpu_ssd_state_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_ssd_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}
