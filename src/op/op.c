/* op.c: makes the records; the one place that decides formats, what is saved
 * and how much scratch a body gets. */
#include "op/op.h"
#include "base/err.h"
#include "op/region.h"

#define IN(...)                                                                \
  (int)(sizeof((hy_tensor *[]){__VA_ARGS__}) / sizeof(hy_tensor *)),           \
      (hy_tensor *[])                                                          \
  {                                                                            \
    __VA_ARGS__                                                                \
  }
#define REC(c, name, ...)                                                      \
  hy_rec_new(c, &(c)->be->op[HY_OP_##name], IN(__VA_ARGS__))

hy_tensor *
hy_linear(hy_ctx *c, hy_tensor *x, hy_tensor *w)
{
  hy_rec *r = REC(c, linear, x, w);

  hy_rec_out_fmt(c, r, w->fmt, x->dim[0], w->dim[0]);
  return hy_exec(c, r);
}

hy_tensor *
hy_grouped_linear(hy_ctx *c, hy_tensor *x, hy_tensor *w, const int32_t *offset)
{
  hy_rec *r = REC(c, grouped_linear, x, w);

  r->attr.offset = offset;
  hy_rec_out(c, r, x->dim[0], w->dim[1]);
  return hy_exec(c, r);
}

hy_tensor *
hy_embedding(hy_ctx *c, const int32_t *id, int64_t n, hy_tensor *w,
             int64_t first)
{
  hy_rec *r = REC(c, embedding, w);

  r->attr.id = id;
  r->attr.first_id = first;
  hy_rec_out(c, r, n, w->dim[1]);
  return hy_exec(c, r);
}

hy_tensor *
hy_rmsnorm(hy_ctx *c, hy_tensor *x, hy_tensor *w, float eps)
{
  hy_rec *r = REC(c, rmsnorm, x, w);

  r->attr.eps = eps;
  hy_rec_out(c, r, x->dim[0], hy_cols(x));
  hy_rec_save(c, r, HY_F32, x->dim[0], 1); /* 1/rms */
  return hy_exec(c, r);
}

hy_tensor *
hy_gated_rmsnorm(hy_ctx *c, hy_tensor *y, hy_tensor *z, hy_tensor *w,
                 int64_t n_groups, float eps)
{
  hy_rec *r = REC(c, gated_rmsnorm, y, z, w);

  r->attr.eps = eps;
  r->attr.n_groups = n_groups;
  hy_rec_out(c, r, y->dim[0], hy_cols(y));
  hy_rec_save(c, r, HY_F32, y->dim[0], n_groups); /* 1/rms */
  return hy_exec(c, r);
}

const double *
hy_denominator(const hy_ctx *c, int which)
{
  const hy_batch *b = c->batch;

  if (c->columns)
    return c->columns->denominator + which;
  if (which >= HY_N_AHEAD)
    return &b->n_ahead_target[which - HY_N_AHEAD];
  return which == HY_N_TARGET ? &b->n_target : &b->n_docs;
}

/* The last input is what comes before the tokens: with segments a cache, which
 * has no gradient and changes. */
static void
set_before(hy_ctx *c, hy_rec *r, hy_tensor *before)
{
  if (c->seg || !before)
    r->n_in--;
  r->attr.seg = c->seg;
  r->attr.state[0] = before;
  r->attr.seq_start = hy_columns(c)->seq_start;
  r->attr.n_span = c->batch->n_span;
  r->attr.span = hy_columns(c)->span;
}

hy_tensor *
hy_conv1d(hy_ctx *c, hy_tensor *x, hy_tensor *w, hy_tensor *b, hy_tensor *taps)
{
  hy_rec *r = REC(c, conv1d, x, w, b, taps);

  set_before(c, r, taps);
  hy_rec_out(c, r, x->dim[0], hy_cols(x));
  return hy_exec(c, r);
}

static hy_tensor *
elementwise(hy_ctx *c, hy_rec *r)
{
  hy_rec_out(c, r, r->in[0]->dim[0], hy_cols(r->in[0]));
  return hy_exec(c, r);
}

hy_tensor *
hy_silu(hy_ctx *c, hy_tensor *x)
{
  return elementwise(c, REC(c, silu, x));
}

hy_tensor *
hy_relu2(hy_ctx *c, hy_tensor *x)
{
  return elementwise(c, REC(c, relu2, x));
}

hy_tensor *
hy_softplus(hy_ctx *c, hy_tensor *x, hy_tensor *b)
{
  hy_rec *r = REC(c, softplus, x, b);

  hy_rec_out_fmt(c, r, HY_F32, x->dim[0], hy_cols(x));
  return hy_exec(c, r);
}

hy_tensor *
hy_add(hy_ctx *c, hy_tensor *x, hy_tensor *y)
{
  return elementwise(c, REC(c, add, x, y));
}

hy_tensor *
hy_gate(hy_ctx *c, hy_tensor *y, hy_tensor *z)
{
  return elementwise(c, REC(c, gate, y, z));
}

hy_tensor *
hy_sum_squares(hy_ctx *c, hy_tensor *x)
{
  hy_rec *r = REC(c, sum_squares, x);

  hy_rec_out_fmt(c, r, HY_F32, x->dim[0], 1);
  return hy_exec(c, r);
}

hy_tensor *
hy_scaled_norm(hy_ctx *c, hy_tensor *x, hy_tensor *s, hy_tensor *w, int64_t n,
               float eps)
{
  hy_rec *r = REC(c, scaled_norm, x, s, w);

  r->attr.width = n;
  r->attr.eps = eps;
  return elementwise(c, r);
}

hy_tensor *
hy_concat(hy_ctx *c, hy_tensor *x, hy_tensor *y)
{
  hy_rec *r = REC(c, concat, x, y);

  hy_rec_out(c, r, x->dim[0], hy_cols(x) + hy_cols(y));
  return hy_exec(c, r);
}

hy_tensor *
hy_ssd(hy_ctx *c, hy_tensor *x, hy_tensor *dt, hy_tensor *b, hy_tensor *cc,
       hy_tensor *a_log, hy_tensor *d, int64_t n_groups, hy_tensor *s0)
{
  hy_rec *r = REC(c, ssd, x, dt, b, cc, a_log, d, s0);
  int64_t n = x->dim[0], n_heads = a_log->dim[0], p = hy_cols(x) / n_heads;
  int64_t n_state = hy_cols(b) / n_groups;

  r->attr.n_heads = n_heads;
  r->attr.n_groups = n_groups;
  set_before(c, r, s0);
  hy_rec_out(c, r, n, n_heads * p);
  if (!c->seg) /* the state that enters each chunk */
    hy_rec_save(c, r, HY_F32, (n + c->be->ssd_chunk - 1) / c->be->ssd_chunk,
                n_heads * p * n_state);
  return hy_exec(c, r);
}

hy_tensor *
hy_ssd_state(hy_ctx *c, hy_tensor *x, hy_tensor *dt, hy_tensor *b,
             hy_tensor *a_log, int64_t n_groups)
{
  hy_rec *r = REC(c, ssd_state, x, dt, b, a_log);
  int64_t n_heads = a_log->dim[0], d_state = hy_cols(b) / n_groups;

  r->attr.n_heads = n_heads;
  r->attr.n_groups = n_groups;
  r->attr.seq_start = hy_columns(c)->seq_start;
  r->attr.n_span = c->batch->n_span;
  r->attr.span = hy_columns(c)->span;
  hy_rec_out_fmt(c, r, HY_F32, c->batch->n_span,
                 hy_cols(x) * d_state + n_heads);
  return hy_exec(c, r);
}

hy_tensor *
hy_attention(hy_ctx *c, hy_tensor *q, hy_tensor *k, hy_tensor *v,
             int64_t n_heads, int64_t n_kv_heads, hy_tensor *kc, hy_tensor *vc,
             hy_tensor **lse)
{
  hy_rec *r = REC(c, attention, q, k, v);
  int64_t n = q->dim[0];

  r->attr.n_heads = n_heads;
  r->attr.n_kv_heads = n_kv_heads;
  r->attr.seq_len = c->batch->seq_len;
  r->attr.seq_start = hy_columns(c)->seq_start;
  r->attr.seg = c->seg;
  r->attr.state[0] = kc;
  r->attr.state[1] = vc;
  hy_rec_out(c, r, n, hy_cols(q));
  *lse = hy_rec_save(c, r, HY_F32, n, n_heads);
  return hy_exec(c, r);
}

/* The padding column of the batch, from the first of these rows on. */
static const uint8_t *
padding(const hy_ctx *c, int64_t rows)
{
  const uint8_t *pad = hy_columns(c)->pad;

  return pad ? pad + hy_token_at(c, rows) : NULL;
}

hy_route
hy_router(hy_ctx *c, hy_tensor *logits, hy_tensor *bias, int64_t top_k,
          int64_t n_group, int64_t topk_group, int norm, float scaling)
{
  hy_rec *r = REC(c, router, logits, bias);
  int64_t n = logits->dim[0], n_experts = hy_cols(logits);

  r->attr.top_k = top_k;
  r->attr.n_group = n_group;
  r->attr.topk_group = topk_group;
  r->attr.norm_topk = norm;
  r->attr.scale = scaling;
  r->attr.pad = padding(c, n);
  r->attr.idx = hy_again_choice(c, n, top_k);
  hy_rec_out_fmt(c, r, HY_F32, n, top_k);
  hy_rec_save(c, r, HY_I32, n, top_k);     /* chosen experts */
  hy_rec_save(c, r, HY_I32, 1, n_experts); /* tokens of each */
  hy_rec_save(c, r, HY_F32, 1, 1);         /* margin */
  hy_exec(c, r);
  return (hy_route){.weight = r->out[0],
                    .idx = hy_i32(r->save[0]),
                    .count = hy_i32(r->save[1]),
                    .margin = hy_f32(r->save[2])};
}

hy_dispatched
hy_permute(hy_ctx *c, hy_tensor *x, const hy_route *route, int64_t n_experts)
{
  hy_rec *r = REC(c, permute, x);
  int64_t n_choice = route->weight->dim[0] * hy_cols(route->weight);

  r->attr.top_k = hy_cols(route->weight);
  r->attr.idx = route->idx;
  r->attr.list = route->list;
  hy_rec_out(c, r, n_choice, hy_cols(x));
  hy_rec_save(c, r, HY_I32, 1, n_choice);      /* row of each choice */
  hy_rec_save(c, r, HY_I32, 1, n_experts + 1); /* first row of each expert */
  r->attr.pos = hy_i32(r->save[0]);
  r->attr.offset = hy_i32(r->save[1]);
  hy_exec(c, r);
  return (hy_dispatched){.x = r->out[0],
                         .offset = r->attr.offset,
                         .pos = r->attr.pos,
                         .list = route->list,
                         .n_row = x->dim[0],
                         .n_token = x->dim[0],
                         .weight = route->weight};
}

hy_tensor *
hy_unpermute(hy_ctx *c, hy_tensor *rows, const hy_dispatched *d,
             hy_tensor *weight)
{
  hy_rec *r = REC(c, combine, rows, weight);

  r->attr.top_k = hy_cols(weight);
  r->attr.pos = d->pos;
  r->attr.list = d->list;
  hy_rec_out(c, r, d->n_row, hy_cols(rows));
  return hy_exec(c, r);
}

hy_tensor *
hy_seq_count(hy_ctx *c, hy_tensor *logits, int64_t top_k, const int32_t *doc,
             int64_t n_docs)
{
  hy_rec *r = REC(c, seq_count, logits);

  r->attr.top_k = top_k;
  r->attr.doc = doc;
  r->attr.pad = padding(c, logits->dim[0]);
  hy_rec_out_fmt(c, r, HY_F32, n_docs, hy_cols(logits) + 1)->want = 0;
  return hy_exec(c, r);
}

void
hy_seq_aux(hy_ctx *c, hy_tensor *logits, int64_t top_k, float coef,
           double *value)
{
  int64_t n = logits->dim[0], n_experts = hy_cols(logits);
  hy_cut_docs cut = hy_sum_docs(c, logits, top_k);
  hy_rec *r = REC(c, seq_aux, logits, cut.count);

  r->n_in = cut.count ? 2 : 1;
  r->attr.top_k = top_k;
  r->attr.scale = coef;
  r->attr.token0 = hy_token_at(c, n);
  r->attr.seq_start = hy_columns(c)->seq_start + r->attr.token0;
  r->attr.pad = padding(c, n);
  r->attr.doc = cut.doc;
  r->attr.over = hy_denominator(c, HY_N_DOCS);
  r->attr.value = value;
  /* factor of P by document (in the row of its first token) and expert */
  hy_rec_save(c, r, HY_F32, n, n_experts);
  hy_exec(c, r);
}

hy_tensor *
hy_ce_stat(hy_ctx *c, hy_tensor *logits, const int32_t *target,
           const float *weight, int64_t first)
{
  hy_rec *r = REC(c, ce_stat, logits);

  r->attr.id = target;
  r->attr.weight = weight;
  r->attr.first_id = first;
  hy_rec_out_fmt(c, r, HY_F32, logits->dim[0], HY_CE_STAT)->want = 0;
  return hy_exec(c, r);
}

void
hy_ce(hy_ctx *c, hy_tensor *logits, hy_tensor *stat, const int32_t *target,
      const float *weight, int64_t first, double factor, const double *over,
      double *value)
{
  hy_rec *r = stat ? REC(c, ce, logits, stat) : REC(c, ce, logits);

  if (logits->base) /* its gradient would overwrite other columns' values */
    hy_die(HY_EBUG, "ce: logits must not be a view of columns");
  r->attr.id = target;
  r->attr.weight = weight;
  r->attr.first_id = first;
  r->attr.factor = factor;
  r->attr.over = over;
  r->attr.value = value;
  hy_rec_save(c, r, HY_F32, logits->dim[0], 1); /* log-sum-exp */
  if (c->taping) /* the gradient takes the place of the logits */
    logits->grad = logits->data;
  hy_exec(c, r);
}
