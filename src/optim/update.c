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
  hy_store_begin(&t->store, n_micro, 1);
  memset(t->count, 0, hy_update_n_count(t->model) * sizeof *t->count);
  t->margin = INFINITY;
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

  hy_store_finish(&t->store);
  hy_reduce_partial(p, t->grid, p->zero == 3 ? HY_SUM_OWN : HY_SUM_OWN_AT_PLACE,
                    t->scratch);
  if (!isfinite(r->loss + r->aux))
    return diverged(t, step, r->loss);
  r->norm = hy_grad_norm(p, t->grid);
  if (!isfinite(r->norm))
    return diverged(t, step, r->loss);
  if (p->zero == 0)
    hy_store_share(&t->store, p->g);
  hy_adamw_step(&t->opt, p, step, rate, r->norm, t->n_threads);
  if (p->zero == 1)
    hy_store_share(&t->store, p->w);
  update_biases(t, r);
  return HY_OK;
}

/* The collectives of an update, in their order, without data. */
static void
walk(hy_store *s, hy_params *p, const hy_grid *grid, size_t n_count)
{
  double norm = 0;
  int64_t *count = NULL;

  hy_store_begin(s, 1, 1);
  hy_store_finish(s);
  hy_reduce_partial(p, grid, p->zero == 3 ? HY_SUM_OWN : HY_SUM_OWN_AT_PLACE,
                    NULL);
  hy_sum_f64(&grid->world, &norm, 1);
  if (p->zero < 3)
    hy_store_share(s, NULL);
  if (n_count) {
    hy_sum_i64(&grid->world, count, (int)n_count);
    hy_min_f64(&grid->world, 0);
  }
}

void
hy_update_plan(hy_state_bytes *b, const hy_model *m, const hy_grid *grid,
               size_t unit_bytes)
{
  hy_params *p = (hy_params *)(uintptr_t)&m->params;
  hy_store s;

  hy_store_new(&s, p, grid, 1);
  walk(&s, p, grid, hy_update_n_count(m));
  b->weights = sizeof(float) * (double)p->n_total;
  b->gradients =
      sizeof(float) * (double)(p->zero == 3 ? p->n_own : p->n_weight);
  b->moments = 2 * sizeof(float) * (double)(p->zero ? p->n_own : p->n_weight);
  b->buffers = sizeof(float) * HY_BUCKET + (double)unit_bytes +
               (double)hy_store_bytes(&s);
  hy_store_free(&s);
}
