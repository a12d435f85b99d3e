#include "gpu/gpu_plan.h"
#include "cuda/sizes.h"
#include "op/cost.h"

size_t
gpu_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  if (r->op < c->be->op || r->op >= c->be->op + HY_N_OPS)
    return 0;
  switch (r->op - c->be->op) {
#define HY_OP(n)                                                               \
  case HY_OP_##n:                                                              \
    return gpu_##n##_scratch(c, r, backward);
#include "op/ops.def"
#undef HY_OP
  default:
    return 0;
  }
}

static const hy_op plan_op[] = {
#define HY_OP(n) {#n, NULL, NULL, hy_##n##_cost, 0},
#include "op/ops.def"
#undef HY_OP
};

static void
nothing(void)
{
}

#define PLAN(name_, act_)                                                      \
  {                                                                            \
    .name = name_, .act = act_, .ssd_chunk = CU_SSD_CHUNK, .op = plan_op,      \
    .dry = 1, .scratch = gpu_scratch, .init = nothing                          \
  }

const hy_backend hy_backend_plan_cuda_fp32 = PLAN("cuda", HY_F32);
const hy_backend hy_backend_plan_cuda_bf16 = PLAN("cuda", HY_BF16);
