#include "optim/trainer.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/workspace.h"
#include "optim/bucket.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t
n_count(const hy_model *m)
{
  return (size_t)(m->plan.n_layer_all * m->cfg->n_experts);
}

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
  t->count = hy_calloc(n_count(m), sizeof *t->count);
  t->ctx.count = t->count;
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

/* The first backward of a step replaces what the last step left. */
static void
forget_grads(hy_params *p)
{
  for (int i = 0; i < p->n; i++)
    p->ref[i].t.has = 0;
}

/* A parameter that no backward has reached has the gradient 0. */
static void
settle_grads(hy_params *p)
{
  for (int i = 0; i < p->n; i++) {
    hy_param_ref *r = &p->ref[i];

    if (r->t.grad && !r->t.has)
      memset(r->t.grad, 0, (size_t)hy_shard_size(&r->shard) * sizeof *p->g);
    r->t.has = 1;
  }
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

static int
diverged(hy_trainer *t, int64_t step, double loss)
{
  const char *bad = hy_grad_bad(&t->model->params);
  int err = HY_EDIVERGED;

  /* gradients are summed already: each rank has what any of them had */
  if (bad)
    hy_fail(err,
            "step %lld: loss %g, gradient of %s is not finite; lower "
            "optim.lr, or resume from an earlier checkpoint",
            (long long)step, loss, bad);
  else
    hy_fail(err,
            "step %lld: loss %g is not finite; lower optim.lr, or resume "
            "from an earlier checkpoint",
            (long long)step, loss);
  return hy_agree(&t->grid->world, err);
}

static void
mean_losses(hy_trainer *t, const hy_batch *b, hy_losses *l, hy_step_result *r)
{
  double sum[HY_AHEAD_MAX + 2];

  sum[0] = l->ce;
  sum[1] = l->aux;
  memcpy(sum + 2, l->mtp, sizeof l->mtp);
  hy_sum_f64(&t->grid->dp_cp, sum, HY_AHEAD_MAX + 2);
  r->loss = sum[0] / fmax(b->n_target, 1);
  r->aux = sum[1];
  for (int k = 0; k < HY_AHEAD_MAX; k++)
    r->mtp[k] = k < b->n_ahead ? sum[2 + k] / fmax(b->n_ahead_target[k], 1) : 0;
  r->tokens = b->n_real;
}

static double
max_vio(const hy_model *m, const int64_t *count)
{
  int64_t n = m->cfg->n_experts;
  double worst = 0;

  for (int l = 0; l < m->plan.n_layer_all; l++) {
    int64_t sum = 0, top = 0;

    for (int64_t e = 0; e < n; e++) {
      sum += count[l * n + e];
      top = count[l * n + e] > top ? count[l * n + e] : top;
    }
    if (sum)
      worst = fmax(worst, (double)top * (double)n / (double)sum - 1);
  }
  return worst;
}

void
hy_bias_update(hy_params *p, const int64_t *count, double rate)
{
  for (int i = 0; i < p->n; i++) {
    const hy_spec *s = p->ref[i].spec;
    int64_t n = s->dim[0], sum = 0;
    float *bias = p->w + p->ref[i].at;
    const int64_t *c;

    if (s->kind != HY_STATISTIC)
      continue;
    c = count + s->layer * n;
    for (int64_t e = 0; e < n; e++)
      sum += c[e];
    for (int64_t e = 0; e < n; e++) /* mean - count, times n: exact */
      bias[e] += (float)rate * (float)((sum > n * c[e]) - (sum < n * c[e]));
  }
}

int
hy_trainer_step(hy_trainer *t, const hy_batch_source *src, int64_t step,
                double rate, hy_step_result *r)
{
  hy_model *m = t->model;
  hy_losses l = {0};
  hy_batch b = {0};
  int err;

  forget_grads(&m->params);
  memset(t->count, 0, n_count(m) * sizeof *t->count);
  err = accumulate(t, src, &l, &b);
  settle_grads(&m->params);
  if (err)
    return err;
  mean_losses(t, &b, &l, r);
  hy_reduce_grads(&m->params, t->grid, t->scratch);
  if (!isfinite(r->loss + r->aux))
    return diverged(t, step, r->loss);
  r->norm = hy_grad_norm(&m->params, t->grid);
  if (!isfinite(r->norm))
    return diverged(t, step, r->loss);
  hy_adamw_step(&t->opt, &m->params, step, rate, r->norm, t->n_threads);
  if (m->cfg->n_experts) {
    hy_sum_i64(&t->grid->dp_cp, t->count, (int)n_count(m));
    r->max_vio = max_vio(m, t->count);
    if (m->cfg->bias_rate > 0)
      hy_bias_update(&m->params, t->count, m->cfg->bias_rate);
  }
  return HY_OK;
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
