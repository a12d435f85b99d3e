/* gpu_moe.c: bodies of router, permute, combine, seq_count and seq_aux on the
 * GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
#include "cuda/combine.h"
#include "cuda/router.h"
#include "cuda/seq_aux.h"
#include "cuda/seq_count.h"

static cu_router
router(const hy_rec *r)
{
  const hy_attr *a = &r->attr;

  return (cu_router){.n_tokens = r->in[0]->dim[0],
                     .n = (int)hy_cols(r->in[0]),
                     .top_k = (int)a->top_k,
                     .n_group = (int)a->n_group,
                     .topk_group = (int)a->topk_group,
                     .norm = a->norm_topk,
                     .scale = a->scale};
}

void
gpu_router_fwd(hy_ctx *c, hy_rec *r)
{
  cu_router a = router(r);

  (void)c;
  cu_router_fwd(gpu_stream(), &a, gpu_mat(r->out[0]), hy_i32(r->save[0]),
                hy_i32(r->save[1]), hy_f32(r->save[2]), gpu_mat(r->in[0]),
                hy_f32(r->in[1]), r->attr.idx, r->attr.pad);
}

void
gpu_router_bwd(hy_ctx *c, hy_rec *r)
{
  cu_router a = router(r);

  (void)c;
  if (r->in[0]->grad)
    cu_router_bwd(gpu_stream(), &a, gpu_grad(r->in[0]), r->beta[0],
                  gpu_grad(r->out[0]), gpu_mat(r->in[0]), hy_i32(r->save[0]));
}

/* The choices of rows, of which there are so many in all. */
static cu_choices
choices(const hy_rec *r, int64_t n_row, int64_t n_choice)
{
  return (cu_choices){.list = r->attr.list,
                      .n_row = n_row,
                      .top_k = r->attr.top_k,
                      .n_choice = n_choice};
}

void
gpu_permute_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  cu_choices at = choices(r, x->dim[0], y->dim[0]);
  int32_t *pos = hy_i32(r->save[0]), *offset = hy_i32(r->save[1]);

  (void)c;
  cu_permute_sort(gpu_stream(), pos, offset, r->attr.idx, at.n_choice,
                  (int)hy_cols(r->save[1]) - 1, r->scratch);
  cu_permute_fwd(gpu_stream(), gpu_mat(y), gpu_mat(x), pos, at, hy_cols(x));
}

void
gpu_permute_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

  (void)c;
  if (x->grad)
    cu_permute_bwd(gpu_stream(), gpu_grad(x), r->beta[0], gpu_grad(y),
                   hy_i32(r->save[0]), choices(r, x->dim[0], y->dim[0]),
                   hy_cols(x));
}

void
gpu_combine_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

  (void)c;
  cu_combine_fwd(gpu_stream(), gpu_mat(y), gpu_mat(x), gpu_mat(r->in[1]),
                 r->attr.pos, choices(r, y->dim[0], x->dim[0]), hy_cols(x));
}

void
gpu_combine_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];

  (void)c;
  if (x->grad || w->grad)
    cu_combine_bwd(gpu_stream(), gpu_grad(x), r->beta[0], gpu_grad(w),
                   r->beta[1], gpu_grad(y), gpu_mat(x), gpu_mat(w), r->attr.pos,
                   choices(r, y->dim[0], x->dim[0]), hy_cols(x));
}

void
gpu_seq_count_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

  (void)c;
  cu_seq_count_fwd(gpu_stream(), hy_f32(y), y->dim[0], gpu_mat(x), x->dim[0],
                   (int)hy_cols(x), (int)r->attr.top_k, r->attr.doc,
                   r->attr.pad);
}

void
gpu_seq_count_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  (void)r;
}

static cu_seq_aux
seq_aux(const hy_rec *r)
{
  const hy_attr *a = &r->attr;
  const hy_tensor *all = r->n_in > 1 ? r->in[1] : NULL;

  return (cu_seq_aux){.n_tokens = r->in[0]->dim[0],
                      .n = (int)hy_cols(r->in[0]),
                      .top_k = (int)a->top_k,
                      .token0 = a->token0,
                      .scale = a->scale,
                      .over = a->over,
                      .seq_start = a->seq_start,
                      .pad = a->pad,
                      .doc = all ? a->doc : NULL,
                      .all = all ? hy_f32(all) : NULL,
                      .ld_all = all ? all->ld : 0};
}

void
gpu_seq_aux_fwd(hy_ctx *c, hy_rec *r)
{
  cu_seq_aux a = seq_aux(r);

  (void)c;
  cu_seq_aux_fwd(gpu_stream(), &a, r->attr.value, hy_f32(r->save[0]),
                 gpu_mat(r->in[0]), r->scratch);
}

void
gpu_seq_aux_bwd(hy_ctx *c, hy_rec *r)
{
  cu_seq_aux a = seq_aux(r);

  (void)c;
  if (r->in[0]->grad)
    cu_seq_aux_bwd(gpu_stream(), &a, gpu_grad(r->in[0]), r->beta[0],
                   hy_f32(r->save[0]), gpu_mat(r->in[0]));
}
