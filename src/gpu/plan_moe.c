/* plan_moe.c: scratch of the CUDA bodies of these ops. */
#include "gpu/gpu_plan.h"

size_t
gpu_grouped_linear_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_router_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_permute_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_combine_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_seq_count_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}

size_t
gpu_seq_aux_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  (void)r;
  (void)backward;
  return 0;
}
