/* region_vocab.c: the vocabulary cut over the tp ranks. */
#include "op/region.h"

static void
share_stat_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_comm *comm = r->attr.comm;
  const hy_tensor *own = r->in[0];
  int64_t rows = own->dim[0], n = rows * HY_CE_STAT;
  float *part = r->scratch;

  if (!c->be->dry)
    c->be->mem->copy(part + comm->rank * n, own->data, hy_bytes(HY_F32, n));
  hy_all_gather(comm, part, r->attr.at, sizeof *part);
  if (!c->be->dry)
    c->be->kit->merge_stat(hy_f32(r->out[0]), part, rows, comm->size);
}

/* Blocks of columns, one behind the other, to rows. */
static void
gather_cols_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const hy_comm *comm = r->attr.comm;
  const int64_t *at = r->attr.at;
  int64_t n = x->dim[0];
  size_t unit = hy_bytes(x->fmt, 1), own = hy_bytes(x->fmt, hy_cols(x));

  if (!c->be->dry)
    c->be->mem->copy_rows(hy_at(r->scratch, x->fmt, at[comm->rank]), own,
                          x->data, hy_bytes(x->fmt, x->ld), own, n);
  hy_all_gather(comm, r->scratch, at, unit);
  for (int i = 0; i < comm->size && n && !c->be->dry; i++) {
    size_t row = (size_t)((at[i + 1] - at[i]) / n) * unit;

    c->be->mem->copy_rows(hy_at(y->data, y->fmt, at[i] / n),
                          hy_bytes(y->fmt, y->ld),
                          hy_at(r->scratch, x->fmt, at[i]), row, row, n);
  }
}

static const hy_op op_share_stat = {"share_stat", share_stat_fwd, NULL, NULL,
                                    1};
static const hy_op op_gather_cols = {"gather_cols", gather_cols_fwd, NULL, NULL,
                                     1};

/* Rank r gives `rows` times the columns n r / size .. n (r + 1) / size - 1. */
static hy_rec *
gather_rec(hy_ctx *c, const hy_op *op, hy_tensor *x, int64_t rows, int64_t n)
{
  hy_rec *r = hy_rec_new(c, op, 1, &x);
  int size = c->grid->tp.size;
  int64_t *at = hy_arena_get(&c->host, (size_t)(size + 1) * sizeof *at);

  for (int i = 0; i <= size; i++)
    at[i] = n * i / size * rows;
  r->attr.comm = &c->grid->tp;
  r->attr.at = at;
  r->attr.room[0] = hy_bytes(x->fmt, at[size]);
  return r;
}

hy_tensor *
hy_share_stat(hy_ctx *c, hy_tensor *logits, const int32_t *target,
              const float *weight, int64_t first)
{
  int size = c->grid->tp.size;
  hy_tensor *x;
  hy_rec *r;

  if (size == 1)
    return NULL;
  x = hy_ce_stat(c, logits, target, weight, first);
  r = gather_rec(c, &op_share_stat, x, x->dim[0] * HY_CE_STAT, size);
  hy_rec_out_fmt(c, r, HY_F32, x->dim[0], HY_CE_STAT);
  return hy_exec(c, r);
}

hy_tensor *
hy_gather_cols(hy_ctx *c, hy_tensor *x, int64_t n)
{
  hy_rec *r;

  if (c->grid->tp.size == 1)
    return x;
  r = gather_rec(c, &op_gather_cols, x, x->dim[0], n);
  hy_rec_out_fmt(c, r, x->fmt, x->dim[0], n);
  return hy_exec(c, r);
}
