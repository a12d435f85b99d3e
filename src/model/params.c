#include "model/params_impl.h"
#include "base/err.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int
params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
           int with_grad, int zero)
{
  size_t n;

  hy_params_lay_out(p, plan, grid, zero);
  n = p->zero == 3 ? p->n_own : p->n_weight;
  p->w = calloc(p->n_total ? p->n_total : 1, sizeof *p->w);
  p->g = with_grad ? calloc(n ? n : 1, sizeof *p->g) : NULL;
  if (!p->w || (with_grad && !p->g)) {
    hy_params_free(p);
    return hy_fail(HY_ERES,
                   "memory: no room for the model; use more ranks (hymn "
                   "--dry-run shows bytes per rank)");
  }
  hy_params_point(p, p->w, p->g);
  return HY_OK;
}

int
hy_params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
              int with_grad)
{
  return params_new(p, plan, grid, with_grad, 0);
}

int
hy_params_new_zero(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                   int zero)
{
  return params_new(p, plan, grid, 1, zero);
}

int
hy_params_plan(hy_params *p, const hy_plan *plan, const hy_grid *grid,
               int with_grad)
{
  static float nowhere[1];

  hy_params_lay_out(p, plan, grid, 0);
  hy_params_point(p, nowhere, with_grad ? nowhere : NULL);
  return HY_OK;
}

int
hy_params_plan_zero(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                    int zero)
{
  static float nowhere[1];

  hy_params_lay_out(p, plan, grid, zero);
  hy_params_point(p, nowhere, nowhere);
  return HY_OK;
}

static float
first_value(const hy_spec *s, uint64_t key, uint64_t i)
{
  double dt;

  switch (s->init) {
  case HY_INIT_NORMAL:
    return (float)(s->init_std * hy_rng_normal(key, i));
  case HY_INIT_ONE:
    return 1;
  case HY_INIT_A_LOG:
    return (float)log(1 + 15 * hy_rng_uniform(key, i));
  case HY_INIT_DT_BIAS:
    dt = exp(log(1e-3) + hy_rng_uniform(key, i) * (log(1e-1) - log(1e-3)));
    dt = fmax(dt, 1e-4);
    return (float)(dt + log(-expm1(-dt)));
  case HY_INIT_UNIFORM:
    return (float)(s->init_std * (2 * hy_rng_uniform(key, i) - 1));
  case HY_INIT_ZERO:
    break;
  }
  return 0;
}

/* The counter is the element's global index. */
static void
init_one(const hy_params *p, int i, uint64_t seed)
{
  const hy_param_ref *r = &p->ref[i];
  hy_held h = hy_params_held_w(p, i);
  hy_own all = {h.from, h.to, 0};
  uint64_t key = hy_rng_key(seed, r->spec->name);
  hy_pieces pieces;
  hy_piece run;

  hy_pieces_of(&pieces, r->spec, &r->shard);
  for (int64_t k = 0; hy_own_next(&pieces, &all, &k, &run);)
    for (int64_t j = 0; j < run.n; j++)
      p->w[h.at + (size_t)(run.local - h.from + j)] =
          first_value(r->spec, key, (uint64_t)(run.global + j));
}

void
hy_params_init(hy_params *p, uint64_t seed)
{
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < p->n; i++)
    init_one(p, i, seed);
}
