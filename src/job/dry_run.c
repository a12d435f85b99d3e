/* --dry-run: check everything and say what a run needs, from the same program
 * text through the backend of shapes. */
#include "job/dry_run.h"
#include "job/dry_print.h"
#include "base/err.h"
#include "data/blend_file.h"
#include "io/source.h"
#include "job/train_data.h"
#include "optim/lr.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A communicator of one rank: no call reaches MPI, which is not started. */
static const hy_comm alone = {.mpi = MPI_COMM_SELF, .rank = 0, .size = 1};

/* As hy_threads_of, without the other ranks. */
static int
guess_threads(const hy_deck *d)
{
  const char *env = getenv("OMP_NUM_THREADS");
  int n = (int)d->job.n_threads;
  cpu_set_t set;

  if (n == 0 && env)
    n = atoi(env);
  if (n <= 0) {
    CPU_ZERO(&set);
    n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    n /= (int)d->grid.n_ranks;
  }
  return n > 0 ? n : 1;
}

/* Every stage, before anything is printed of the run. */
static int
forecast(hy_dry *r)
{
  const hy_deck *d = r->deck;
  int err = HY_OK;

  r->stage = hy_calloc((size_t)d->grid.pp, sizeof *r->stage);
  for (int s = 0; s < d->grid.pp && !err; s++) {
    err = hy_forecast_stage(&r->stage[s], d, s, r->seq_len, r->n_threads);
    if (!err && r->stage[s].sum > r->stage[r->largest].sum)
      r->largest = s;
  }
  return err;
}

static int
plan_training(hy_deck *d, int64_t n_dp, int64_t seq_len)
{
  hy_dry r = {.deck = d,
              .seq_len = seq_len,
              .n_dp = n_dp,
              .n_threads = guess_threads(d)};
  hy_plan plan = {0};
  int err = forecast(&r);

  if (!err)
    err = hy_plan_new(&plan, &d->model);
  if (!err) {
    hy_dry_model(&plan);
    hy_dry_memory(&r);
    hy_dry_advice(&r);
    hy_dry_step(&r);
    hy_dry_time(&r);
    hy_dry_disk(d, &plan);
  }
  hy_plan_free(&plan);
  free(r.stage);
  return err;
}

/* What the loaders would refuse, and what is read of which source. */
static int
check_data(const hy_deck *d, int64_t *seq_len)
{
  hy_loader *l[3];
  int err = hy_data_open(l, d, 0, &alone, NULL);

  if (err)
    return err;
  *seq_len = hy_loader_seq_len(l[HY_PART_TRAIN]);
  hy_data_print(l[HY_PART_TRAIN], &d->data, d->optim.n_steps, 0);
  for (int i = 0; i < 3; i++)
    hy_loader_free(l[i]);
  return HY_OK;
}

static int
check_training(const hy_deck *d, int64_t *seq_len)
{
  int bench = !strcmp(d->job.kind, "bench");
  hy_plan plan;
  int err = hy_lr_check(&d->optim);

  *seq_len = d->data.seq_len;
  if (!err)
    err = hy_plan_new(&plan, &d->model);
  if (err)
    return err;
  hy_plan_free(&plan);
  if (!bench)
    err = check_data(d, seq_len);
  if (!err && *seq_len == 0)
    err = hy_fail(HY_EDECK, "data.seq_len: not set; job.kind='bench' needs it");
  return err;
}

/* A job that only runs a model: its weights. */
static int
plan_weights(const hy_deck *d, const hy_grid *grid)
{
  hy_model m;
  int err = hy_model_plan(&m, &d->model, grid, 0);

  if (err)
    return err;
  hy_dry_model(&m.plan);
  printf("memory per rank (bytes)\n");
  hy_dry_row("weights, fp32", 4.0 * (double)m.params.n_total);
  hy_model_free(&m);
  return HY_OK;
}

int
hy_dry_run(hy_deck *deck, int n_ranks)
{
  int trains =
      !strcmp(deck->job.kind, "pretrain") || !strcmp(deck->job.kind, "bench");
  hy_buf text = {0};
  int64_t seq_len = 0;
  hy_grid grid;
  int err = hy_source_resolve(deck, &alone);

  if (!err)
    err = hy_blend_file_resolve(deck, &alone);
  if (err)
    return err;
  hy_deck_print(deck, &text, 0);
  if (!deck->grid.n_ranks)
    deck->grid.n_ranks = n_ranks;
  err = hy_grid_plan(&grid, &deck->grid, 0, NULL);
  grid.row_len = deck->data.seq_len;
  if (!err) {
    printf("! resolved deck\n%s", text.data);
    printf("layout  %d ranks = pp %d, dp %d, cp %d, tp %d; ep %d\n",
           grid.world.size, grid.pp.size, grid.dp.size, grid.cp.size,
           grid.tp.size, grid.ep.size);
  }
  free(text.data);
  if (err)
    return err;
  if (trains) {
    err = check_training(deck, &seq_len);
    return err ? err : plan_training(deck, grid.dp.size, seq_len);
  }
  return deck->model.pattern[0] ? plan_weights(deck, &grid) : HY_OK;
}
