/* plan_norm.c: scratch of the CUDA bodies of these ops. */
#include "gpu/gpu_plan.h"

size_t
gpu_embedding_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_rmsnorm_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_gated_rmsnorm_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_gate_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_sum_squares_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_scaled_norm_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_silu_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_relu2_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_softplus_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_add_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_concat_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}
