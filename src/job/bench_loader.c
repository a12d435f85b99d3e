/* bench_loader.c: what of a training step goes into its data. */
#include "job/bench_data.h"
#include "base/err.h"
#include "base/median.h"
#include "job/train_setup.h"
#include "optim/lr.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2 }; /* steps that fill caches and are not counted */

/* The loader of a step, and the seconds spent in it. */
typedef struct {
  hy_loader *l;
  double seconds;
} timed;

static int
get_micro(void *arg, int64_t i, hy_batch *b)
{
  timed *t = arg;
  double start = MPI_Wtime();
  int err = hy_loader_micro(t->l, i, b);

  t->seconds += MPI_Wtime() - start;
  return err;
}

/* Seconds of one step, all and in the loader. */
static int
time_step(hy_train *r, int64_t step, double *all, double *loader)
{
  const hy_deck *d = r->deck;
  timed t = {.l = r->train};
  hy_batch_source src = {0, get_micro, &t};
  hy_step_result s;
  double start;
  int err;

  hy_agree(&r->grid->world, HY_OK); /* no rank begins before the others */
  start = MPI_Wtime();
  err = hy_loader_step(r->train, step);
  t.seconds = MPI_Wtime() - start;
  if (err)
    return err;
  src.n_micro = hy_loader_n_micro(r->train);
  err = hy_trainer_step(
      &r->trainer, &src, step + 1,
      hy_lr(&d->optim, step + 1, d->data.global_batch, r->seq_len), &s);
  *all = MPI_Wtime() - start;
  *loader = t.seconds;
  return err;
}

static int
run_steps(hy_train *r)
{
  int64_t n = r->deck->optim.n_steps;
  double *all = hy_calloc((size_t)n + WARM_UP, sizeof *all);
  double *loader = hy_calloc((size_t)n + WARM_UP, sizeof *loader);
  int err = HY_OK;

  for (int64_t i = 0; i < n + WARM_UP && !err; i++)
    err = time_step(r, i, &all[i], &loader[i]);
  if (!err && r->grid->world.rank == 0) {
    double a = hy_median(all + WARM_UP, n);
    double l = hy_median(loader + WARM_UP, n);

    printf("loader: %lld steps of %lld rows of %lld tokens, median %.3f ms of "
           "a step of %.1f ms, %.3f %%\n",
           (long long)n, (long long)r->deck->data.global_batch,
           (long long)r->seq_len, l * 1e3, a * 1e3, 100 * l / a);
  }
  free(all);
  free(loader);
  return err;
}

int
hy_bench_loader(hy_deck *d, const hy_grid *grid)
{
  hy_train *r = hy_calloc(1, sizeof *r);
  int err = hy_train_setup(r, d, grid);

  if (!err)
    err = run_steps(r);
  hy_train_free(r);
  free(r);
  return err;
}
