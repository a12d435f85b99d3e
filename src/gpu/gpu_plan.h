/* gpu_plan.h: the CUDA backend without CUDA: shapes and scratch for dry runs,
 * on machines that have neither. */
#ifndef HYMN_GPU_GPU_PLAN_H
#define HYMN_GPU_GPU_PLAN_H

#include "op/op.h"

extern const hy_backend hy_backend_plan_cuda_fp32, hy_backend_plan_cuda_bf16;

/** Bytes that the body of r wants, forward (0) or backward (1). */
size_t gpu_scratch(const hy_ctx *c, const hy_rec *r, int backward);

/* The same of each op; a missing one does not link. */
#define HY_OP(n)                                                               \
  size_t gpu_##n##_scratch(const hy_ctx *c, const hy_rec *r, int backward);
#include "op/ops.def"
#undef HY_OP

#endif
