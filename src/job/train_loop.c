#include "job/train_loop.h"
#include "job/post_mortem.h"
#include "base/err.h"
#include "data/ngram.h"
#include "grid/watch.h"
#include "optim/lr.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
get_micro(void *arg, int64_t i, hy_batch *b)
{
  return hy_loader_micro(arg, i, b);
}

/* A validation may take long: a signal ends it, on all ranks alike because
 * they agree on the code. Pipeline stages do not: what is under way between
 * them has to arrive. */
typedef struct {
  const hy_grid *grid;
  hy_loader *from;
} held_out;

static int
get_valid(void *arg, int64_t i, hy_batch *b)
{
  const held_out *h = arg;

  if (h->grid->pp.size == 1 && hy_watcher_signal(h->grid->watch))
    return HY_ESIGNAL;
  return hy_loader_micro(h->from, i, b);
}

/* Mean loss over `most` rows of data.valid or data.test (0: all), weighted by
 * their targets; NAN when a signal has ended it. */
static int
measure(hy_train *r, hy_loader *from, int64_t most, double *loss)
{
  const hy_deck *d = r->deck;
  int64_t n = hy_loader_n_rows(from), all = most;
  held_out h = {r->grid, from};
  hy_batch_source src = {0, get_valid, &h};
  int err;

  if (n >= 0 && (all == 0 || all > n))
    all = n;
  if (n < 0 && all == 0)
    all = 8 * d->data.global_batch; /* mock has no end */
  err = hy_loader_rows(from, 0, all);
  if (err)
    return err;
  src.n_micro = hy_loader_n_micro(from);
  err = hy_trainer_valid(&r->trainer, &src, loss);
  if (err != HY_ESIGNAL)
    return err;
  *loss = NAN;
  return HY_OK;
}

static int
validate(hy_train *r, double *loss)
{
  return measure(r, r->valid, r->deck->log.valid_rows, loss);
}

static double
largest_mem(const hy_train *r)
{
  int64_t bytes = (int64_t)hy_backend_of(r->grid)->mem->used();

  return (double)hy_max_i64(&r->grid->world, bytes) / (1 << 30);
}

static double
mean_mtp(const hy_train *r, const hy_step_result *s)
{
  int n = r->model.plan.n_depth;
  double sum = 0;

  for (int k = 0; k < n; k++)
    sum += s->mtp[k];
  return n ? sum / n : NAN;
}

static int
due(int64_t step, int64_t every, int64_t last)
{
  return every > 0 && (step % every == 0 || step == last);
}

/* Line and history of a step; speed is that since the last line. */
static int
report(hy_train *r, const hy_step_result *s, double rate, int valid_due)
{
  const hy_deck *d = r->deck;
  double now, dt, valid = NAN;
  hy_history_row row;
  int err = HY_OK;

  now = MPI_Wtime();
  dt = now - r->mark;
  if (valid_due)
    err = validate(r, &valid);
  if (err)
    return err;
  row = (hy_history_row){.step = r->step,
                         .tokens = r->tokens,
                         .loss = s->loss,
                         .valid_loss = valid,
                         .lr = rate,
                         .gnorm = s->norm,
                         .tok_s = r->since / dt,
                         .tflops = r->since / dt * r->flops_per_token / 1e12,
                         .mem = largest_mem(r),
                         .mtp_loss = mean_mtp(r, s),
                         .aux_loss = d->model.aux_coef > 0 ? s->aux : NAN,
                         .max_vio = d->model.n_experts ? s->max_vio : NAN,
                         .margin = d->model.n_experts ? s->margin : NAN};
  if (valid_due)
    r->last_valid = valid;
  if (r->grid->world.rank == 0) {
    hy_step_line(&row, d->optim.n_steps,
                 dt / (double)(r->step - r->mark_step) *
                     (double)(d->optim.n_steps - r->step));
    err = hy_history_add(r->history, &row);
  }
  r->mark = MPI_Wtime();
  r->mark_step = r->step;
  r->since = 0;
  return hy_agree(&r->grid->world, err);
}

static int
one_step(hy_train *r)
{
  const hy_deck *d = r->deck;
  int64_t last = d->optim.n_steps;
  hy_batch_source src = {0, get_micro, r->train};
  hy_step_result s = {.norm = NAN};
  double rate = hy_lr(&d->optim, r->step + 1, d->data.global_batch, r->seq_len);
  double begin = MPI_Wtime();
  int valid_due, err;

  hy_step_meter_begin(&r->meter, r->grid);
  err = hy_loader_step(r->train, r->step);
  if (err)
    return err;
  src.n_micro = hy_loader_n_micro(r->train);
  r->grid->meter->step = r->step + 1;
  err = hy_trainer_step(&r->trainer, &src, r->step + 1, rate, &s);
  if (err == HY_EDIVERGED)
    hy_train_post_mortem(r, &s);
  if (err)
    return err;
  hy_step_meter_end(&r->meter, r->grid);
  r->in_steps += MPI_Wtime() - begin;
  r->step++;
  r->samples += d->data.global_batch;
  r->tokens += (int64_t)s.tokens;
  r->since += s.tokens;
  valid_due =
      r->valid && (due(r->step, d->log.valid_every, last) || r->step == last);
  if (valid_due || r->step == r->first_step + 1 ||
      due(r->step, d->log.every, last))
    err = report(r, &s, rate, valid_due);
  if (!err && due(r->step, d->ckpt.save_every, last))
    err = hy_train_save(r);
  return err;
}

/* Has any rank got a signal? Then all save what is not saved and end with
 * HY_ESIGNAL. Collective. */
static int
heed_signal(hy_train *r)
{
  int64_t sig = hy_max_i64(&r->grid->world, hy_watcher_signal(r->grid->watch));
  const char *name = sig == SIGUSR1 ? "SIGUSR1" : "SIGTERM";
  int err = HY_OK;

  if (sig == 0)
    return HY_OK;
  if (r->step > r->saved)
    err = hy_train_save(r);
  if (!err)
    err = hy_train_save_wait(r);
  if (err)
    return err;
  fflush(stdout);
  if (r->grid->world.rank == 0 && r->step > 0)
    fprintf(stderr,
            "hymn: saved step %lld on %s; start it again with "
            "ckpt.load='auto'\n",
            (long long)r->step, name);
  else if (r->grid->world.rank == 0)
    fprintf(stderr, "hymn: ended by %s before the first step; start it again\n",
            name);
  return HY_ESIGNAL;
}

/* What counting alone reaches on the same data. */
static int
print_ngrams(const hy_train *r)
{
  const hy_deck *d = r->deck;
  hy_comm self = hy_comm_of(MPI_COMM_SELF);
  hy_packed *train = NULL, *valid = NULL;
  double unigram, bigram;
  int err = hy_packed_open(&train, d->data.train.path[0], &self);

  if (!err)
    err = hy_packed_open(&valid, d->data.valid.path[0], &self);
  if (!err)
    err = hy_ngram_losses(train, valid, d->model.vocab, &unigram, &bigram);
  if (!err)
    printf("baselines on the same data: unigram %.4f  bigram %.4f (nats per "
           "token)\n",
           unigram, bigram);
  hy_packed_free(train);
  hy_packed_free(valid);
  return err;
}

/* 1 for one packed file alone. */
static int
is_packed(const hy_loader *l)
{
  const hy_blend *b = hy_loader_blend(l);

  return hy_blend_n_sources(b) == 1 &&
         !strcmp(hy_blend_source(b, 0)->type->name, "packed");
}

static int
summary(hy_train *r, double seconds)
{
  const hy_deck *d = r->deck;
  const hy_pipe *p = &r->trainer.pipe;
  size_t used = 0, planned = 0;
  int err = HY_OK;

  if (r->grid->world.rank != 0)
    return HY_OK;
  for (int i = 0; i < p->n_ctx; i++) {
    used += hy_workspace_bytes(&p->ctx[i]);
    planned += hy_workspace_planned(&p->ctx[i]);
  }
  printf("done: %lld steps, %lld tokens, %.1f s\n", (long long)r->step,
         (long long)r->tokens, seconds);
  printf("memory of rank 0: arenas %.1f MiB used of %.1f MiB planned, weights "
         "and optimizer %.1f MiB, %s %.1f MiB of which %.1f MiB before "
         "the model\n",
         (double)used / (1 << 20), (double)planned / (1 << 20),
         (double)r->model_bytes / (1 << 20),
         hy_backend_of(r->grid)->host_memory ? "process" : "GPU",
         (double)hy_backend_of(r->grid)->mem->used() / (1 << 20),
         (double)r->base_mem / (1 << 20));
  if (r->valid)
    printf("validation loss %.4f (first %.4f, lower by %.4f)\n", r->last_valid,
           r->first_valid, r->first_valid - r->last_valid);
  if (r->test)
    printf("test loss %.4f\n", r->test_loss);
  hy_data_print(r->train, &d->data, r->step, 1);
  if (r->step > r->first_step)
    printf("batches: %.3f ms of a step's %.1f (%.2f %%)\n",
           1e3 * hy_loader_seconds(r->train) /
               (double)(r->step - r->first_step),
           1e3 * r->in_steps / (double)(r->step - r->first_step),
           100 * hy_loader_seconds(r->train) / r->in_steps);
  if (r->valid && is_packed(r->train) && is_packed(r->valid))
    err = print_ngrams(r);
  if (d->log.plot)
    hy_history_plot(d->job.dir, d->job.name);
  return err;
}

static int
run_steps(hy_train *r)
{
  double start = MPI_Wtime();
  int err = HY_OK;

  if (r->grid->world.rank == 0)
    printf("start to first step: %.2f s%s\n", start - r->born,
           r->valid ? " (the validation before it not counted)" : "");
  if (r->valid)
    err = validate(r, &r->first_valid);
  if (!err && r->valid && r->grid->world.rank == 0)
    printf("validation loss before step %lld: %.4f\n", (long long)r->step + 1,
           r->first_valid);
  r->last_valid = r->first_valid;
  r->mark = MPI_Wtime();
  r->mark_step = r->first_step = r->saved = r->step;
  while (!err && r->step < r->deck->optim.n_steps) {
    err = heed_signal(r);
    if (!err)
      err = one_step(r);
    if (!err)
      err = hy_train_save_go_on(r);
  }
  if (!err) {
    hy_step_meter_print_sent(&r->meter, r->grid);
    hy_print_taken(r->base_mem, r->grid);
  }
  if (!err && r->test)
    err = measure(r, r->test, 0, &r->test_loss);
  if (!err && r->step == r->first_step && r->deck->ckpt.save_every)
    err = hy_train_save_last(r);
  if (!err)
    err = hy_train_save_wait(r);
  if (!err)
    err = hy_agree(&r->grid->world, summary(r, MPI_Wtime() - start));
  return err;
}

int
hy_train_run(hy_deck *deck, const hy_grid *grid)
{
  hy_train *r = hy_calloc(1, sizeof *r);
  int err = hy_train_setup(r, deck, grid);
  if (!err)
    err = run_steps(r);
  hy_train_free(r);
  free(r);
  return err;
}
