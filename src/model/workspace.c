#include "model/workspace.h"
#include "base/err.h"
#include "model/pipe.h"
#include "model/store.h"
#include "op/columns.h"
#include "op/op.h"

#include <stdlib.h>
#include <string.h>

/* Tokens of a micro-batch on this rank. */
static int64_t
local_tokens(const hy_grid *grid, int64_t n_rows, int64_t seq_len)
{
  int cp = grid->cp.size;

  return n_rows * (cp > 1 ? hy_cut_tokens(seq_len, cp, grid->cp.rank) : seq_len);
}

/* A batch of shapes: each row is one document, the one that needs most. */
static void
shape_batch(hy_batch *b, const hy_grid *grid, int64_t n_rows, int64_t seq_len)
{
  int cp = grid->cp.size;
  hy_span *span;

  b->n_rows = n_rows;
  b->seq_len = seq_len;
  b->n_tokens = local_tokens(grid, n_rows, seq_len);
  if (cp == 1)
    return;
  b->n_span = 2 * n_rows;
  span = hy_calloc((size_t)b->n_span, sizeof *span);
  hy_cut_spans(span, n_rows, seq_len, cp, grid->cp.rank, NULL);
  b->span = span;
  b->row_start = hy_calloc((size_t)(2 * cp * n_rows), sizeof *b->row_start);
}

static void
free_shapes(hy_batch *b)
{
  free((void *)(uintptr_t)b->span);
  free((void *)(uintptr_t)b->row_start);
}

static void
run_once(hy_ctx *plan, const hy_model *m, hy_store *store, int what)
{
  hy_pending none = {0}; /* a dry grid only counts */
  hy_meter *meter = plan->grid->meter;
  hy_losses l = {0};

  if (what & HY_WS_VALID) {
    hy_store_begin(store, 0, 0);
    hy_ctx_reset(plan, 0);
    hy_model_loss(plan, m, 0, &l);
  }
  if (what & HY_WS_TRAIN) {
    plan->cost = (hy_cost){0, 0, 0};
    memset(plan->work, 0, sizeof plan->work);
    *meter = (hy_meter){0};
    hy_store_begin(store, 1, 1);
    hy_ctx_reset(plan, 1);
    hy_model_loss(plan, m, 1, &l);
    hy_pipe_send_on(plan, &none);
    hy_backward(plan);
    hy_pipe_send_back(plan, &none);
  }
}

void
hy_workspace_plan(hy_ctx *plan, const hy_model *m, const hy_grid *grid,
                  int n_threads, int64_t n_rows, int64_t seq_len, int what)
{
  hy_batch b = {.n_ahead = m->plan.n_depth};
  const hy_meter *meter;
  hy_store store;

  hy_ctx_init(plan, hy_backend_dry(grid), grid, n_threads,
              m->plan.n_layer + m->plan.n_mtp_layer * m->plan.n_depth);
  meter = plan->grid->meter;
  plan->worst = (what & HY_WS_WORST) != 0;
  shape_batch(&b, grid, n_rows, seq_len);
  plan->batch = &b;
  hy_store_new(&store, (hy_params *)(uintptr_t)&m->params, plan->grid, 1);
  if (m->params.zero == 3) {
    plan->fetch = &store.fetch;
    run_once(plan, m, &store, what); /* the second time gathers ahead */
  }
  run_once(plan, m, &store, what);
  for (int a = 0; a < HY_N_AXES; a++) {
    plan->sent[a] = meter->sent[a];
    plan->calls[a] = (double)meter->calls[a];
  }
  plan->unit_bytes = hy_store_bytes(&store);
  plan->fetch = NULL;
  plan->batch = NULL;
  hy_store_free(&store);
  free_shapes(&b);
}

int
hy_workspace_new(hy_ctx *c, const hy_model *m, const hy_grid *grid,
                 int n_threads, int64_t n_rows, int64_t seq_len, int what)
{
  hy_ctx plan, worst;
  int err;

  hy_workspace_plan(&plan, m, grid, n_threads, n_rows, seq_len, what);
  hy_ctx_init(c, hy_backend_of(grid), grid, n_threads, 0);
  if (grid->ep.size == 1)
    err = hy_ctx_reserve(c, &plan);
  else if (hy_workspace_bytes(&plan) > hy_mem_physical())
    err = hy_fail(HY_ERES,
                  "memory: cannot get %zu bytes for activations; use a smaller "
                  "batch or model or more ranks",
                  hy_workspace_bytes(&plan));
  else {
    hy_workspace_plan(&worst, m, grid, n_threads, n_rows, seq_len,
                      what | HY_WS_WORST);
    err = hy_ctx_reserve(c, &worst);
    hy_ctx_free(&worst);
  }
  hy_ctx_expect(c, &plan);
  hy_ctx_free(&plan);
  if (!err)
    err = hy_columns_new(c, n_rows, local_tokens(grid, n_rows, seq_len),
                         m->plan.n_depth);
  return err;
}

size_t
hy_workspace_bytes(const hy_ctx *c)
{
  return c->act.peak + c->turn[0].peak + c->turn[1].peak + c->host.peak;
}

size_t
hy_workspace_planned(const hy_ctx *c)
{
  return c->expected;
}
