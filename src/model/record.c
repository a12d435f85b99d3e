#include "model/record.h"
#include "base/err.h"

#include <stdlib.h>

typedef struct {
  hy_ctx *c;
  const hy_model *m;
  hy_losses *l;
} piece;

static void
run(void *arg)
{
  piece *p = arg;

  hy_ctx_reset(p->c, 1);
  hy_model_loss(p->c, p->m, 1, p->l);
  hy_backward(p->c);
}

int
hy_recorder_check(const hy_model *m, const hy_grid *grid)
{
  if (!hy_backend_of(grid)->record)
    return hy_fail(HY_EDECK, "job.graph=.true.: graphs are of "
                             "job.device='cuda'; leave it out");
  if (grid->seq.size > 1 || grid->ep.size > 1 || grid->pp.size > 1)
    return hy_fail(HY_EDECK,
                   "job.graph=.true.: a micro-batch must not send messages; "
                   "needs grid.tp, grid.cp, grid.ep and grid.pp of 1, has %d, "
                   "%d, %d and %d",
                   grid->tp.size, grid->cp.size, grid->ep.size, grid->pp.size);
  if (m->params.zero == 3)
    return hy_fail(HY_EDECK, "job.graph=.true.: optim.zero=3 gathers weights "
                             "inside a micro-batch; use 0 or 1");
  return HY_OK;
}

/* Which weights have a gradient now; played kernels do not say so. */
static void
keep_has(hy_recorded *r, const hy_model *m)
{
  int n = m->plan.n_spec;

  if (!r->has)
    r->has = hy_malloc((size_t)n);
  for (int i = 0; i < n; i++)
    r->has[i] = m->weight[i]->has;
}

static void
restore_has(const hy_recorded *r, const hy_model *m)
{
  for (int i = 0; i < m->plan.n_spec; i++)
    m->weight[i]->has = r->has[i];
}

void
hy_record_micro(hy_recorder *r, hy_ctx *c, const hy_model *m, int first,
                hy_losses *l)
{
  piece p = {c, m, l};
  hy_recorded *of = &r->of[first ? 0 : 1];
  const hy_batch *b = c->batch;

  if (!of->play) {
    of->n_rows = b->n_rows;
    of->n_tokens = b->n_tokens;
  }
  if (!r->on || of->n_rows != b->n_rows || of->n_tokens != b->n_tokens) {
    run(&p);
    return;
  }
  if (c->be->record->play(&of->play, run, &p))
    keep_has(of, m);
  else
    restore_has(of, m);
}

void
hy_recorder_free(hy_recorder *r, const hy_backend *be)
{
  for (int i = 0; i < HY_N_RECORDING; i++) {
    if (r->of[i].play)
      be->record->drop(r->of[i].play);
    free(r->of[i].has);
  }
  *r = (hy_recorder){0};
}
