#include "optim/update.h"
#include "base/err.h"
#include "optim/bucket.h"

#include <math.h>
#include <string.h>

size_t
hy_update_n_count(const hy_model *m)
{
  return (size_t)(m->plan.n_layer_all * m->cfg->n_experts);
}

void
hy_update_begin(hy_trainer *t, int64_t n_micro)
{
  hy_params *p = &t->model->params;

  (void)n_micro;
  for (int i = 0; i < p->n; i++) /* the first backward replaces */
    p->ref[i].t.has = 0;
  memset(t->count, 0, hy_update_n_count(t->model) * sizeof *t->count);
  t->margin = INFINITY;
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

/* Gradients are summed already: their owners have what any rank had. */
static int
diverged(const hy_trainer *t, int64_t step, double loss)
{
  const char *bad = hy_grad_bad(&t->model->params);
  int err = HY_OK;

  if (bad)
    err = hy_fail(HY_EDIVERGED,
                  "step %lld: loss %g, gradient of %s is not finite; lower "
                  "optim.lr, or resume from an earlier checkpoint",
                  (long long)step, loss, bad);
  err = hy_agree(&t->grid->world, err);
  if (err)
    return err;
  return hy_agree(&t->grid->world,
                  hy_fail(HY_EDIVERGED,
                          "step %lld: loss %g is not finite; lower optim.lr, "
                          "or resume from an earlier checkpoint",
                          (long long)step, loss));
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

    if (s->kind != HY_STATISTIC || !p->ref[i].shard.here)
      continue;
    c = count + s->layer * n;
    for (int64_t e = 0; e < n; e++)
      sum += c[e];
    for (int64_t e = 0; e < n; e++) /* mean - count, times n: exact */
      bias[e] += (float)rate * (float)((sum > n * c[e]) - (sum < n * c[e]));
  }
}

/* Every token is routed once on one rank, by each router on its stage. */
static void
update_biases(hy_trainer *t, hy_step_result *r)
{
  hy_model *m = t->model;

  if (!m->cfg->n_experts)
    return;
  hy_sum_i64(&t->grid->world, t->count, (int)hy_update_n_count(m));
  r->max_vio = max_vio(m, t->count);
  r->margin = hy_min_f64(&t->grid->world, (double)t->margin);
  if (m->cfg->bias_rate > 0)
    hy_bias_update(&m->params, t->count, m->cfg->bias_rate);
}

int
hy_update(hy_trainer *t, int64_t step, double rate, hy_step_result *r)
{
  hy_params *p = &t->model->params;

  settle_grads(p);
  hy_reduce_grads(p, t->grid, t->scratch);
  if (!isfinite(r->loss + r->aux))
    return diverged(t, step, r->loss);
  r->norm = hy_grad_norm(p, t->grid);
  if (!isfinite(r->norm))
    return diverged(t, step, r->loss);
  hy_adamw_step(&t->opt, p, step, rate, r->norm, t->n_threads);
  update_biases(t, r);
  return HY_OK;
}
