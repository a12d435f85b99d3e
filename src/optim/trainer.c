#include "optim/trainer.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/workspace.h"
#include "optim/bucket.h"
#include "optim/update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void
set_count(hy_trainer *t, int64_t *count)
{
  for (int i = 0; i < t->pipe.n_ctx; i++)
    t->pipe.ctx[i].count = count;
}

/* What a step adds up, and room for sums over ranks. */
static int
get_sums(hy_trainer *t)
{
  const hy_mem *mem = t->model->params.be->mem;
  size_t n = hy_update_n_count(t->model);
  float infinity = INFINITY;

  t->scratch = mem->get(HY_BUCKET * sizeof *t->scratch);
  t->count = mem->get(n * sizeof *t->count);
  t->sums = mem->get(sizeof *t->sums);
  t->seen = hy_calloc(n, sizeof *t->seen);
  if (!t->scratch || !t->count || !t->sums)
    return hy_fail(HY_ERES,
                   "memory: no room for %zu bytes of sums; use more ranks",
                   HY_BUCKET * sizeof *t->scratch + n * sizeof *t->count);
  mem->load(&t->sums->infinity, &infinity, sizeof infinity);
  return HY_OK;
}

int
hy_trainer_new(hy_trainer *t, hy_model *m, const hy_grid *grid, int n_threads,
               int64_t n_rows, int64_t seq_len, int what, int64_t n_micro)
{
  int err;

  *t = (hy_trainer){.model = m, .grid = grid, .n_threads = n_threads};
  hy_store_new(&t->store, &m->params, grid, 0);
  err =
      hy_pipe_new(&t->pipe, m, grid, n_threads, n_rows, seq_len, what, n_micro);
  if (!err)
    err = hy_adamw_new(&t->opt, &m->params);
  if (!err)
    err = get_sums(t);
  t->ctx = t->pipe.ctx;
  set_count(t, t->count);
  for (int i = 0; i < t->pipe.n_ctx && t->sums; i++)
    t->ctx[i].margin = &t->sums->margin;
  for (int i = 0; i < t->pipe.n_ctx && hy_store_active(&t->store); i++)
    t->ctx[i].fetch = &t->store.fetch;
  return err;
}

int
hy_trainer_record(hy_trainer *t)
{
  for (int i = 0; i < t->pipe.n_ctx; i++)
    t->ctx[i].fetch = NULL; /* its messages are not of the piece */
  return hy_pipe_record(&t->pipe);
}

void
hy_trainer_free(hy_trainer *t)
{
  const hy_mem *mem = t->model ? t->model->params.be->mem : NULL;

  if (!mem)
    return;
  hy_pipe_free(&t->pipe);
  hy_store_free(&t->store);
  hy_adamw_free(&t->opt);
  if (t->scratch)
    mem->put(t->scratch);
  if (t->count)
    mem->put(t->count);
  if (t->sums)
    mem->put(t->sums);
  free(t->seen);
  *t = (hy_trainer){0};
}

static void
read_losses(hy_trainer *t, hy_losses *l)
{
  t->model->params.be->mem->read(l, &t->sums->loss, sizeof *l);
}

static void
mean_losses(hy_trainer *t, const hy_batch *b, hy_losses *l, hy_step_result *r)
{
  r->own_loss = l->ce;
  hy_losses_sum(l, t->grid);
  r->loss = l->ce / fmax(b->n_target, 1);
  r->aux = l->aux;
  for (int k = 0; k < HY_AHEAD_MAX; k++)
    r->mtp[k] = k < b->n_ahead ? l->mtp[k] / fmax(b->n_ahead_target[k], 1) : 0;
  r->tokens = b->n_real;
}

int
hy_trainer_step(hy_trainer *t, const hy_batch_source *src, int64_t step,
                double rate, hy_step_result *r)
{
  hy_losses l;
  hy_batch b = {0};
  int err;

  hy_update_begin(t, src->n_micro);
  err = hy_pipe_run(&t->pipe, src, 1, &t->sums->loss, &b);
  if (err)
    return err;
  read_losses(t, &l);
  mean_losses(t, &b, &l, r);
  return hy_update(t, step, rate, r);
}

int
hy_trainer_valid(hy_trainer *t, const hy_batch_source *src, double *loss)
{
  hy_losses l;
  hy_batch b = {0};
  int err;

  set_count(t, NULL);
  hy_store_begin(&t->store, 0, 0);
  t->model->params.be->mem->zero(&t->sums->loss, sizeof l);
  err = hy_pipe_run(&t->pipe, src, 0, &t->sums->loss, &b);
  set_count(t, t->count);
  read_losses(t, &l);
  hy_losses_sum(&l, t->grid);
  *loss = l.ce / fmax(b.n_target, 1);
  return err;
}
