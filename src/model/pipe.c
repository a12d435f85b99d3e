#include "model/pipe.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/schedule.h"
#include "model/workspace.h"
#include "op/columns.h"
#include "op/region.h"

#include <stdlib.h>
#include <string.h>

/* Of an activation, and of its gradient. */
static size_t
n_bytes(const hy_tensor *t)
{
  return hy_bytes(t->fmt, t->dim[0] * t->ld);
}

size_t
hy_pipe_bytes(const hy_ctx *plan, int n_ctx)
{
  return plan->pipe.in ? (size_t)(n_ctx + 1) * n_bytes(plan->pipe.in) : 0;
}

/* One slot more than contexts: the next micro-batch arrives while all are
 * busy. */
static int
get_slots(hy_pipe *p, int64_t n_rows, int64_t seq_len)
{
  const hy_grid *g = p->grid;
  const hy_backend *be = hy_backend_of(g);
  int n_ahead = p->model->plan.n_depth;
  size_t n = (size_t)p->n_slot;

  p->room = hy_calloc(n, sizeof *p->room);
  p->batch = hy_calloc(n, sizeof *p->batch);
  p->here = hy_calloc(n, sizeof *p->here);
  if (g->pp.size == 1)
    return HY_OK;
  for (int i = 0; i < p->n_slot; i++)
    hy_batch_room(&p->room[i], n_rows, seq_len, g->cp.size, g->cp.rank,
                  n_ahead);
  if (g->pp.rank == 0)
    return HY_OK;
  p->bytes = hy_bytes(be->act, hy_stream_rows(g, p->room[0].n_tokens) *
                                   p->model->cfg->d_model);
  p->inbox = be->mem->get(n * p->bytes);
  return p->inbox ? HY_OK
                  : hy_fail(HY_ERES,
                            "no memory for the %.1f GiB that come from the "
                            "stage before",
                            (double)(n * p->bytes) / (1 << 30));
}

/* Where activations of micro-batches in slot s arrive. */
static void *
inbox(const hy_pipe *p, int64_t s)
{
  return p->inbox ? (char *)p->inbox + (size_t)s * p->bytes : NULL;
}

int
hy_pipe_new(hy_pipe *p, const hy_model *m, const hy_grid *grid, int n_threads,
            int64_t n_rows, int64_t seq_len, int what, int64_t n_micro)
{
  int err;

  *p = (hy_pipe){.model = m, .grid = grid};
  p->n_ctx = hy_schedule_in_flight(grid->pp.size, grid->pp.rank, n_micro);
  p->n_slot = grid->pp.size > 1 ? p->n_ctx + 1 : 1;
  p->ctx = hy_calloc((size_t)p->n_ctx, sizeof *p->ctx);
  p->sent = hy_calloc((size_t)p->n_ctx, sizeof *p->sent);
  p->back = hy_calloc((size_t)p->n_ctx, sizeof *p->back);
  err = get_slots(p, n_rows, seq_len);
  for (int i = 0; i < p->n_ctx && !err; i++)
    err = hy_workspace_new(&p->ctx[i], m, grid, n_threads, n_rows, seq_len,
                           i ? what & ~HY_WS_VALID : what);
  return err;
}

void
hy_pipe_free(hy_pipe *p)
{
  if (p->model)
    hy_recorder_free(&p->recorder, hy_backend_of(p->grid));
  for (int i = 0; i < p->n_ctx; i++) {
    hy_ctx_free(&p->ctx[i]);
    hy_pending_free(&p->sent[i]);
    hy_pending_free(&p->back[i]);
  }
  for (int i = 0; i < p->n_slot; i++) {
    hy_batch_free(&p->room[i]);
    hy_pending_free(&p->here[i]);
  }
  free(p->ctx);
  free(p->sent);
  free(p->back);
  free(p->room);
  free(p->batch);
  free(p->here);
  if (p->inbox)
    hy_backend_of(p->grid)->mem->put(p->inbox);
  *p = (hy_pipe){0};
}

void
hy_pipe_send_on(const hy_ctx *c, hy_pending *p)
{
  const hy_tensor *x = c->pipe.out;

  if (x)
    hy_send_start(p, &c->grid->pp, x->data, n_bytes(x), c->grid->pp.rank + 1);
}

void
hy_pipe_send_back(const hy_ctx *c, hy_pending *p)
{
  const hy_tensor *x = c->pipe.in;

  if (x)
    hy_send_start(p, &c->grid->pp, x->grad, n_bytes(x), c->grid->pp.rank - 1);
}

/* Micro-batch i into its slot, where its activations will come too. The rows
 * were read before, when the step was chosen: that they cannot be read now is
 * a fault, and other stages are waiting already. */
static int
prepare(hy_pipe *p, const hy_batch_source *src, int64_t i)
{
  const hy_grid *g = p->grid;
  int64_t s = i % p->n_slot, rows;
  hy_batch b = {0};
  int err = hy_agree(&g->stage, src->get(src->arg, i, &b));

  if (g->pp.size == 1) {
    p->batch[s] = b;
    return err;
  }
  if (err)
    hy_die(err, "%s", hy_err_text());
  hy_batch_copy(&p->batch[s], &p->room[s], &b, g->cp.size);
  rows = hy_stream_rows(g, b.n_tokens);
  if (g->pp.rank > 0)
    hy_recv_start(
        &p->here[s], &g->pp, inbox(p, s),
        hy_bytes(hy_backend_of(g)->act, rows * p->model->cfg->d_model),
        g->pp.rank - 1);
  return HY_OK;
}

static int
forward(hy_pipe *p, const hy_batch_source *src, int64_t i, int train,
        hy_losses *l)
{
  int64_t k = train ? i % p->n_ctx : 0, s = i % p->n_slot;
  hy_ctx *c = &p->ctx[k];
  int err = p->n_slot == 1 || i == 0 ? prepare(p, src, i) : HY_OK;

  if (err)
    return err;
  hy_wait(&p->sent[k]); /* what was sent lies where this will lie */
  hy_wait(&p->here[s]);
  hy_ctx_batch(c, &p->batch[s]);
  c->pipe.from = inbox(p, s);
  hy_ctx_reset(c, train);
  hy_model_loss(c, p->model, train, l);
  hy_pipe_send_on(c, &p->sent[k]);
  if (train && c->pipe.out)
    hy_recv_start(&p->back[k], &p->grid->pp, c->pipe.out->grad,
                  n_bytes(c->pipe.out), p->grid->pp.rank + 1);
  if (p->n_slot > 1 && i + 1 < src->n_micro)
    err = prepare(p, src, i + 1);
  return err;
}

/* Of a pipeline of one stage. */
static int
both(hy_pipe *p, const hy_batch_source *src, int64_t i, hy_losses *l)
{
  int err = prepare(p, src, i);

  if (err)
    return err;
  hy_ctx_batch(p->ctx, &p->batch[0]);
  hy_record_micro(&p->recorder, p->ctx, p->model, i == 0, l);
  return HY_OK;
}

int
hy_pipe_record(hy_pipe *p)
{
  int err = hy_recorder_check(p->model, p->grid);

  p->recorder.on = !err;
  return err;
}

static void
backward(hy_pipe *p, int64_t i)
{
  int64_t k = i % p->n_ctx;

  hy_wait(&p->back[k]);
  hy_wait(&p->sent[k]); /* what was sent lies in memory that it gives back */
  hy_backward(&p->ctx[k]);
  hy_pipe_send_back(&p->ctx[k], &p->sent[k]);
}

int
hy_pipe_run(hy_pipe *p, const hy_batch_source *src, int train, hy_losses *l,
            hy_batch *last)
{
  int pp = p->grid->pp.size, stage = p->grid->pp.rank, err = HY_OK;
  int alone = train && pp == 1;
  int64_t n = train && pp > 1 ? 2 * src->n_micro : src->n_micro;

  for (int64_t k = 0; k < n && !err; k++) {
    hy_action a = {0, k};

    if (train && !alone)
      a = hy_schedule_at(pp, stage, src->n_micro, k);
    if (alone)
      err = both(p, src, k, l);
    else if (a.backward)
      backward(p, a.micro);
    else
      err = forward(p, src, a.micro, train, l);
  }
  for (int i = 0; i < p->n_ctx; i++)
    hy_wait(&p->sent[i]);
  *last = p->batch[0];
  return err;
}
