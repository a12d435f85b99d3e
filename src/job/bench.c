/* bench: training steps on random tokens against the product rate of the same
 * process, measured between the steps so that both meet the same machine. */
#include "base/err.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "grid/threads.h"
#include "job/job.h"
#include "model/workspace.h"
#include "model/count.h"
#include "optim/lr.h"
#include "optim/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2 }; /* steps that fill caches and are not counted */

typedef struct {
  hy_batch all;
  int64_t micro;
} bench_rows;

/* Rows of random tokens, each one document; the same every step. */
static void
make_rows(bench_rows *r, const hy_deck *d)
{
  int64_t s = d->data.seq_len, n = d->data.global_batch * s;
  uint64_t key = hy_rng_key((uint64_t)d->job.seed, "bench");
  hy_batch *b = &r->all;

  *b = (hy_batch){.n_rows = d->data.global_batch,
                  .seq_len = s,
                  .n_tokens = n,
                  .n_target = (double)(n - d->data.global_batch),
                  .n_docs = (double)d->data.global_batch,
                  .n_real = (double)n};
  b->token = hy_malloc((size_t)n * sizeof *b->token);
  b->target = hy_calloc((size_t)n, sizeof *b->target);
  b->weight = hy_calloc((size_t)n, sizeof *b->weight);
  b->seq_start = hy_malloc((size_t)n * sizeof *b->seq_start);
  b->pad = hy_calloc((size_t)n, sizeof *b->pad);
  for (int64_t t = 0; t < n; t++) {
    b->token[t] =
        (int32_t)(hy_rng_u64(key, (uint64_t)t) % (uint64_t)d->model.vocab);
    b->seq_start[t] = (int32_t)(t % (d->data.micro_batch * s) / s * s);
    if (t % s) {
      b->target[t - 1] = b->token[t];
      b->weight[t - 1] = 1;
    }
  }
}

static int
get_micro(void *arg, int64_t i, hy_batch *b)
{
  const bench_rows *r = arg;
  int64_t at = i * r->micro * r->all.seq_len;

  *b = r->all;
  b->n_rows = r->micro;
  b->n_tokens = r->micro * b->seq_len;
  b->token += at;
  b->target += at;
  b->weight += at;
  b->seq_start += at;
  b->pad += at;
  return HY_OK;
}

static int
by_value(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return x < y ? -1 : x > y;
}

static int
run_steps(hy_deck *d, hy_trainer *t, bench_rows *rows, double flops)
{
  int64_t n = d->optim.n_steps;
  double *rate = hy_malloc((size_t)n * sizeof *rate), peak, median;
  hy_batch_source src = {d->data.global_batch / rows->micro, get_micro, rows};
  hy_step_result s;
  int err = HY_OK;

  peak = cpu_sgemm_rate(t->n_threads, 3);
  for (int64_t i = -WARM_UP; i < n && !err; i++) {
    double start = MPI_Wtime(), x;

    err = hy_trainer_step(t, &src, i + WARM_UP + 1,
                          hy_lr(&d->optim, i + WARM_UP + 1, 1, 1), &s);
    start = MPI_Wtime() - start;
    x = cpu_sgemm_rate(t->n_threads, 3);
    peak = x > peak ? x : peak;
    if (i < 0 || err)
      continue;
    rate[i] = rows->all.n_real / start;
    printf("step %lld  loss %.4f  tok/s %.0f\n", (long long)i + 1, s.loss,
           rate[i]);
    fflush(stdout);
  }
  if (!err) {
    qsort(rate, (size_t)n, sizeof *rate, by_value);
    median = (rate[(n - 1) / 2] + rate[n / 2]) / 2;
    printf("median tok/s %.0f  GFLOP/s %.1f  sgemm %.1f  of sgemm %.3f\n",
           median, median * flops / 1e9, peak / 1e9, median * flops / peak);
  }
  free(rate);
  return err;
}

static int
check_deck(const hy_deck *d, const hy_grid *grid)
{
  if (grid->world.size > 1)
    return hy_fail(HY_EDECK, "job.kind='bench': runs on one rank; start it "
                             "with mpirun -n 1");
  if (d->data.seq_len == 0 || d->data.global_batch % d->data.micro_batch)
    return hy_fail(HY_EDECK,
                   "job.kind='bench': needs data.seq_len, and "
                   "data.micro_batch=%lld must divide data.global_batch=%lld",
                   (long long)d->data.micro_batch,
                   (long long)d->data.global_batch);
  if (d->optim.n_steps < 1)
    return hy_fail(HY_EDECK, "optim.n_steps: at least 1 for job.kind='bench'");
  return hy_lr_check(&d->optim);
}

static int
bench_run(hy_deck *d, const hy_grid *grid)
{
  bench_rows rows = {0};
  hy_model model = {0};
  hy_trainer t = {0};
  double flops = 0;
  int n_threads = hy_threads_of(d, grid);
  int err = hy_agree(&grid->world, check_deck(d, grid));

  if (!err)
    err = hy_model_new(&model, &d->model, grid, 1);
  if (err)
    return err;
  hy_params_init(&model.params, (uint64_t)d->job.seed);
  err = hy_trainer_new(&t, &model, grid, n_threads, d->data.micro_batch,
                       d->data.seq_len, HY_WS_TRAIN,
                       d->data.global_batch / d->data.micro_batch);
  flops = (t.ctx->planned.fwd + t.ctx->planned.bwd) /
          (double)(d->data.micro_batch * d->data.seq_len);
  printf("parameters %lld  FLOP/token %.3e  threads %d  BLAS kernels %s\n",
         (long long)hy_plan_n_params(&model.plan), flops, n_threads,
         cpu_blas_kernels());
  hy_adamw_set(&t.opt, &d->optim);
  rows.micro = d->data.micro_batch;
  make_rows(&rows, d);
  if (!err)
    err = run_steps(d, &t, &rows, flops);
  free(rows.all.token);
  free(rows.all.target);
  free(rows.all.weight);
  free(rows.all.seq_start);
  free(rows.all.pad);
  hy_trainer_free(&t);
  hy_model_free(&model);
  return err;
}

const hy_job hy_job_bench = {
    .name = "bench",
    .help = "time training steps against the product rate of the machine",
    .run = bench_run};
