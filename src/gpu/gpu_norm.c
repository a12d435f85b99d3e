/* gpu_norm.c: bodies of rmsnorm, gated_rmsnorm, sum_squares and scaled_norm on
 * the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
#include "cuda/gated_rmsnorm.h"
#include "cuda/kit.h"
#include "cuda/rmsnorm.h"
#include "cuda/scaled_norm.h"
#include "cuda/sum_squares.h"

#define HY_OP(n)                                                               \
  void gpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void gpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

/* What the norms have in common; input w is the weight. */
static cu_norm
norm(const hy_rec *r, int w, int64_t n_group)
{
  const hy_tensor *x = r->in[0];

  return (cu_norm){.x = gpu_mat(x),
                   .w = hy_f32(r->in[w]),
                   .rows = x->dim[0],
                   .n = (int)(hy_cols(x) / n_group),
                   .n_group = (int)n_group,
                   .eps = r->attr.eps};
}

static cu_norm
norm_fwd(const hy_rec *r, int w, int64_t n_group)
{
  cu_norm a = norm(r, w, n_group);

  a.y = gpu_mat(r->out[0]);
  return a;
}

static cu_norm
norm_bwd(const hy_rec *r, int w, int64_t n_group)
{
  cu_norm a = norm(r, w, n_group);

  a.y = gpu_grad(r->out[0]);
  a.dx = gpu_grad(r->in[0]);
  a.beta_x = r->beta[0];
  a.part = r->in[w]->grad ? r->scratch : NULL;
  a.n_part = cu_sum_parts(a.rows, n_group);
  return a;
}

/* The weight's gradient from its parts. */
static void
add_parts(const hy_rec *r, int w, const cu_norm *a)
{
  if (r->in[w]->grad)
    cu_add_parts(gpu_stream(), r->in[w]->grad, a->part, hy_cols(r->in[0]),
                 a->n_part, r->beta[w]);
}

void
gpu_rmsnorm_fwd(hy_ctx *c, hy_rec *r)
{
  cu_norm a = norm_fwd(r, 1, 1);

  (void)c;
  a.inv = hy_f32(r->save[0]);
  cu_rmsnorm_fwd(gpu_stream(), &a);
}

void
gpu_rmsnorm_bwd(hy_ctx *c, hy_rec *r)
{
  cu_norm a = norm_bwd(r, 1, 1);

  (void)c;
  a.inv = hy_f32(r->save[0]);
  cu_rmsnorm_bwd(gpu_stream(), &a);
  add_parts(r, 1, &a);
}

void
gpu_gated_rmsnorm_fwd(hy_ctx *c, hy_rec *r)
{
  cu_norm a = norm_fwd(r, 2, r->attr.n_groups);

  (void)c;
  a.z = gpu_mat(r->in[1]);
  a.inv = hy_f32(r->save[0]);
  cu_gated_rmsnorm_fwd(gpu_stream(), &a);
}

void
gpu_gated_rmsnorm_bwd(hy_ctx *c, hy_rec *r)
{
  cu_norm a = norm_bwd(r, 2, r->attr.n_groups);

  (void)c;
  a.z = gpu_mat(r->in[1]);
  a.dz = gpu_grad(r->in[1]);
  a.beta_z = r->beta[1];
  a.inv = hy_f32(r->save[0]);
  cu_gated_rmsnorm_bwd(gpu_stream(), &a);
  add_parts(r, 2, &a);
}

void
gpu_scaled_norm_fwd(hy_ctx *c, hy_rec *r)
{
  cu_norm a = norm_fwd(r, 2, 1);

  (void)c;
  a.s = gpu_mat(r->in[1]);
  a.width = (float)r->attr.width;
  cu_scaled_norm_fwd(gpu_stream(), &a);
}

void
gpu_scaled_norm_bwd(hy_ctx *c, hy_rec *r)
{
  cu_norm a = norm_bwd(r, 2, 1);

  (void)c;
  a.s = gpu_mat(r->in[1]);
  a.ds = gpu_grad(r->in[1]);
  a.beta_s = r->beta[1];
  a.width = (float)r->attr.width;
  cu_scaled_norm_bwd(gpu_stream(), &a);
  add_parts(r, 2, &a);
}

void
gpu_sum_squares_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  (void)c;
  cu_sum_squares_fwd(gpu_stream(), gpu_mat(r->out[0]), gpu_mat(x), x->dim[0],
                     hy_cols(x));
}

void
gpu_sum_squares_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  (void)c;
  if (x->grad)
    cu_sum_squares_bwd(gpu_stream(), gpu_grad(x), r->beta[0], gpu_mat(x),
                       gpu_grad(r->out[0]), x->dim[0], hy_cols(x));
}
