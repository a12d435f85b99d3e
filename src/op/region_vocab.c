/* region_vocab.c: the vocabulary cut over the tp ranks. */
#include "op/region.h"

#include <math.h>
#include <string.h>

/* Row t of each rank (n floats apart) to the row of the whole vocabulary, in
 * rank order. */
static void
merge_row(float *out, const float *part, int64_t n, int n_part)
{
  float top = -INFINITY, target = 0;
  double sum = 0;

  for (int p = 0; p < n_part; p++) {
    top = part[p * n] > top ? part[p * n] : top;
    target += part[p * n + 3];
  }
  for (int p = 0; p < n_part; p++) {
    const float *s = part + p * n;

    sum += ((double)s[1] + s[2]) * exp((double)s[0] - top);
  }
  out[0] = top;
  out[1] = (float)sum;
  out[2] = (float)(sum - out[1]);
  out[3] = target;
}

static void
share_stat_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_comm *comm = r->attr.comm;
  int64_t n = r->in[0]->dim[0] * HY_CE_STAT;
  float *part = r->scratch;

  if (!c->be->dry && n)
    memcpy(part + comm->rank * n, hy_f32(r->in[0]), (size_t)n * sizeof *part);
  hy_all_gather(comm, part, r->attr.at, sizeof *part);
  for (int64_t t = 0; t < n && !c->be->dry; t += HY_CE_STAT)
    merge_row(hy_f32(r->out[0]) + t, part + t, n, comm->size);
}

/* Blocks of columns, one behind the other, to rows. */
static void
gather_cols_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const hy_comm *comm = r->attr.comm;
  const int64_t *at = r->attr.at;
  float *block = r->scratch;
  int64_t n = x->dim[0], cols = hy_cols(x);

  for (int64_t t = 0; t < n && cols && !c->be->dry; t++)
    memcpy(block + at[comm->rank] + t * cols, hy_f32(x) + t * x->ld,
           (size_t)cols * sizeof *block);
  hy_all_gather(comm, block, at, sizeof *block);
  for (int i = 0; i < comm->size && n && !c->be->dry; i++) {
    int64_t first = at[i] / n, m = at[i + 1] / n - first;

    for (int64_t t = 0; t < n && m; t++)
      memcpy(hy_f32(y) + t * y->ld + first, block + at[i] + t * m,
             (size_t)m * sizeof *block);
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
  r->attr.room[0] = hy_bytes(HY_F32, at[size]);
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
  hy_rec_out(c, r, x->dim[0], HY_CE_STAT);
  return hy_exec(c, r);
}

hy_tensor *
hy_gather_cols(hy_ctx *c, hy_tensor *x, int64_t n)
{
  hy_rec *r;

  if (c->grid->tp.size == 1)
    return x;
  r = gather_rec(c, &op_gather_cols, x, x->dim[0], n);
  hy_rec_out(c, r, x->dim[0], n);
  return hy_exec(c, r);
}
