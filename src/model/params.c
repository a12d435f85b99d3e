#include "model/params.h"
#include "base/err.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Each tensor starts on a cache line. */
static size_t
padded(int64_t n)
{
  return ((size_t)n + 15) / 16 * 16;
}

static void
place(hy_params *p, int i, hy_param_ref *r, const hy_grid *grid)
{
  const hy_spec *spec = &p->plan->spec[i];

  r->spec = spec;
  hy_shard_of(&r->shard, spec, grid);
  r->at = p->n_total;
  p->n_total += padded(hy_shard_size(&r->shard));
  r->t = (hy_tensor){.fmt = HY_F32, .n_dim = spec->n_dim};
  memcpy(r->t.dim, r->shard.dim, sizeof r->t.dim);
  r->t.ld = hy_cols(&r->t);
}

static void
lay_out(hy_params *p, const hy_plan *plan, const hy_grid *grid)
{
  *p = (hy_params){.plan = plan, .n = plan->n_spec};
  p->ref = hy_calloc((size_t)p->n, sizeof *p->ref);
  for (int i = 0; i < p->n; i++) /* trained first: optimizer arrays are short */
    if (plan->spec[i].kind == HY_WEIGHT)
      place(p, i, &p->ref[i], grid);
  p->n_weight = p->n_total;
  for (int i = 0; i < p->n; i++)
    if (plan->spec[i].kind != HY_WEIGHT)
      place(p, i, &p->ref[i], grid);
}

static void
point(hy_params *p, float *w, float *g)
{
  for (int i = 0; i < p->n; i++) {
    hy_param_ref *r = &p->ref[i];

    r->t.data = w + r->at;
    if (g && r->spec->kind == HY_WEIGHT) {
      r->t.grad = g + r->at;
      r->t.want = r->t.has = 1;
    }
  }
}

int
hy_params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
              int with_grad)
{
  lay_out(p, plan, grid);
  p->w = calloc(p->n_total ? p->n_total : 1, sizeof *p->w);
  p->g = with_grad ? calloc(p->n_weight ? p->n_weight : 1, sizeof *p->g) : NULL;
  if (!p->w || (with_grad && !p->g)) {
    hy_params_free(p);
    return hy_fail(HY_ERES,
                   "memory: no room for the model; use more ranks (hymn "
                   "--dry-run shows bytes per rank)");
  }
  point(p, p->w, p->g);
  return HY_OK;
}

int
hy_params_plan(hy_params *p, const hy_plan *plan, const hy_grid *grid,
               int with_grad)
{
  static float nowhere[1];

  lay_out(p, plan, grid);
  point(p, nowhere, with_grad ? nowhere : NULL);
  return HY_OK;
}

void
hy_params_free(hy_params *p)
{
  free(p->ref);
  free(p->w);
  free(p->g);
  *p = (hy_params){0};
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

/* Walk the local piece in rows below the split dimension; the counter is the
 * element's global index. */
static void
init_one(hy_param_ref *r, uint64_t seed)
{
  const hy_spec *s = r->spec;
  const hy_shard *sh = &r->shard;
  int split = s->split < 0 ? 0 : s->split;
  int64_t outer = 1, inner = 1;
  uint64_t key = hy_rng_key(seed, s->name);
  float *w = r->t.data;

  for (int i = 0; i < split; i++)
    outer *= s->dim[i];
  for (int i = split + 1; i < 4; i++)
    inner *= s->dim[i];
  for (int64_t o = 0; o < outer; o++)
    for (int b = 0; b < sh->n; b++)
      for (int64_t j = 0; j < sh->count[b] * inner; j++) {
        int64_t at = (o * s->dim[split] + sh->global[b]) * inner + j;

        w[(o * sh->dim[split] + sh->local[b]) * inner + j] =
            first_value(s, key, (uint64_t)at);
      }
}

void
hy_params_init(hy_params *p, uint64_t seed)
{
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < p->n; i++)
    init_one(&p->ref[i], seed);
}

static int64_t
count_params(const hy_plan *plan, int active)
{
  int64_t n = 0;

  for (int i = 0; i < plan->n_spec; i++) {
    const hy_spec *s = &plan->spec[i];
    int64_t size = hy_spec_size(s);

    if (active && ((i == plan->embed && plan->head != plan->embed) ||
                   !strncmp(s->name, "mtp.", 4)))
      continue; /* a look-up; not on the way to the next token */
    if (active && s->stacked)
      size = size / plan->cfg->n_experts * plan->cfg->top_k;
    n += size;
  }
  return n;
}

int64_t
hy_plan_n_params(const hy_plan *plan)
{
  return count_params(plan, 0);
}

int64_t
hy_plan_n_active(const hy_plan *plan)
{
  return count_params(plan, 1);
}
