#include "optim/adamw.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists of runs --------------------------------------------------------
 */

/* A growing list. */
typedef struct {
  hy_run *run;
  int64_t n, cap;
} run_list;

static void
add(run_list *l, hy_run run)
{
  if (l->n == l->cap) {
    l->cap = 2 * l->cap + 64;
    l->run = hy_realloc(l->run, (size_t)l->cap * sizeof *l->run);
  }
  l->run[l->n++] = run;
}

static hy_runs *
close_list(run_list *l, const hy_params *p)
{
  hy_runs *r = p->be->kit->runs_new(l->run, l->n);

  free(l->run);
  return r;
}

/* Local element j of parameter i in an array. */
static float *
place(const hy_params *p, int part, int i, float *x, int64_t j)
{
  hy_held h = hy_params_part(p, part, i);

  return x + h.at + (j - h.from);
}

/* What the moments have of parameter i. */
static hy_run
run_of(const hy_adamw *a, int i)
{
  const hy_params *p = a->p;
  const hy_param_ref *r = &p->ref[i];
  const hy_group *g = &p->group[r->group];
  hy_held s = hy_params_part(p, HY_PART_M, i);
  hy_run run = {.w = place(p, HY_PART_W, i, p->w, s.from),
                .m = a->m + s.at,
                .v = a->v + s.at,
                .g = place(p, HY_PART_G, i, p->g, s.from),
                .fmt = g->fmt,
                .decay = r->spec->decay != 0,
                .n = s.to - s.from};

  if (g->low_at != HY_NO_LOW)
    run.low = hy_params_low(p, i, s.from);
  return run;
}

/* What an update walks, all at once or in parts. */
static int
step_runs(hy_adamw *a)
{
  run_list l = {0};
  int err;

  for (int i = 0; i < a->p->n; i++)
    if (a->p->ref[i].group >= 0)
      add(&l, run_of(a, i));
  if (!a->p->offload) {
    a->step = close_list(&l, a->p);
    return HY_OK;
  }
  err = hy_offload_new(&a->offload, a->p, a->m, a->v, l.run, l.n);
  free(l.run);
  return err;
}

static hy_runs *
own_runs(const hy_params *p)
{
  run_list l = {0};

  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    hy_pieces pieces;
    hy_piece run;

    if (r->group < 0)
      continue;
    hy_pieces_of(&pieces, r->spec, &r->shard);
    for (int64_t k = 0; hy_own_next_local(&pieces, &r->own, &k, &run);)
      add(&l,
          (hy_run){.g = place(p, HY_PART_G, i, p->g, run.local), .n = run.n});
  }
  return close_list(&l, p);
}

static hy_runs *
held_runs(const hy_params *p)
{
  run_list l = {0};

  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    int there = r->group >= 0 && r->own_from < r->own_to;

    add(&l, there ? (hy_run){.g = place(p, HY_PART_G, i, p->g, r->own_from),
                             .n = r->own_to - r->own_from}
                  : (hy_run){.n = 0});
  }
  return close_list(&l, p);
}

/* ---- life ------------------------------------------------------------------
 */

/* Zeroed, where the master is. */
static float *
get_moment(const hy_params *p, size_t n)
{
  const hy_mem *mem = p->be->mem;
  float *x =
      p->offload ? mem->get_host(n * sizeof *x) : mem->get(n * sizeof *x);

  if (x && p->offload)
    memset(x, 0, n * sizeof *x);
  return x;
}

static void
put_moment(const hy_params *p, float *x)
{
  if (x && p->offload)
    p->be->mem->put_host(x);
  else if (x)
    p->be->mem->put(x);
}

int
hy_adamw_new(hy_adamw *a, const hy_params *p)
{
  size_t n = p->zero ? p->n_own : p->n_weight;

  a->p = p;
  a->m = get_moment(p, n);
  a->v = get_moment(p, n);
  if (a->m && a->v) {
    a->own = own_runs(p);
    a->held = held_runs(p);
    return step_runs(a);
  }
  hy_adamw_free(a);
  return hy_fail(HY_ERES,
                 "memory: no room for %zu bytes of optimizer states; "
                 "use more ranks",
                 8 * n);
}

void
hy_adamw_free(hy_adamw *a)
{
  hy_runs *list[] = {a->step, a->own, a->held};

  if (!a->p)
    return;
  hy_offload_free(&a->offload);
  for (int i = 0; i < 3; i++)
    if (list[i])
      a->p->be->kit->runs_free(list[i]);
  put_moment(a->p, a->m);
  put_moment(a->p, a->v);
  a->m = a->v = NULL;
  a->step = a->own = a->held = NULL;
}

void
hy_adamw_set(hy_adamw *a, const hy_deck_optim *d)
{
  a->beta1 = d->betas.v[0];
  a->beta2 = d->betas.v[1];
  a->eps = d->eps;
  a->weight_decay = d->weight_decay;
  a->clip = d->clip;
}

/* ---- a step -----------------------------------------------------------------
 */

double
hy_grad_norm(const hy_adamw *a, const hy_grid *grid)
{
  double sum = a->p->be->kit->sum_squares(a->own);

  hy_sum_f64(&grid->world, &sum, 1);
  return sqrt(sum);
}

int
hy_grad_bad(const hy_adamw *a, unsigned char *bad)
{
  a->p->be->kit->not_finite(a->held, bad);
  for (int i = 0; i < a->p->n; i++)
    if (bad[i])
      return i;
  return -1;
}

void
hy_adamw_step(hy_adamw *a, int64_t t, double rate, double norm, int n_threads)
{
  double scale = a->clip > 0 ? a->clip / (norm + 1e-6) : 1;
  hy_adamw_rates k = {.beta1 = (float)a->beta1,
                      .beta2 = (float)a->beta2,
                      .eps = (float)a->eps,
                      .scale = (float)(scale < 1 ? scale : 1),
                      .rate = (float)rate,
                      .c1 = (float)(1 / (1 - pow(a->beta1, (double)t))),
                      .c2 = (float)(1 / (1 - pow(a->beta2, (double)t))),
                      .keep = {1, (float)(1 - rate * a->weight_decay)}};

  if (a->p->offload)
    hy_offload_step(&a->offload, &k, n_threads);
  else
    a->p->be->kit->adamw(a->step, &k, n_threads);
}
