/* gpu_ce.c: bodies of ce_stat and ce on the GPU. */
#include "gpu/gpu.h"
#include "cuda/ce.h"
#include "cuda/ce_stat.h"

void
gpu_ce_stat_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

  (void)c;
  cu_ce_stat_fwd(gpu_stream(), hy_f32(y), y->ld, gpu_mat(x), r->attr.id,
                 r->attr.weight, r->attr.first_id, x->dim[0], hy_cols(x));
}

/* The gradient goes to the logits in place, by ce. */
void
gpu_ce_stat_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  (void)r;
}

void
gpu_ce_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *stat = r->n_in > 1 ? r->in[1] : NULL;
  float *lse = hy_f32(r->save[0]);
  double *loss = r->scratch;

  (void)c;
  if (stat != NULL)
    cu_ce_fwd_stat(gpu_stream(), lse, loss, r->attr.value, hy_f32(stat),
                   stat->ld, r->attr.weight, x->dim[0]);
  else
    cu_ce_fwd(gpu_stream(), lse, loss, r->attr.value, gpu_mat(x), r->attr.id,
              r->attr.weight, r->attr.first_id, x->dim[0], hy_cols(x));
}

void
gpu_ce_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  (void)c;
  if (x->grad)
    cu_ce_bwd(gpu_stream(), gpu_grad(x), hy_f32(r->save[0]), r->attr.id,
              r->attr.weight, r->attr.first_id, r->attr.factor, r->attr.over,
              x->dim[0], hy_cols(x));
}
