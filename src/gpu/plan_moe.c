/* plan_moe.c: scratch of the CUDA bodies of routing and its copies. */
#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"

size_t
gpu_permute_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return backward ? 0
                  : cu_sort_bytes(r->out[0]->dim[0], hy_cols(r->save[1]) - 1);
}

size_t
gpu_seq_aux_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  (void)c;
  return backward ? 0 : cu_seq_aux_bytes(r->in[0]->dim[0], hy_cols(r->in[0]));
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
