/* region_tp.c: features, or tokens, cut over the tp ranks. */
#include "op/region.h"

#include <string.h>

static hy_cost
no_cost(const hy_rec *r)
{
  (void)r;
  return (hy_cost){0, 0, 0};
}

static void
add_grad(hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(x);

  for (int64_t t = 0; t < x->dim[0]; t++) {
    float *dx = x->grad + t * x->ld;
    const float *dy = y->grad + t * y->ld;

    if (r->beta[0] == 0)
      memcpy(dx, dy, (size_t)n * sizeof *dx);
    else
      for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i];
  }
}

static void
nothing(hy_ctx *c, hy_rec *r)
{
  (void)c;
  (void)r;
}

static void
enter_tp_bwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *y = r->out[0];

  hy_sum_f32(r->attr.comm, y->grad, r->scratch, (size_t)(y->dim[0] * y->ld));
  if (r->in[0]->grad && !c->be->dry)
    add_grad(r);
}

static void
leave_tp_fwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *y = r->out[0];

  (void)c;
  hy_sum_f32(r->attr.comm, hy_f32(y), r->scratch, (size_t)(y->dim[0] * y->ld));
}

static void
leave_tp_bwd(hy_ctx *c, hy_rec *r)
{
  if (r->in[0]->grad && !c->be->dry)
    add_grad(r);
}

const hy_op hy_op_enter_tp = {"enter_tp", nothing, enter_tp_bwd, no_cost, 1};
const hy_op hy_op_leave_tp = {"leave_tp", leave_tp_fwd, leave_tp_bwd, no_cost,
                              1};

/* The output shares the input's memory and has a gradient of its own. */
static hy_tensor *
region_tp(hy_ctx *c, const hy_op *op, hy_tensor *x)
{
  hy_rec *r;
  hy_tensor *y;

  if (c->grid->tp.size == 1)
    return x;
  r = hy_rec_new(c, op, 1, &x);
  r->attr.comm = &c->grid->tp;
  y = hy_cols_of(c, x, 0, hy_cols(x));
  y->base = NULL;
  r->out[r->n_out++] = y;
  return hy_exec(c, r);
}

hy_tensor *
hy_enter_tp(hy_ctx *c, hy_tensor *x)
{
  return region_tp(c, &hy_op_enter_tp, x);
}

hy_tensor *
hy_leave_tp(hy_ctx *c, hy_tensor *x)
{
  return region_tp(c, &hy_op_leave_tp, x);
}
