/* region_tp.c: features, or tokens, cut over the tp ranks.
 *
 * Without sp the residual stream has all tokens on every tp rank, with sp each
 * rank has a slice of them; what is between enter and leave has all tokens and
 * the rank's own features either way (Korthikanti et al. 2022,
 * arXiv:2205.05198). Sums are in rank order, with the same bits both ways. */
#include "op/region.h"
#include "base/err.h"

int64_t
hy_token_first(const hy_ctx *c, int r)
{
  return c->batch->n_tokens * r / c->grid->tp.size;
}

int64_t
hy_token_at(const hy_ctx *c, int64_t rows)
{
  return rows == c->batch->n_tokens ? 0 : hy_token_first(c, c->grid->tp.rank);
}

int64_t
hy_stream_rows(const hy_grid *grid, int64_t n_tokens)
{
  int64_t r = grid->tp.rank, size = grid->tp.size;

  return grid->sp ? n_tokens * (r + 1) / size - n_tokens * r / size : n_tokens;
}

/* Generation has few tokens: it never cuts them between the regions. */
static int
sliced(const hy_ctx *c)
{
  return c->grid->sp && !c->seg;
}

/* beta dx + dy, row by row. */
static void
add_rows(const hy_ctx *c, hy_rec *r, const void *dy)
{
  const hy_tensor *x = r->in[0];

  if (!c->be->dry && x->grad)
    c->be->kit->add(x->grad, x->ld, dy, x->ld, x->gfmt, x->dim[0], hy_cols(x),
                    r->beta[0]);
}

/* ---- all tokens on every rank: sums ------------------------------------- */

static void
sum_rows(hy_rec *r, void *x, hy_fmt fmt)
{
  const hy_tensor *y = r->out[0];

  hy_sum(r->attr.comm, x, r->scratch, fmt, (size_t)(y->dim[0] * y->ld));
}

static void
copy_grad(hy_ctx *c, hy_rec *r)
{
  add_rows(c, r, r->out[0]->grad);
}

static void
enter_tp_bwd(hy_ctx *c, hy_rec *r)
{
  sum_rows(r, r->out[0]->grad, r->out[0]->gfmt);
  copy_grad(c, r);
}

static void
leave_tp_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  sum_rows(r, r->out[0]->data, r->out[0]->fmt);
}

static const hy_op op_enter_tp = {"enter_tp", NULL, enter_tp_bwd, NULL, 1};
static const hy_op op_leave_tp = {"leave_tp", leave_tp_fwd, copy_grad, NULL, 1};

static const hy_op op_sum_near = {"sum_near", leave_tp_fwd, enter_tp_bwd, NULL,
                                  1};

/* ---- slices of the tokens ----------------------------------------------- */

/* Elements of this rank's slice, and where they begin among all. */
static int64_t
own_at(const hy_rec *r)
{
  return r->attr.at[r->attr.comm->rank];
}

static int64_t
own_n(const hy_rec *r)
{
  return r->attr.at[r->attr.comm->rank + 1] - own_at(r);
}

static void
gather(hy_rec *r, void *all, hy_fmt fmt)
{
  hy_all_gather(r->attr.comm, all, r->attr.at, hy_bytes(fmt, 1));
}

/* Where this rank's slice of `all` begins. */
static void *
own_of(const hy_rec *r, const void *all, hy_fmt fmt)
{
  return hy_at(all, fmt, own_at(r));
}

/* The sum of the ranks' `all` at this rank's slice of it. */
static void
sum_slice(hy_rec *r, void *all, hy_fmt fmt)
{
  hy_reduce_scatter(r->attr.comm, all, r->attr.at, own_of(r, all, fmt), fmt,
                    r->scratch);
}

static void
copy_own(hy_ctx *c, const hy_rec *r, void *to, const void *from, hy_fmt fmt)
{
  if (!c->be->dry && own_n(r))
    c->be->mem->copy(to, from, hy_bytes(fmt, own_n(r)));
}

static void
gather_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  void *all = r->out[0]->data;

  copy_own(c, r, own_of(r, all, x->fmt), x->data, x->fmt);
  gather(r, all, x->fmt);
}

static void
gather_bwd(hy_ctx *c, hy_rec *r)
{
  add_rows(c, r, own_of(r, r->out[0]->grad, r->out[0]->gfmt));
}

static void
enter_sp_bwd(hy_ctx *c, hy_rec *r)
{
  sum_slice(r, r->out[0]->grad, r->out[0]->gfmt);
  gather_bwd(c, r);
}

/* The slice goes to the front, the rest of x is given back. */
static void
leave_sp_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  sum_slice(r, x->data, x->fmt);
  copy_own(c, r, x->data, own_of(r, x->data, x->fmt), x->fmt);
}

/* Nobody else reads x, so its gradient has no other part. */
static void
leave_sp_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

  if (!x->grad)
    return;
  copy_own(c, r, own_of(r, x->grad, x->gfmt), r->out[0]->grad, x->gfmt);
  gather(r, x->grad, x->gfmt);
}

static void
slice_bwd(hy_ctx *c, hy_rec *r)
{
  hy_fmt fmt = r->in[0]->gfmt;
  void *all = r->scratch;

  if (!r->in[0]->grad)
    return;
  copy_own(c, r, own_of(r, all, fmt), r->out[0]->grad, fmt);
  gather(r, all, fmt);
  add_rows(c, r, all);
}

static const hy_op op_enter_sp = {"enter_sp", gather_fwd, enter_sp_bwd, NULL,
                                  1};
static const hy_op op_leave_sp = {"leave_sp", leave_sp_fwd, leave_sp_bwd, NULL,
                                  1};
static const hy_op op_slice_tp = {"slice_tp", NULL, slice_bwd, NULL, 1};
static const hy_op op_unslice_tp = {"unslice_tp", gather_fwd, gather_bwd, NULL,
                                    1};

/* ---- the calls ---------------------------------------------------------- */

/* The output shares the first `rows` rows of the input's memory behind row
 * `first` and has a gradient of its own. */
static hy_tensor *
rows_of(hy_ctx *c, hy_tensor *x, int64_t first, int64_t rows)
{
  hy_tensor *y = hy_cols_of(c, x, 0, hy_cols(x));

  y->base = NULL;
  y->dim[0] = rows;
  y->data = hy_at(x->data, x->fmt, first * x->ld);
  return y;
}

static hy_rec *
region_rec(hy_ctx *c, const hy_op *op, hy_tensor *x)
{
  hy_rec *r = hy_rec_new(c, op, 1, &x);

  r->attr.comm = &c->grid->tp;
  return r;
}

/* A region that cuts the tokens: where each rank's slice begins. */
static hy_rec *
slice_rec(hy_ctx *c, const hy_op *op, hy_tensor *x)
{
  hy_rec *r = region_rec(c, op, x);
  int size = r->attr.comm->size;
  int64_t *at = hy_arena_get(&c->host, (size_t)(size + 1) * sizeof *at);

  if (x->ld != hy_cols(x))
    hy_die(HY_EBUG, "%s: rows must lie one after another", op->name);
  for (int i = 0; i <= size; i++)
    at[i] = hy_token_first(c, i) * x->ld;
  r->attr.at = at;
  return r;
}

/* Bytes that a sum over the ranks wants in each rank's slice. */
static size_t
sum_room(const hy_rec *r)
{
  return (size_t)r->attr.comm->size * hy_bytes(r->in[0]->fmt, own_n(r));
}

/* The rows of all ranks. Into a layer they are gathered again in backward, so
 * that only slices outlive it (Korthikanti et al., section 4.2.2). */
static hy_tensor *
all_rows(hy_ctx *c, const hy_op *op, hy_tensor *x)
{
  hy_rec *r = slice_rec(c, op, x);

  if (op == &op_enter_sp) {
    r->attr.room[1] = sum_room(r);
    hy_rec_lend(c, r, c->batch->n_tokens, hy_cols(x));
  } else
    hy_rec_out_fmt(c, r, x->fmt, c->batch->n_tokens, hy_cols(x));
  return hy_exec(c, r);
}

/* The rows of this rank, `first` rows behind the start of x's memory. */
static hy_tensor *
own_rows(hy_ctx *c, const hy_op *op, hy_tensor *x, int64_t first)
{
  int me = c->grid->tp.rank;
  hy_rec *r = slice_rec(c, op, x);

  if (op == &op_leave_sp)
    r->attr.room[0] = sum_room(r);
  else
    r->attr.room[1] = hy_bytes(x->gfmt, x->dim[0] * x->ld);
  r->out[r->n_out++] =
      rows_of(c, x, first, hy_token_first(c, me + 1) - hy_token_first(c, me));
  return hy_exec(c, r);
}

/* The same memory. */
static hy_tensor *
same_rows(hy_ctx *c, const hy_op *op, hy_tensor *x)
{
  hy_rec *r = region_rec(c, op, x);

  r->out[r->n_out++] = rows_of(c, x, 0, x->dim[0]);
  return hy_exec(c, r);
}

hy_tensor *
hy_enter_tp(hy_ctx *c, hy_tensor *x)
{
  if (c->grid->tp.size == 1)
    return x;
  return sliced(c) ? all_rows(c, &op_enter_sp, x)
                   : same_rows(c, &op_enter_tp, x);
}

hy_tensor *
hy_leave_tp(hy_ctx *c, hy_tensor *x)
{
  hy_tensor *y;

  if (c->grid->tp.size == 1)
    return x;
  if (!sliced(c))
    return same_rows(c, &op_leave_tp, x);
  y = own_rows(c, &op_leave_sp, x, 0);
  hy_shrink(c, x, y->dim[0]);
  return y;
}

hy_tensor *
hy_slice_tp(hy_ctx *c, hy_tensor *x)
{
  if (c->grid->tp.size == 1 || sliced(c))
    return x;
  return own_rows(c, &op_slice_tp, x, hy_token_first(c, c->grid->tp.rank));
}

hy_tensor *
hy_unslice_tp(hy_ctx *c, hy_tensor *x)
{
  if (c->grid->tp.size == 1 || sliced(c))
    return x;
  return all_rows(c, &op_unslice_tp, x);
}

hy_tensor *
hy_sum_near(hy_ctx *c, hy_tensor *x, int f)
{
  hy_comm *near = hy_arena_get(&c->host, sizeof *near);
  hy_rec *r = region_rec(c, &op_sum_near, x);

  *near = hy_grid_near(c->grid, f);
  r->attr.comm = near;
  r->out[r->n_out++] = rows_of(c, x, 0, x->dim[0]);
  return hy_exec(c, r);
}
