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

static int64_t
logs_size(const hy_rec *r)
{
  return cu_ssd_logs_size(r->in[0]->dim[0], r->attr.n_heads);
}

/* Logarithms; then, backward, sums by span and head. */
size_t
gpu_ssd_state_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return sizeof(float) * (size_t)logs_size(r) +
         (backward ? sizeof(double) * (size_t)(r->attr.n_span * r->attr.n_heads)
                   : 0);
}

/* Logarithms; then, forward, the states that enter chunks if nobody keeps
 * them. */
size_t
gpu_ssd_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  int64_t T = r->in[0]->dim[0], chunk = CU_SSD_CHUNK;
  int64_t state = hy_cols(r->in[0]) * (hy_cols(r->in[2]) / r->attr.n_groups);
  size_t logs = sizeof(float) * (size_t)logs_size(r);

  if (backward)
    return logs + cu_ssd_bwd_size(T, r->attr.n_heads, r->attr.n_groups, state,
                                  (size_t)hy_bytes(r->in[0]->fmt, 1));
  return logs + (c->seg
                     ? sizeof(float) * (size_t)((T + chunk - 1) / chunk * state)
                     : 0);
}
