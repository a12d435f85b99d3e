/* gpu_ops.c: the table of ops, and the two backends. */
#include "gpu/gpu.h"
#include "gpu/gpu_plan.h"
#include "gpu/gpu_rate.h"
#include "op/cost.h"

/* Each body is followed by a look at what its launches said; a missing one does
 * not link. */
#define HY_OP(n)                                                               \
  void gpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void gpu_##n##_bwd(hy_ctx *, hy_rec *);                                      \
  static void fwd_##n(hy_ctx *c, hy_rec *r)                                    \
  {                                                                            \
    gpu_##n##_fwd(c, r);                                                       \
    gpu_check(cudaGetLastError(), #n);                                         \
  }                                                                            \
  static void bwd_##n(hy_ctx *c, hy_rec *r)                                    \
  {                                                                            \
    gpu_##n##_bwd(c, r);                                                       \
    gpu_check(cudaGetLastError(), "backward of " #n);                          \
  }
#include "op/ops.def"
#undef HY_OP

static const hy_op gpu_op[] = {
#define HY_OP(n) {#n, fwd_##n, bwd_##n, hy_##n##_cost, 0},
#include "op/ops.def"
#undef HY_OP
};

static void
nothing(void)
{
}

#define BACKEND(act_, plan_, rate_, name_)                                     \
  {                                                                            \
    .name = "cuda", .act = act_, .ssd_chunk = CU_SSD_CHUNK, .op = gpu_op,      \
    .plan = &plan_, .scratch = gpu_scratch, .init = nothing, .mem = &gpu_mem,  \
    .kit = &gpu_kit, .record = &gpu_record, .timed = gpu_timed,                \
    .product_rate = rate_, .copy_rate = gpu_copy_rate, .product_name = name_   \
  }

const hy_backend gpu_backend_fp32 = BACKEND(
    HY_F32, hy_backend_plan_cuda_fp32, gpu_product_rate_fp32, "fp32 product");
const hy_backend gpu_backend_bf16 = BACKEND(
    HY_BF16, hy_backend_plan_cuda_bf16, gpu_product_rate_bf16, "bf16 product");
