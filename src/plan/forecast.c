#include "plan/forecast.h"
#include "model/schedule.h"
#include "optim/bucket.h"

#include <string.h>

const char *const hy_need_name[HY_N_NEED] = {
    "weights", "gradients",   "master (the weights are it)",
    "moments", "activations", "workspace",
    "buffers"};

/* Micro-batches of a step on the rank that has most rows. */
static int64_t
n_micro_of(const hy_deck *d, int64_t n_dp)
{
  int64_t n = n_dp * d->data.micro_batch;

  return (d->data.global_batch + n - 1) / n;
}

/* Bytes of a batch's columns as the loader holds them. */
static double
batch_bytes(const hy_deck *d, int64_t seq_len, int n_ahead)
{
  return (double)(d->data.micro_batch * seq_len) * (17 + 12 * n_ahead);
}

static void
memory_of(hy_forecast *f, const hy_deck *d, const hy_model *m,
          const hy_ctx *plan, int64_t seq_len)
{
  const hy_params *p = &m->params;

  f->n_own = (int64_t)p->n_weight;
  f->need[HY_NEED_WEIGHTS] = 4.0 * (double)p->n_total;
  f->need[HY_NEED_GRADS] = 4.0 * (double)p->n_weight;
  f->need[HY_NEED_MASTER] = 0;
  f->need[HY_NEED_MOMENTS] = 8.0 * (double)f->n_own;
  f->need[HY_NEED_ACT] = (double)plan->act.peak * f->n_ctx;
  f->need[HY_NEED_WORKSPACE] =
      (double)(plan->turn[0].peak + plan->turn[1].peak + plan->host.peak) *
      f->n_ctx;
  f->need[HY_NEED_BUFFERS] =
      batch_bytes(d, seq_len, m->plan.n_depth) + 4.0 * HY_BUCKET;
  f->sum = 0;
  for (int i = 0; i < HY_N_NEED; i++)
    f->sum += f->need[i];
}

/* What the optimizer sends once a step. */
static void
add_step(hy_forecast *f, hy_model *m, const hy_grid *grid, hy_meter *meter)
{
  *meter = (hy_meter){0};
  hy_reduce_grads(&m->params, grid, NULL);
  for (int a = 0; a < HY_N_AXES; a++) {
    f->sent[a] += meter->sent[a];
    f->calls[a] += (double)meter->calls[a];
  }
}

static void
walk(hy_forecast *f, const hy_deck *d, hy_model *m, const hy_grid *grid,
     int64_t seq_len, int n_threads)
{
  int what = HY_WS_TRAIN | (d->data.valid[0] ? HY_WS_VALID : 0);
  hy_ctx plan;

  hy_workspace_plan(&plan, m, grid, n_threads, d->data.micro_batch, seq_len,
                    what);
  f->n_micro = n_micro_of(d, grid->dp.size);
  f->n_ctx = hy_schedule_in_flight(grid->pp.size, grid->pp.rank, f->n_micro);
  f->flops = (plan.cost.fwd + plan.cost.bwd) * (double)f->n_micro;
  for (int a = 0; a < HY_N_AXES; a++) {
    f->sent[a] = plan.sent[a] * (double)f->n_micro;
    f->calls[a] = plan.calls[a] * (double)f->n_micro;
  }
  memcpy(f->work, plan.work, sizeof f->work);
  memory_of(f, d, m, &plan, seq_len);
  hy_ctx_free(&plan);
}

int
hy_forecast_stage(hy_forecast *f, const hy_deck *d, int stage, int64_t seq_len,
                  int n_threads)
{
  hy_meter meter = {0};
  hy_grid grid;
  hy_model m;
  int err = hy_grid_plan(&grid, &d->grid, stage, &meter);

  *f = (hy_forecast){.stage = stage};
  grid.row_len = d->data.seq_len; /* as a run: the cut depends on it */
  if (!err)
    err = hy_model_plan(&m, &d->model, &grid, 1);
  if (err)
    return err;
  walk(f, d, &m, &grid, seq_len, n_threads);
  add_step(f, &m, &grid, &meter);
  hy_model_free(&m);
  return HY_OK;
}

int
hy_forecast_largest(hy_forecast *f, const hy_deck *d, int64_t seq_len,
                    int n_threads)
{
  hy_forecast one;
  int err = HY_OK;

  *f = (hy_forecast){.stage = -1};
  for (int s = 0; s < d->grid.pp && !err; s++) {
    err = hy_forecast_stage(&one, d, s, seq_len, n_threads);
    if (!err && one.sum > f->sum)
      *f = one;
  }
  return err;
}
