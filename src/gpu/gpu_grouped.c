/* gpu_grouped.c: bodies of grouped_linear on the GPU. */
#include "gpu/gpu.h"
#include "cuda/grouped_linear.h"

static cu_experts
experts(const hy_rec *r)
{
  const hy_tensor *w = r->in[1];

  return (cu_experts){.offset = r->attr.offset,
                      .n = (int)w->dim[0],
                      .rows = r->in[0]->dim[0],
                      .n_out = w->dim[1],
                      .n_in = w->dim[2]};
}

void
gpu_grouped_linear_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_grouped_linear_fwd(gpu_stream(), experts(r), gpu_mat(r->out[0]),
                        gpu_mat(r->in[0]), r->in[1]->data);
}

void
gpu_grouped_linear_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1];
  cu_mat dy = gpu_grad(r->out[0]);

  (void)c;
  if (x->grad)
    cu_grouped_linear_dx(gpu_stream(), experts(r), gpu_grad(x), dy, w->data,
                         r->beta[0]);
  if (w->grad)
    cu_grouped_linear_dw(gpu_stream(), experts(r), w->grad, dy, gpu_mat(x),
                         r->beta[1]);
}
