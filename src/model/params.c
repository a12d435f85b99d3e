#include "model/params_impl.h"
#include "base/err.h"
#include "base/rng.h"
#include "model/host.h"

#include <math.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------- */

static float *
get_floats(const hy_mem *mem, size_t n, size_t *bytes)
{
  *bytes += n * sizeof(float);
  return mem->get(n * sizeof(float));
}

/* The master, on the host or not, and what is not trained. */
static void
get_master(hy_params *p, size_t *bytes)
{
  const hy_mem *mem = p->be->mem;
  size_t n = p->n_master * sizeof *p->w;

  if (!p->offload) {
    p->w = get_floats(mem, p->n_total, bytes);
    p->rest = p->w ? p->w + p->n_master : NULL;
    return;
  }
  p->w = mem->get_host(n);
  if (p->w)
    memset(p->w, 0, n);
  p->rest = get_floats(mem, p->n_total - p->n_master, bytes);
}

static int
params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
           int with_grad, int how)
{
  size_t bytes = 0;

  hy_params_lay_out(p, plan, grid, how);
  get_master(p, &bytes);
  if (with_grad)
    p->g =
        get_floats(p->be->mem, p->zero == 3 ? p->n_own : p->n_weight, &bytes);
  if (p->n_low)
    p->low = p->be->mem->get(p->n_low);
  if (p->w && p->rest && (p->g || !with_grad) && (p->low || !p->n_low)) {
    hy_params_point(p);
    return HY_OK;
  }
  hy_params_free(p);
  return hy_fail(HY_ERES,
                 "memory: no room for the model (%zu bytes); use more ranks "
                 "(hymn --dry-run shows bytes per rank)",
                 bytes + p->n_low);
}

void
hy_params_drop(hy_params *p)
{
  const hy_mem *mem = p->be ? p->be->mem : NULL;

  if (!mem || !p->w || p->planned)
    return;
  if (p->offload) {
    mem->put_host(p->w);
    mem->put(p->rest);
  } else
    mem->put(p->w);
  if (p->g)
    mem->put(p->g);
  if (p->low)
    mem->put(p->low);
}

int
hy_params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
              int with_grad)
{
  return params_new(p, plan, grid, with_grad, 0);
}

int
hy_params_new_zero(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                   int how)
{
  return params_new(p, plan, grid, 1, how);
}

static int
params_plan(hy_params *p, const hy_plan *plan, const hy_grid *grid,
            int with_grad, int how)
{
  static float nowhere[1];

  hy_params_lay_out(p, plan, grid, how);
  p->planned = 1;
  p->w = p->rest = nowhere;
  p->low = nowhere;
  p->g = with_grad ? nowhere : NULL;
  hy_params_point(p);
  return HY_OK;
}

int
hy_params_plan(hy_params *p, const hy_plan *plan, const hy_grid *grid,
               int with_grad)
{
  return params_plan(p, plan, grid, with_grad, 0);
}

int
hy_params_plan_zero(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                    int how)
{
  return params_plan(p, plan, grid, 1, how);
}

/* ---- first weights ------------------------------------------------------- */

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

/* Local elements [from, to) of a parameter; the counter is an element's global
 * index. \param w  element `from` */
static void
init_part(const hy_param_ref *r, uint64_t key, int64_t from, int64_t to,
          float *w)
{
  hy_own part = {from, to, 0};
  hy_pieces pieces;
  hy_piece run;

  hy_pieces_of(&pieces, r->spec, &r->shard);
  for (int64_t k = 0; hy_own_next(&pieces, &part, &k, &run);)
    for (int64_t j = 0; j < run.n; j++)
      w[run.local - from + j] =
          first_value(r->spec, key, (uint64_t)(run.global + j));
}

void
hy_params_init(hy_params *p, uint64_t seed)
{
  enum { PART = 1 << 18 }; /* elements that a thread does in one go */
  hy_host host;

  hy_host_begin(&host, p, NULL, NULL);
  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    uint64_t key = hy_rng_key(seed, r->spec->name);
    hy_held h;
    float *w = hy_host_open(&host, HY_PART_W, i, &h);

#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t a = h.from; a < h.to; a += PART)
      init_part(r, key, a, a + PART < h.to ? a + PART : h.to,
                w + h.at + (a - h.from));
    hy_host_put(&host);
  }
  hy_host_end(&host);
  hy_params_renew(p);
}

/* ---- what the model reads ------------------------------------------------ */

/* Where the own range of a group lies in low. */
void *
hy_group_low(const hy_params *p, const hy_group *g)
{
  int64_t from = p->zero == 3 ? 0 : hy_group_from(g);

  return hy_at((char *)p->low + g->low_at, g->fmt, from);
}

void *
hy_params_low(const hy_params *p, int i, int64_t j)
{
  const hy_param_ref *r = &p->ref[i];
  const hy_group *g = &p->group[r->group];
  int64_t from = p->zero == 3 ? hy_group_from(g) : 0;

  return hy_at((char *)p->low + g->low_at, g->fmt,
               (int64_t)(r->at - g->at) + j - from);
}

/* A master on the host comes in parts through memory of the backend. */
static void
renew_from_host(const hy_params *p, void *low, hy_fmt fmt, const float *w,
                int64_t n)
{
  enum { PART = 1 << 22 };
  const hy_mem *mem = p->be->mem;
  float *part = mem->get(PART * sizeof *part);

  if (!part)
    hy_die(HY_ERES, "memory: no room for %zu bytes of weights on their way",
           PART * sizeof *part);
  for (int64_t at = 0; at < n; at += PART) {
    int64_t m = n - at < PART ? n - at : PART;

    mem->load(part, w + at, (size_t)m * sizeof *part);
    p->be->kit->cast(hy_at(low, fmt, at), fmt, part, HY_F32, m);
  }
  mem->wait();
  mem->put(part);
}

/* What of the group the master has. */
static void
renew_group(const hy_params *p, const hy_group *g)
{
  int64_t n = p->own_w ? hy_group_n_own(g) : (int64_t)g->n;
  const float *w = p->w + (p->own_w ? g->own_at : g->at);
  void *low = p->own_w ? hy_group_low(p, g) : (char *)p->low + g->low_at;

  if (p->offload)
    renew_from_host(p, low, g->fmt, w, n);
  else
    p->be->kit->cast(low, g->fmt, w, HY_F32, n);
}

void
hy_params_renew(hy_params *p)
{
  for (int k = 0; k < p->n_group; k++)
    if (p->group[k].low_at != HY_NO_LOW)
      renew_group(p, &p->group[k]);
  p->stale = p->own_w && p->zero == 1;
}
