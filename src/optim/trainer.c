#include "optim/trainer.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/workspace.h"
#include "optim/bucket.h"
#include "optim/update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int
hy_trainer_new(hy_trainer *t, hy_model *m, const hy_grid *grid, int n_threads,
               int64_t n_rows, int64_t seq_len, int what)
{
  int err;

  *t = (hy_trainer){.model = m, .grid = grid, .n_threads = n_threads};
  err = hy_workspace_new(&t->ctx, m, grid, n_threads, n_rows, seq_len, what);
  if (!err)
    err = hy_adamw_new(&t->opt, &m->params);
  t->scratch = hy_malloc(HY_BUCKET * sizeof *t->scratch);
  t->count = hy_calloc(hy_update_n_count(m), sizeof *t->count);
  t->ctx.count = t->count;
  t->ctx.margin = &t->margin;
  return err;
}

void
hy_trainer_free(hy_trainer *t)
{
  hy_ctx_free(&t->ctx);
  hy_adamw_free(&t->opt);
  free(t->scratch);
  free(t->count);
  *t = (hy_trainer){0};
}

/* Forward and backward of every micro-batch; sums of this rank into l. */
static int
accumulate(hy_trainer *t, const hy_batch_source *src, hy_losses *l,
           hy_batch *last)
{
  hy_ctx *c = &t->ctx;
  int err = HY_OK;

  for (int64_t i = 0; i < src->n_micro; i++) {
    err = hy_agree(&t->grid->world, src->get(src->arg, i, last));
    if (err)
      return err;
    c->batch = last;
    hy_ctx_reset(c, 1);
    hy_model_loss(c, t->model, 1, l);
    hy_backward(c);
  }
  return err;
}

static void
mean_losses(hy_trainer *t, const hy_batch *b, hy_losses *l, hy_step_result *r)
{
  double sum[HY_AHEAD_MAX + 2];

  r->own_loss = l->ce;
  sum[0] = l->ce;
  sum[1] = 0;
  memcpy(sum + 2, l->mtp, sizeof l->mtp);
  hy_sum_f64(&t->grid->dp_cp, sum, HY_AHEAD_MAX + 2);
  sum[1] = l->aux; /* of this rank's slice of the tokens */
  hy_sum_f64(&t->grid->world, sum + 1, 1);
  r->loss = sum[0] / fmax(b->n_target, 1);
  r->aux = sum[1];
  for (int k = 0; k < HY_AHEAD_MAX; k++)
    r->mtp[k] = k < b->n_ahead ? sum[2 + k] / fmax(b->n_ahead_target[k], 1) : 0;
  r->tokens = b->n_real;
}

int
hy_trainer_step(hy_trainer *t, const hy_batch_source *src, int64_t step,
                double rate, hy_step_result *r)
{
  hy_losses l = {0};
  hy_batch b = {0};
  int err;

  hy_update_begin(t, src->n_micro);
  err = accumulate(t, src, &l, &b);
  if (err)
    return err;
  mean_losses(t, &b, &l, r);
  return hy_update(t, step, rate, r);
}

int
hy_trainer_valid(hy_trainer *t, const hy_batch_source *src, double *loss)
{
  hy_ctx *c = &t->ctx;
  hy_losses l = {0};
  hy_batch b = {0};
  int err = HY_OK;

  c->count = NULL;
  for (int64_t i = 0; i < src->n_micro && !err; i++) {
    err = hy_agree(&t->grid->world, src->get(src->arg, i, &b));
    if (err)
      break;
    c->batch = &b;
    hy_ctx_reset(c, 0);
    hy_model_loss(c, t->model, 0, &l);
  }
  c->count = t->count;
  hy_sum_f64(&t->grid->dp_cp, &l.ce, 1);
  *loss = l.ce / fmax(b.n_target, 1);
  return err;
}
