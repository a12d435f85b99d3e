/* gpu_pointwise.c: bodies of embedding, gate, silu, relu2, softplus, add and
 * concat on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
#include "cuda/add.h"
#include "cuda/concat.h"
#include "cuda/embedding.h"
#include "cuda/gate.h"
#include "cuda/kit.h"
#include "cuda/relu2.h"
#include "cuda/silu.h"
#include "cuda/softplus.h"

#define HY_OP(n)                                                               \
  void gpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void gpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

static int64_t
rows(const hy_rec *r)
{
  return r->in[0]->dim[0];
}

void
gpu_silu_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_silu_fwd(gpu_stream(), gpu_mat(r->out[0]), gpu_mat(r->in[0]), rows(r),
              hy_cols(r->in[0]));
}

void
gpu_silu_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  (void)c;
  if (x->grad)
    cu_silu_bwd(gpu_stream(), gpu_grad(x), r->beta[0], gpu_mat(x),
                gpu_grad(r->out[0]), rows(r), hy_cols(x));
}

void
gpu_relu2_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_relu2_fwd(gpu_stream(), gpu_mat(r->out[0]), gpu_mat(r->in[0]), rows(r),
               hy_cols(r->in[0]));
}

void
gpu_relu2_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  (void)c;
  if (x->grad)
    cu_relu2_bwd(gpu_stream(), gpu_grad(x), r->beta[0], gpu_mat(x),
                 gpu_grad(r->out[0]), rows(r), hy_cols(x));
}

void
gpu_gate_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_gate_fwd(gpu_stream(), gpu_mat(r->out[0]), gpu_mat(r->in[0]),
              gpu_mat(r->in[1]), rows(r), hy_cols(r->in[0]));
}

void
gpu_gate_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->in[0], *z = r->in[1];

  (void)c;
  if (y->grad || z->grad)
    cu_gate_bwd(gpu_stream(), gpu_grad(y), r->beta[0], gpu_grad(z), r->beta[1],
                gpu_mat(y), gpu_mat(z), gpu_grad(r->out[0]), rows(r),
                hy_cols(y));
}

void
gpu_add_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_add_fwd(gpu_stream(), gpu_mat(r->out[0]), gpu_mat(r->in[0]),
             gpu_mat(r->in[1]), rows(r), hy_cols(r->in[0]));
}

void
gpu_add_bwd(hy_ctx *c, hy_rec *r)
{
  cu_mat a = gpu_grad(r->in[0]), b = gpu_grad(r->in[1]);
  cu_mat dy = gpu_grad(r->out[0]), none = {0};
  int64_t n = hy_cols(r->in[0]);

  (void)c;
  if (a.p && a.p == b.p) { /* x + x: one after the other */
    cu_add_bwd(gpu_stream(), a, r->beta[0], none, 0, dy, rows(r), n);
    a = none;
  }
  if (a.p || b.p)
    cu_add_bwd(gpu_stream(), a, r->beta[0], b, r->beta[1], dy, rows(r), n);
}

void
gpu_concat_fwd(hy_ctx *c, hy_rec *r)
{
  int64_t at = 0;

  (void)c;
  for (int i = 0; i < r->n_in; i++) {
    cu_concat_fwd(gpu_stream(), gpu_mat(r->out[0]), at, gpu_mat(r->in[i]),
                  rows(r), hy_cols(r->in[i]));
    at += hy_cols(r->in[i]);
  }
}

void
gpu_concat_bwd(hy_ctx *c, hy_rec *r)
{
  int64_t at = 0;

  (void)c;
  for (int i = 0; i < r->n_in; i++) {
    if (r->in[i]->grad)
      cu_concat_bwd(gpu_stream(), gpu_grad(r->in[i]), r->beta[i],
                    gpu_grad(r->out[0]), at, rows(r), hy_cols(r->in[i]));
    at += hy_cols(r->in[i]);
  }
}

void
gpu_softplus_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_softplus_fwd(gpu_stream(), gpu_mat(r->out[0]), gpu_mat(r->in[0]),
                  hy_f32(r->in[1]), rows(r), hy_cols(r->in[0]));
}

void
gpu_softplus_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *b = r->in[1];
  int n_part = cu_sum_parts(rows(r), 1);

  (void)c;
  if (x->grad || b->grad)
    cu_softplus_bwd(gpu_stream(), gpu_grad(x), r->beta[0],
                    b->grad ? r->scratch : NULL, n_part, gpu_mat(x), hy_f32(b),
                    gpu_grad(r->out[0]), rows(r), hy_cols(x));
  if (b->grad)
    cu_add_parts(gpu_stream(), b->grad, r->scratch, hy_cols(x), n_part,
                 r->beta[1]);
}

static cu_table
table(const hy_rec *r, cu_mat w)
{
  return (cu_table){w, r->attr.first_id, r->in[0]->dim[0], hy_cols(r->in[0])};
}

void
gpu_embedding_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_embedding_fwd(gpu_stream(), gpu_mat(r->out[0]),
                   table(r, gpu_mat(r->in[0])), r->attr.id, r->out[0]->dim[0]);
}

void
gpu_embedding_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *w = r->in[0];
  int64_t n = r->out[0]->dim[0];
  int32_t *list = r->scratch;

  (void)c;
  if (w->grad)
    cu_embedding_bwd(gpu_stream(), table(r, gpu_grad(w)), r->beta[0],
                     gpu_grad(r->out[0]), r->attr.id, n,
                     (cu_embed_room){list, list + 2 * n,
                                     (float *)(list + cu_embed_lists(n))});
}
