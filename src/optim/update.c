#include "optim/update.h"
#include "base/err.h"
#include "base/mem.h"
#include "optim/bucket.h"

#include <math.h>
#include <stdlib.h>

size_t
hy_update_n_count(const hy_model *m)
{
  return (size_t)(m->plan.n_layer_all * m->cfg->n_experts);
}

void
hy_update_begin(hy_trainer *t, int64_t n_micro)
{
  const hy_mem *mem = t->model->params.be->mem;

  hy_store_begin(&t->store, n_micro, 1);
  mem->zero(t->count, hy_update_n_count(t->model) * sizeof *t->count);
  mem->zero(&t->sums->loss, sizeof t->sums->loss);
  mem->copy(&t->sums->margin, &t->sums->infinity, sizeof t->sums->margin);
}

/* Gradients are summed already: their owners have what any rank had. */
static int
diverged(const hy_trainer *t, int64_t step, double loss)
{
  const hy_params *p = &t->model->params;
  unsigned char *flag = hy_malloc((size_t)p->n + 1);
  int bad = hy_grad_bad(&t->opt, flag), err = HY_OK;

  free(flag);
  if (bad >= 0)
    err = hy_fail(HY_EDIVERGED,
                  "step %lld: loss %g, gradient of %s is not finite; lower "
                  "optim.lr, or resume from an earlier checkpoint",
                  (long long)step, loss, p->ref[bad].spec->name);
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

    if (s->kind == HY_STATISTIC && p->ref[i].shard.here)
      p->be->kit->bias_update(hy_f32(&p->ref[i].t),
                              count + s->layer * s->dim[0], s->dim[0],
                              (float)rate);
  }
}

/* Every token is routed once on one rank, by each router on its stage. */
static void
update_biases(hy_trainer *t, hy_step_result *r)
{
  hy_model *m = t->model;
  const hy_mem *mem = m->params.be->mem;
  size_t n = hy_update_n_count(m);
  float margin;

  if (!m->cfg->n_experts)
    return;
  mem->read(t->seen, t->count, n * sizeof *t->seen);
  mem->read(&margin, &t->sums->margin, sizeof margin);
  hy_sum_i64(&t->grid->world, t->seen, (int)n);
  r->max_vio = max_vio(m, t->seen);
  r->margin = hy_min_f64(&t->grid->world, (double)margin);
  mem->load(t->count, t->seen, n * sizeof *t->seen);
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
  r->norm = hy_grad_norm(&t->opt, t->grid);
  if (!isfinite(r->norm))
    return diverged(t, step, r->loss);
  if (p->zero == 0)
    hy_store_share_grads(&t->store);
  hy_adamw_step(&t->opt, step, rate, r->norm, t->n_threads);
  if (p->zero == 1)
    hy_store_share_weights(&t->store);
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
  if (p->zero == 0)
    hy_store_share_grads(s);
  if (p->zero == 1)
    hy_store_share_weights(s);
  if (n_count) {
    hy_sum_i64(&grid->world, count, (int)n_count);
    hy_min_f64(&grid->world, 0);
  }
}

static void
add_states(hy_state_bytes *b, const hy_params *p)
{
  double master = sizeof(float) * (double)p->n_master;
  double rest = sizeof(float) * (double)(p->n_total - p->n_master);
  double moments =
      2 * sizeof(float) * (double)(p->zero ? p->n_own : p->n_weight);
  int apart = p->offload || p->be->act != HY_F32;

  *b = (hy_state_bytes){.weights = rest + (apart ? (double)p->n_low : master),
                        .master = apart && !p->offload ? master : 0,
                        .gradients =
                            sizeof(float) *
                            (double)(p->zero == 3 ? p->n_own : p->n_weight),
                        .moments = p->offload ? 0 : moments,
                        .host = p->offload ? master + moments : 0};
}

void
hy_update_plan(hy_state_bytes *b, const hy_model *m, const hy_grid *grid,
               size_t unit_bytes)
{
  hy_params *p = (hy_params *)(uintptr_t)&m->params;
  hy_store s;

  hy_store_new(&s, p, grid, 1);
  walk(&s, p, grid, hy_update_n_count(m));
  add_states(b, p);
  b->buffers = sizeof(float) * HY_BUCKET + sizeof(hy_step_sums) +
               sizeof(int64_t) * (double)hy_update_n_count(m) +
               (double)unit_bytes + (double)hy_store_bytes(&s) +
               (p->offload ? (double)hy_offload_bytes(p) : 0);
  hy_store_free(&s);
}
