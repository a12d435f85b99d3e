#include "plan/forecast.h"
#include "gpu/device.h"
#include "model/pipe.h"
#include "model/schedule.h"
#include "op/columns.h"
#include "optim/update.h"

#include <math.h>
#include <string.h>

const char *
hy_need_name(const hy_forecast *f, int kind)
{
  static const char *const name[HY_N_NEED] = {
      "weights", "gradients",   "master (the weights are it)",
      "moments", "activations", "workspace",
      "buffers"};

  if (kind == HY_NEED_MASTER && f->host > 0)
    return "master (on the host)";
  if (kind == HY_NEED_MASTER && f->need[kind] > 0)
    return "master, fp32";
  if (kind == HY_NEED_MOMENTS && f->host > 0)
    return "moments (on the host)";
  return name[kind];
}

/* Micro-batches of a step on the rank that has most rows. */
static int64_t
n_micro_of(const hy_deck *d, int64_t n_dp)
{
  int64_t n = n_dp * d->data.micro_batch;

  return (d->data.global_batch + n - 1) / n;
}

/* Bytes of a batch's columns as the loader holds them, or of their copies where
 * bodies read them. */
static double
batch_bytes(const hy_deck *d, const hy_grid *grid, int64_t seq_len, int n_ahead,
            int n_ctx)
{
  const hy_backend *be = hy_backend_of(grid);
  int64_t n_rows = d->data.micro_batch, n = n_rows * seq_len;
  int n_batch = d->grid.pp > 1 ? n_ctx + 2 : 1; /* copies of the pipe */

  if (be->host_memory)
    return (double)n * (17 + 12 * n_ahead) * n_batch;
  if (grid->cp.size > 1)
    n = n_rows * hy_cut_tokens(seq_len, grid->cp.size, grid->cp.rank);
  return (double)hy_columns_bytes(be, n_rows, n, n_ahead) * n_ctx;
}

/* What a step sends besides its micro-batches: the loader's denominators, that
 * all ranks have each micro-batch, losses, and the update; *b is what the
 * states take. */
static void
add_step(hy_forecast *f, const hy_model *m, const hy_grid *grid,
         size_t unit_bytes, hy_state_bytes *b)
{
  int64_t loader[HY_AHEAD_MAX + 3] = {0};
  hy_losses losses = {0};
  hy_meter meter = {0};
  hy_grid dry;

  hy_grid_dry(&dry, grid, &meter);
  hy_agree(&dry.dp, 0);
  hy_sum_i64(&dry.dp, loader, HY_AHEAD_MAX + 3);
  for (int64_t i = 0; i < f->n_micro; i++)
    hy_agree(&dry.stage, 0);
  hy_losses_sum(&losses, &dry);
  hy_update_plan(b, m, &dry, unit_bytes);
  for (int a = 0; a < HY_N_AXES; a++) {
    f->sent[a] += meter.sent[a];
    f->calls[a] += (double)meter.calls[a];
  }
}

static void
memory_of(hy_forecast *f, const hy_deck *d, const hy_model *m,
          const hy_ctx *plan, int64_t seq_len, const hy_state_bytes *b)
{
  const hy_params *p = &m->params;

  f->need[HY_NEED_WEIGHTS] = b->weights;
  f->need[HY_NEED_MASTER] = b->master;
  f->need[HY_NEED_GRADS] = b->gradients;
  f->need[HY_NEED_MOMENTS] = b->moments;
  f->host = b->host;
  f->act = p->be->act;
  f->n_own = (int64_t)(p->zero ? p->n_own : p->n_weight);
  f->need[HY_NEED_BUFFERS] =
      batch_bytes(d, plan->grid, seq_len, m->plan.n_depth, f->n_ctx) +
      b->buffers + (double)hy_pipe_bytes(plan, f->n_ctx);
  f->sum = 0;
  for (int i = 0; i < HY_N_NEED; i++)
    f->sum += f->need[i];
}

/* A context of the pipe; the first one also validates. */
static void
add_context(hy_forecast *f, const hy_ctx *plan, int n)
{
  f->need[HY_NEED_ACT] += (double)plan->act.peak * n;
  f->need[HY_NEED_WORKSPACE] +=
      (double)(plan->turn[0].peak + plan->turn[1].peak) * n;
  if (plan->be->host_memory) /* records */
    f->need[HY_NEED_WORKSPACE] += (double)plan->host.peak * n;
}

static void
walk(hy_forecast *f, const hy_deck *d, const hy_model *m, const hy_grid *grid,
     int64_t seq_len, int n_threads)
{
  int what = HY_WS_TRAIN | (d->data.valid.n || d->data.test.n ? HY_WS_VALID : 0);
  hy_state_bytes states;
  hy_ctx plan;

  f->n_micro = n_micro_of(d, grid->dp.size);
  f->n_ctx = hy_schedule_in_flight(grid->pp.size, grid->pp.rank, f->n_micro);
  hy_workspace_plan(&plan, m, grid, n_threads, d->data.micro_batch, seq_len,
                    what);
  add_context(f, &plan, 1);
  hy_ctx_free(&plan);
  hy_workspace_plan(&plan, m, grid, n_threads, d->data.micro_batch, seq_len,
                    HY_WS_TRAIN);
  add_context(f, &plan, f->n_ctx - 1);
  f->flops = (plan.cost.fwd + plan.cost.bwd) * (double)f->n_micro;
  for (int a = 0; a < HY_N_AXES; a++) {
    f->sent[a] = plan.sent[a] * (double)f->n_micro;
    f->calls[a] = plan.calls[a] * (double)f->n_micro;
  }
  memcpy(f->work, plan.work, sizeof f->work);
  add_step(f, m, grid, plan.unit_bytes, &states);
  memory_of(f, d, m, &plan, seq_len, &states);
  hy_ctx_free(&plan);
}

static int
forecast_rank(hy_forecast *f, const hy_deck *d, int stage, int cp,
              int64_t seq_len, int n_threads)
{
  hy_grid grid;
  hy_model m = {0};
  int err = hy_grid_plan_cp(&grid, &d->grid, stage, cp, NULL);

  *f = (hy_forecast){.stage = stage};
  grid.row_len = d->data.seq_len; /* as a run: the cut depends on it */
  hy_device_plan(&grid, d);
  if (!err)
    err = hy_model_plan_zero(&m, &d->model, &grid, hy_params_how(&d->optim));
  if (!err)
    err = hy_model_recompute(&m, d->optim.recompute);
  if (err) {
    hy_model_free(&m);
    return err;
  }
  walk(f, d, &m, &grid, seq_len, n_threads);
  hy_model_free(&m);
  return HY_OK;
}

int
hy_forecast_stage(hy_forecast *f, const hy_deck *d, int stage, int64_t seq_len,
                  int n_threads)
{
  hy_forecast other;
  int err = forecast_rank(f, d, stage, 0, seq_len, n_threads);

  /* how much of the ring a cp rank passes on depends on its place */
  for (int cp = 1; cp < d->grid.cp && !err; cp++) {
    err = forecast_rank(&other, d, stage, cp, seq_len, n_threads);
    for (int a = 0; a < HY_N_AXES; a++)
      f->sent[a] = fmax(f->sent[a], other.sent[a]);
  }
  return err;
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
