#include "model/store.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static float nowhere[1];

static const hy_comm *
comm_of(const hy_store *u, const hy_group *g)
{
  return g->kind == HY_GROUP_EXPERT ? &u->grid->edp : &u->grid->dp_cp;
}

static const hy_backend *
backend(const hy_store *u)
{
  return u->p->be;
}

/* What arrives of a sum on the rank that owns most, in floats. Sizes of buffers
 * are the same on all ranks of a stage, so that all of them take, keep and drop
 * the same ones. */
static size_t
scratch_of(const hy_group *g)
{
  size_t line = 16, size = (size_t)g->comm->size;

  return (g->room / line + size - 1) / size * line * size;
}

/* ---- buffers --------------------------------------------------------- */

/* Memory is taken in the first steps alone: later ones ask for the same sizes
 * in the same order. */
static hy_store_bin *
new_bin(hy_store *u, size_t n)
{
  hy_store_bin *b = hy_calloc(1, sizeof *b);

  b->n = n;
  b->x = u->dry ? (void *)nowhere : backend(u)->mem->get(n);
  if (!b->x)
    hy_die(HY_ERES,
           "memory: cannot get %zu bytes for a unit of parameters; "
           "use more ranks",
           n);
  b->unit = -1;
  u->bin = hy_realloc(u->bin, (size_t)(u->n_bin + 1) * sizeof(hy_store_bin *));
  u->bin[u->n_bin++] = b;
  return b;
}

/* Byte `at` of a buffer; in a dry run no address is far. */
static void *
inside(const hy_store *u, void *x, size_t at)
{
  return u->dry ? (char *)nowhere : (char *)x + at;
}

/* The smallest buffer that is free and large enough, of equal ones the one
 * given back first. A large one is left to what needs it. */
static hy_store_bin *
take_bin(hy_store *u, size_t n)
{
  hy_store_bin *best = NULL;

  for (int i = 0; i < u->n_bin; i++) {
    hy_store_bin *b = u->bin[i];

    if (b->users || b->n < n || b->n / 4 > n)
      continue;
    if (!best || b->n < best->n || (b->n == best->n && b->when < best->when))
      best = b;
  }
  if (!best)
    best = new_bin(u, n);
  if (best->unit >= 0)
    u->unit[best->unit].w = NULL;
  best->unit = -1;
  best->users = 1;
  return best;
}

static void
give_bin(hy_store *u, hy_store_bin *b)
{
  if (--b->users == 0)
    b->when = ++u->clock;
}

/* ---- weights (zero 3) ------------------------------------------------- */

/* The own range of a group, in the format in which it is used. */
static void
fill_own(hy_store *u, const hy_group *g, void *x)
{
  const hy_backend *be = backend(u);
  void *to = hy_at(x, g->fmt, hy_group_from(g));
  int64_t n = hy_group_n_own(g);

  if (g->low_at != HY_NO_LOW)
    be->mem->copy(to, hy_group_low(u->p, g), hy_bytes(g->fmt, n));
  else
    be->kit->cast(to, g->fmt, u->p->w + g->own_at, HY_F32, n);
}

/* Start to bring the weights of a unit here, unless they are. */
static hy_store_bin *
gather(hy_store *u, int id)
{
  hy_store_unit *un = &u->unit[id];
  size_t at = 0;

  if (un->w) {
    un->w->users++;
    return un->w;
  }
  un->w = take_bin(u, un->n_w);
  un->w->unit = id;
  for (int k = 0; k < un->n_group; k++) {
    const hy_group *g = &u->p->group[un->group[k]];
    void *x = inside(u, un->w->x, at);

    if (!u->dry)
      fill_own(u, g, x);
    hy_all_gather_start(&un->w->wait, comm_of(u, g), x, g->cut,
                        hy_bytes(g->fmt, 1));
    at += hy_bytes(g->fmt, (int64_t)g->room);
  }
  return un->w;
}

/* Byte of a parameter in the buffer of its unit's weights or gradients. */
static size_t
place_in(const hy_store *u, const hy_store_unit *un, const hy_param_ref *r,
         int grads)
{
  size_t at = 0;

  for (int k = 0;; k++) {
    const hy_group *g = &u->p->group[un->group[k]];
    hy_fmt fmt = grads ? HY_F32 : g->fmt;

    if (un->group[k] == r->group)
      return at + hy_bytes(fmt, (int64_t)(r->at - g->at));
    at += hy_bytes(fmt, (int64_t)g->room);
  }
}

static void
point_weights(hy_store *u, hy_store_unit *un)
{
  for (int i = 0; i < un->n_ref; i++) {
    hy_param_ref *r = &u->p->ref[un->ref[i]];

    r->t.data = inside(u, un->w->x, place_in(u, un, r, 0));
  }
}

/* Room for the gradients of a unit in this micro-batch. */
static void
point_grads(hy_store *u, hy_store_unit *un)
{
  if (un->g)
    return;
  un->g = take_bin(u, un->n_g);
  for (int i = 0; i < un->n_ref; i++) {
    hy_param_ref *r = &u->p->ref[un->ref[i]];

    r->t.grad = inside(u, un->g->x, place_in(u, un, r, 1));
    r->t.has = 0;
  }
}

static void
drop_pointers(hy_store *u, const hy_store_unit *un, int grads)
{
  for (int i = 0; i < un->n_ref; i++) {
    hy_tensor *t = &u->p->ref[un->ref[i]].t;

    if (grads)
      t->grad = NULL;
    else
      t->data = NULL;
  }
}

/* ---- gradients -------------------------------------------------------- */

/* A parameter that no backward has reached has the gradient 0. */
static void
settle(const hy_store *u, hy_param_ref *r)
{
  if (r->t.grad && !r->t.has && !u->dry)
    backend(u)->mem->zero(r->t.grad,
                          hy_bytes(HY_F32, hy_shard_size(&r->shard)));
  r->t.has = r->t.want;
}

/* What arrived from all replicas: added in their order. */
static void
add_up(hy_store *u, int group, const float *from)
{
  const hy_group *g = &u->p->group[group];
  int own = u->p->zero == 3;
  float *to = u->p->g + (own ? g->own_at : g->at + (size_t)hy_group_from(g));

  backend(u)->kit->sum_parts(to, from, HY_F32, hy_group_n_own(g), g->comm->size,
                             own && !u->fresh[group]);
}

static void
sum_finish(hy_store *u)
{
  hy_store_unit *un;
  size_t at = 0;

  if (u->sum.unit < 0)
    return;
  un = &u->unit[u->sum.unit];
  hy_wait(&u->sum.wait);
  for (int k = 0; k < un->n_group; k++) {
    const hy_group *g = &u->p->group[un->group[k]];

    if (!u->dry)
      add_up(u, un->group[k], inside(u, u->sum.scratch->x, at));
    u->fresh[un->group[k]] = 0;
    at += scratch_of(g) * sizeof(float);
  }
  give_bin(u, u->sum.scratch);
  if (un->g)
    give_bin(u, un->g);
  un->g = NULL;
  u->sum.unit = -1;
}

/* One sum is under way at a time, while backward runs the next segment. */
static void
sum_start(hy_store *u, int id)
{
  hy_store_unit *un = &u->unit[id];
  size_t at = 0, of_g = 0;

  sum_finish(u);
  for (int i = 0; i < un->n_ref; i++)
    settle(u, &u->p->ref[un->ref[i]]);
  u->sum.unit = id;
  u->sum.scratch = take_bin(u, un->n_scratch);
  for (int k = 0; k < un->n_group; k++) {
    const hy_group *g = &u->p->group[un->group[k]];
    float *x = un->g ? inside(u, un->g->x, of_g)
                     : inside(u, u->p->g, g->at * sizeof(float));

    hy_reduce_scatter_start(&u->sum.wait, comm_of(u, g), x, g->cut, HY_F32,
                            inside(u, u->sum.scratch->x, at));
    of_g += g->room * sizeof(float);
    at += scratch_of(g) * sizeof(float);
  }
}

/* ---- the hooks -------------------------------------------------------- */

/* What is asked for after `unit`, by the last time; -1: unknown. */
static int
next_unit(hy_store *u, int unit)
{
  int *n = &u->log[u->which].n, *cap = &u->log[u->which].cap;
  int **log = &u->log[u->which].unit;

  if (u->at == *n || (*log)[u->at] != unit) {
    if (u->at == *cap) {
      *cap = 2 * *cap + 256;
      *log = hy_realloc(*log, (size_t)*cap * sizeof **log);
    }
    (*log)[u->at] = unit;
    *n = u->at + 1;
  }
  u->at++;
  return u->at < *n ? (*log)[u->at] : -1;
}

static void
acquire(void *arg, int id, int backward)
{
  hy_store *u = arg;
  hy_store_unit *un = &u->unit[id];
  hy_store_bin *b;
  int next;

  if (u->p->zero != 3 || un->n_group == 0)
    return;
  if (!backward || u->sum.unit == id) /* of the micro-batch before */
    sum_finish(u);
  b = gather(u, id);
  if (b->ahead) {
    b->ahead = 0;
    b->users--;
  }
  hy_wait(&b->wait);
  point_weights(u, un);
  if (backward)
    point_grads(u, un);
  next = next_unit(u, id);
  if (next >= 0 && !u->unit[next].w)
    gather(u, next)->ahead = 1;
}

static void
release(void *arg, int id, int backward, int last)
{
  hy_store *u = arg;
  hy_store_unit *un = &u->unit[id];

  if (un->n_group == 0)
    return;
  if (u->p->zero == 3) {
    give_bin(u, un->w);
    if (un->w->users == 0)
      drop_pointers(u, un, 0);
  }
  if (!backward || !last)
    return;
  un->n_done++;
  if (u->p->zero == 3 || un->n_done == u->n_micro)
    sum_start(u, id);
  if (u->p->zero == 3) /* the buffer is the sum's now */
    drop_pointers(u, un, 1);
}

/* ---- life ------------------------------------------------------------- */

static void
add_group(hy_store *u, int k)
{
  const hy_group *g = &u->p->group[k];
  hy_store_unit *un = &u->unit[g->unit];

  if (g->comm->size == 1 || g->room == 0)
    return;
  un->group[un->n_group++] = k;
  un->n_w += hy_bytes(g->fmt, (int64_t)g->room);
  un->n_g += g->room * sizeof(float);
  un->n_scratch += scratch_of(g) * sizeof(float);
  for (int i = 0; i < u->p->n; i++)
    if (u->p->ref[i].group == k) {
      un->ref = hy_realloc(un->ref, (size_t)(un->n_ref + 1) * sizeof *un->ref);
      un->ref[un->n_ref++] = i;
    }
}

void
hy_store_new(hy_store *u, hy_params *p, const hy_grid *grid, int dry)
{
  *u = (hy_store){.p = p, .grid = grid, .dry = dry};
  u->fetch = (hy_fetch){acquire, release, u};
  u->sum.unit = -1;
  u->n_unit = HY_UNIT_LAYER + p->plan->n_layer_all;
  u->unit = hy_calloc((size_t)u->n_unit, sizeof *u->unit);
  u->fresh = hy_calloc((size_t)p->n_group + 1, 1);
  for (int k = 0; k < p->n_group; k++)
    add_group(u, k);
}

/* Nothing is under way, no weights are kept. */
static void
forget(hy_store *u)
{
  sum_finish(u);
  for (int i = 0; i < u->n_bin; i++) {
    hy_store_bin *b = u->bin[i];

    hy_wait(&b->wait);
    if (b->unit >= 0)
      u->unit[b->unit].w = NULL;
    b->unit = -1;
    b->users = b->ahead = 0;
  }
}

void
hy_store_free(hy_store *u)
{
  if (u->p)
    forget(u);
  for (int i = 0; i < u->n_bin; i++) {
    hy_pending_free(&u->bin[i]->wait);
    if (!u->dry)
      backend(u)->mem->put(u->bin[i]->x);
    free(u->bin[i]);
  }
  for (int i = 0; i < u->n_unit; i++)
    free(u->unit[i].ref);
  hy_pending_free(&u->sum.wait);
  free(u->bin);
  free(u->unit);
  free(u->fresh);
  free(u->log[0].unit);
  free(u->log[1].unit);
  *u = (hy_store){0};
}

int
hy_store_active(const hy_store *u)
{
  for (int i = 0; i < u->n_unit; i++)
    if (u->unit[i].n_group)
      return 1;
  return 0;
}

void
hy_store_begin(hy_store *u, int64_t n_micro, int training)
{
  forget(u);
  if (u->p->stale && !u->dry) {
    hy_store_share_weights(u);
    u->p->stale = 0;
  }
  u->which = training ? 0 : 1;
  u->at = 0;
  if (!training)
    return;
  u->n_micro = n_micro;
  memset(u->fresh, 1, (size_t)u->p->n_group);
  for (int i = 0; i < u->p->n; i++) /* the first backward replaces */
    u->p->ref[i].t.has = 0;
  for (int i = 0; i < u->n_unit; i++) {
    if (u->unit[i].g) /* of a step that an error ended */
      drop_pointers(u, &u->unit[i], 1);
    u->unit[i].g = NULL;
    u->unit[i].n_done = 0;
  }
}

void
hy_store_finish(hy_store *u)
{
  hy_params *p = u->p;

  for (int i = 0; i < u->n_unit && p->zero != 3; i++)
    if (u->unit[i].n_group && u->unit[i].n_done < u->n_micro)
      sum_start(u, i);
  sum_finish(u);
  for (int i = 0; i < p->n; i++)
    settle(u, &p->ref[i]);
  for (int k = 0; k < p->n_group; k++)
    if (p->zero == 3 && p->group[k].comm->size > 1 && u->fresh[k] && !u->dry)
      backend(u)->mem->zero(p->g + p->group[k].own_at,
                            hy_bytes(HY_F32, hy_group_n_own(&p->group[k])));
}

/* A group's elements that lie at byte `at` of x. */
static void
share(hy_store *u, const hy_group *g, void *x, size_t at, hy_fmt fmt)
{
  if (g->comm->size > 1 && g->room > 0)
    hy_all_gather(comm_of(u, g), inside(u, x, at), g->cut, hy_bytes(fmt, 1));
}

void
hy_store_share_grads(hy_store *u)
{
  for (int k = 0; k < u->p->n_group; k++)
    share(u, &u->p->group[k], u->p->g, u->p->group[k].at * sizeof(float),
          HY_F32);
}

void
hy_store_share_weights(hy_store *u)
{
  for (int k = 0; k < u->p->n_group; k++) {
    const hy_group *g = &u->p->group[k];

    if (g->low_at != HY_NO_LOW)
      share(u, g, u->p->low, g->low_at, g->fmt);
    else
      share(u, g, u->p->w, g->at * sizeof(float), HY_F32);
  }
}

size_t
hy_store_bytes(const hy_store *u)
{
  size_t n = 0;

  for (int i = 0; i < u->n_bin; i++)
    n += u->bin[i]->n;
  return n;
}
