/* bench: training steps on random tokens against the product rate of the same
 * process, measured between the steps so that both meet the same machine. */
#include "base/err.h"
#include "base/median.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "gpu/device.h"
#include "data/cut.h"
#include "grid/threads.h"
#include "job/job.h"
#include "job/train_meter.h"
#include "model/workspace.h"
#include "model/count.h"
#include "op/timer.h"
#include "optim/lr.h"
#include "optim/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2 }; /* steps that fill caches and are not counted */

typedef struct {
  hy_batch all; /* rows of this rank's dp share, with all their tokens */
  hy_cut *cut;  /* what cp leaves of a micro-batch */
  int64_t micro;
} bench_rows;

/* Rows of random tokens, each one document; the same every step, and the same
 * rows for any number of ranks. */
static void
make_rows(bench_rows *r, const hy_deck *d, const hy_grid *grid)
{
  int64_t s = d->data.seq_len, rows = d->data.global_batch / grid->dp.size;
  int64_t n = rows * s, first = n * grid->dp.rank;
  double n_rows = (double)d->data.global_batch;
  uint64_t key = hy_rng_key((uint64_t)d->job.seed, "bench");
  hy_batch *b = &r->all;

  *b = (hy_batch){.n_rows = rows,
                  .seq_len = s,
                  .n_tokens = n,
                  .n_target = n_rows * (double)(s - 1),
                  .n_docs = n_rows,
                  .n_real = n_rows * (double)s};
  b->token = hy_malloc((size_t)n * sizeof *b->token);
  b->target = hy_calloc((size_t)n, sizeof *b->target);
  b->weight = hy_calloc((size_t)n, sizeof *b->weight);
  b->seq_start = hy_malloc((size_t)n * sizeof *b->seq_start);
  b->pad = hy_calloc((size_t)n, sizeof *b->pad);
  for (int64_t t = 0; t < n; t++) {
    b->token[t] = (int32_t)(hy_rng_u64(key, (uint64_t)(first + t)) %
                            (uint64_t)d->model.vocab);
    b->seq_start[t] = (int32_t)(t % (d->data.micro_batch * s) / s * s);
    if (t % s) {
      b->target[t - 1] = b->token[t];
      b->weight[t - 1] = 1;
    }
  }
}

static void
free_rows(bench_rows *r)
{
  free(r->all.token);
  free(r->all.target);
  free(r->all.weight);
  free(r->all.seq_start);
  free(r->all.pad);
  hy_cut_free(r->cut);
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
  if (r->cut)
    hy_cut_rows(r->cut, b, b);
  return HY_OK;
}

/* FLOP/s of large products on all ranks at once. */
static double
product_rate(const hy_trainer *t)
{
  double rate;

  hy_agree(&t->grid->world, HY_OK); /* no rank begins before the others */
  rate = hy_backend_of(t->grid)->product_rate(t->n_threads, 3);
  hy_sum_f64(&t->grid->world, &rate, 1);
  return rate;
}

/* FLOPs of a token, all ranks together. */
typedef struct {
  double all, head;
} bench_flops;

static void
print_rate(double *rate, int64_t n, const bench_flops *f, double peak,
           const char *product)
{
  double median = hy_median(rate, n);

  printf("without the output head: GFLOP/s %.1f  of %s %.3f\n",
         median * (f->all - f->head) / 1e9, product,
         median * (f->all - f->head) / peak);
  printf("median tok/s %.0f  GFLOP/s %.1f  %s %.1f  of %s %.3f\n", median,
         median * f->all / 1e9, product, peak / 1e9, product,
         median * f->all / peak);
}

static const int32_t *
take_even(void *arg, const hy_ctx *c, int64_t rows, int64_t top_k)
{
  (void)c;
  (void)rows;
  (void)top_k;
  return arg;
}

/* Experts t k, t k + 1, ... of n for token t, ascending. */
static int
balance(hy_trainer *t, const hy_deck *d)
{
  const hy_backend *be = hy_backend_of(t->grid);
  int64_t T = d->data.micro_batch * d->data.seq_len, k = d->model.top_k;
  int64_t n = d->model.n_experts;
  int32_t *e = hy_malloc((size_t)(T * k) * sizeof *e), *there;

  for (int64_t i = 0; i < T; i++) {
    int64_t first = i * k % n, wrapped = first + k > n ? first + k - n : 0;

    for (int64_t j = 0; j < k; j++)
      e[i * k + j] = (int32_t)(j < wrapped ? j : first + j - wrapped);
  }
  there = be->mem->get((size_t)(T * k) * sizeof *e);
  if (there)
    be->mem->load(there, e, (size_t)(T * k) * sizeof *e);
  free(e);
  for (int i = 0; i < t->pipe.n_ctx; i++) {
    t->ctx[i].choose = take_even;
    t->ctx[i].choose_arg = there;
  }
  return there ? HY_OK : hy_fail(HY_ERES, "memory: no room for the routing");
}

/* One more step, each op by itself. */
static int
time_ops(hy_trainer *t, const hy_batch_source *src, const hy_deck *d,
         double peak)
{
  enum { STEPS = 3 };
  const hy_backend *be = hy_backend_of(t->grid);
  double copy = be->copy_rate(t->n_threads, 5);
  hy_timer timer = {0};
  hy_step_result s;
  int err = HY_OK;

  t->pipe.recorder.on = 0;
  for (int i = 0; i < t->pipe.n_ctx; i++)
    t->ctx[i].timer = &timer;
  for (int i = 0; i < STEPS && !err; i++)
    err = hy_trainer_step(t, src, d->optim.n_steps + 3 + i, d->optim.lr, &s);
  for (int i = 0; i < t->pipe.n_ctx; i++)
    t->ctx[i].timer = NULL;
  if (!err && t->grid->world.rank == 0)
    hy_timer_print(&timer, peak / t->grid->world.size, copy, STEPS);
  return err;
}

static int
run_steps(hy_deck *d, hy_trainer *t, bench_rows *rows, const bench_flops *flops)
{
  int64_t n = d->optim.n_steps;
  double *rate = hy_malloc((size_t)n * sizeof *rate), peak = product_rate(t);
  int speaks = t->grid->world.rank == 0;
  hy_batch_source src = {rows->all.n_rows / rows->micro, get_micro, rows};
  hy_step_meter meter = {0};
  hy_step_result s;
  int err = HY_OK;

  for (int64_t i = -WARM_UP; i < n && !err; i++) {
    double start = MPI_Wtime(), x;

    if (i >= 0)
      hy_step_meter_begin(&meter, t->grid);
    err = hy_trainer_step(t, &src, i + WARM_UP + 1,
                          hy_lr(&d->optim, i + WARM_UP + 1, 1, 1), &s);
    start = MPI_Wtime() - start;
    if (i >= 0)
      hy_step_meter_end(&meter, t->grid);
    x = product_rate(t);
    peak = x > peak ? x : peak;
    if (i < 0 || err)
      continue;
    rate[i] = rows->all.n_real / start;
    if (speaks)
      printf("step %lld  loss %.4f  tok/s %.0f\n", (long long)i + 1, s.loss,
             rate[i]);
  }
  if (!err) {
    hy_step_meter_print_sent(&meter, t->grid);
    hy_step_meter_print_waited(&meter, t->grid);
  }
  if (!err && d->bench.ops)
    err = time_ops(t, &src, d, peak);
  if (!err && speaks)
    print_rate(rate, n, flops, peak, hy_backend_of(t->grid)->product_name);
  free(rate);
  return err;
}

static int
check_deck(const hy_deck *d, const hy_grid *grid)
{
  int64_t n = d->data.micro_batch * grid->dp.size;

  if (d->data.seq_len == 0 || d->data.global_batch % n)
    return hy_fail(HY_EDECK,
                   "job.kind='bench': needs data.seq_len, and "
                   "data.micro_batch=%lld times dp=%d must divide "
                   "data.global_batch=%lld",
                   (long long)d->data.micro_batch, grid->dp.size,
                   (long long)d->data.global_batch);
  if (d->optim.n_steps < 1)
    return hy_fail(HY_EDECK, "optim.n_steps: at least 1 for job.kind='bench'");
  return hy_lr_check(&d->optim);
}

/* Forward and backward; the output head once for each prediction. */
static bench_flops
flops_of(const hy_trainer *t, const hy_deck *d)
{
  bench_flops f;

  f.all = (t->ctx->planned.fwd + t->ctx->planned.bwd) /
          (double)(d->data.micro_batch * t->grid->dp.size);
  hy_sum_f64(&t->grid->world, &f.all, 1);
  f.all /= (double)d->data.seq_len;
  f.head = 6 * (double)d->model.d_model * (double)d->model.vocab *
           (double)(1 + t->model->plan.n_depth);
  return f;
}

static void
hello(const hy_trainer *t, const bench_flops *f)
{
  const char *gpu = hy_device_line(t->grid);

  if (t->grid->world.rank != 0)
    return;
  if (*gpu)
    printf("%s\n", gpu);
  printf("parameters %lld  FLOP/token %.3e (head %.3f of it)  ranks %d  "
         "threads %d  BLAS kernels %s\n",
         (long long)hy_plan_n_params(&t->model->plan), f->all, f->head / f->all,
         t->grid->world.size, t->n_threads, cpu_blas_kernels());
}

static int
bench_steps(hy_deck *d, hy_model *model, const hy_grid *grid, int n_threads)
{
  bench_rows rows = {.micro = d->data.micro_batch};
  hy_trainer t = {0};
  hy_cut_layout cut = hy_cut_layout_of(grid, d->model.mamba_d_conv);
  int64_t n_micro = d->data.global_batch / (rows.micro * grid->dp.size);
  bench_flops flops;
  int err = hy_agree(&grid->world,
                     hy_trainer_new(&t, model, grid, n_threads, rows.micro,
                                    d->data.seq_len, HY_WS_TRAIN, n_micro));

  if (!err && grid->seq.size > 1)
    err = hy_agree(&grid->world,
                   hy_cut_new(&rows.cut, &cut, rows.micro, d->data.seq_len, 0));
  if (!err && d->job.graph)
    err = hy_agree(&grid->world, hy_trainer_record(&t));
  if (!err && d->bench.balanced && d->model.n_experts)
    err = hy_agree(&grid->world, balance(&t, d));
  if (!err) {
    flops = flops_of(&t, d);
    hello(&t, &flops);
    hy_adamw_set(&t.opt, &d->optim);
    make_rows(&rows, d, grid);
    err = run_steps(d, &t, &rows, &flops);
  }
  if (t.ctx && t.ctx->choose_arg)
    hy_backend_of(grid)->mem->put(t.ctx->choose_arg);
  free_rows(&rows);
  hy_trainer_free(&t);
  return err;
}

static int
bench_run(hy_deck *d, const hy_grid *grid)
{
  hy_model model = {0};
  int n_threads = hy_threads_of(d, grid);
  int err = hy_agree(&grid->world, check_deck(d, grid));

  if (!err)
    err = hy_agree(&grid->world, hy_model_new_zero(&model, &d->model, grid,
                                                   hy_params_how(&d->optim)));
  if (!err)
    err = hy_model_recompute(&model, d->optim.recompute);
  if (err) {
    hy_model_free(&model);
    return err;
  }
  hy_params_init(&model.params, (uint64_t)d->job.seed);
  err = bench_steps(d, &model, grid, n_threads);
  hy_model_free(&model);
  return err;
}

const hy_job hy_job_bench = {
    .name = "bench",
    .help = "time training steps against the product rate of the machine",
    .computes = 1,
    .run = bench_run};
