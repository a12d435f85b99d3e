#include "gen/gen.h"
#include "base/err.h"
#include "layer/layer.h"
#include "op/region.h"

#include <stdlib.h>
#include <string.h>

static hy_tensor *
state_of(hy_layer_cache *l, int i)
{
  hy_tensor *t[4] = {&l->conv, &l->ssm, &l->k, &l->v};

  return t[i];
}

/* Bytes of a state; keys and values have the format of activations. */
static size_t
state_bytes(const hy_gen *g, int i, hy_tensor *t)
{
  t->fmt = t->gfmt = i == 1 ? HY_F32 : g->be->act;
  return t->n_dim ? (hy_bytes(t->fmt, t->dim[0] * t->ld) + 63) / 64 * 64 : 0;
}

/* Shapes of all caches, then one block of memory for them. */
static int
new_caches(hy_gen *g, const hy_grid *grid, int64_t n_slots, int64_t max_len)
{
  const hy_plan *p = &g->model->plan;
  int stage = grid->pp.rank;
  hy_cache *c = &g->cache;
  size_t n = 0;

  *c = (hy_cache){n_slots, max_len, p->n_layer, NULL};
  c->layer = hy_calloc((size_t)p->n_layer_all, sizeof *c->layer);
  for (int i = p->first[stage]; i < p->first[stage + 1]; i++)
    if (p->layer[i].type->cache)
      p->layer[i].type->cache(&p->layer[i], g->model->weight, n_slots, max_len,
                              &c->layer[i]);
  for (int i = 0; i < 4 * p->n_layer; i++)
    n += state_bytes(g, i % 4, state_of(&c->layer[i / 4], i % 4));
  g->store = g->be->mem->get(n);
  if (!g->store)
    return hy_fail(HY_ERES,
                   "memory: cannot get %zu bytes for the caches of %lld "
                   "sequences; lower generate.batch or generate.max_new",
                   n, (long long)n_slots);
  n = 0;
  for (int i = 0; i < 4 * p->n_layer; i++) {
    hy_tensor *t = state_of(&c->layer[i / 4], i % 4);

    t->data = t->n_dim ? (char *)g->store + n : NULL;
    n += state_bytes(g, i % 4, t);
  }
  return HY_OK;
}

/* What a call brings: tokens, and where each segment begins and goes. */
static int
new_arrays(hy_gen *g, int64_t n_slots)
{
  size_t n = (size_t)n_slots, wide = (2 * n + 1) * sizeof(int64_t);
  size_t all = wide + (2 * n + (size_t)g->max_tokens) * sizeof(int32_t);
  char *p;

  g->len = hy_calloc(n, sizeof *g->len);
  g->start = hy_calloc(n + 1, sizeof *g->start);
  g->past = hy_calloc(n, sizeof *g->past);
  g->slot = hy_calloc(n, sizeof *g->slot);
  g->last = hy_calloc(n, sizeof *g->last);
  g->logits = hy_malloc(n * (size_t)g->model->cfg->vocab * sizeof *g->logits);
  p = g->there.block = g->be->mem->get(all);
  if (!p)
    return hy_fail(HY_ERES,
                   "memory: cannot get %zu bytes for tokens; lower "
                   "generate.batch",
                   all);
  g->there.start = (int64_t *)p;
  g->there.past = g->there.start + n + 1;
  g->there.slot = (int32_t *)(p + wide);
  g->there.last = g->there.slot + n;
  g->there.token = g->there.last + n;
  return HY_OK;
}

/* The program of one call: logits behind row last[i] of the batch; NULL unless
 * this is the last stage. */
static hy_tensor *
run(hy_ctx *c, const hy_model *m, const int32_t *last, int64_t n)
{
  hy_tensor *h;

  hy_ctx_reset(c, 0);
  c->aux = NULL;
  h = hy_model_trunk(c, m);
  if (!h)
    return NULL;
  h = hy_embedding(c, last, n, h, 0); /* rows by number */
  return hy_gather_cols(c, hy_model_logits(c, m, h), m->cfg->vocab);
}

static int
new_workspace(hy_gen *g, const hy_grid *grid, int n_threads)
{
  hy_batch b = {
      .n_rows = 1, .seq_len = g->max_tokens, .n_tokens = g->max_tokens};
  hy_segments seg = {(int)g->cache.n_slots, g->there.start, g->there.slot,
                     g->there.past};
  hy_ctx plan;
  int err;

  hy_ctx_init(&plan, hy_backend_dry(grid), grid, n_threads,
              g->model->plan.n_layer);
  plan.batch = &b;
  plan.seg = &seg;
  plan.cache = &g->cache;
  plan.worst = 1; /* any routing must fit */
  run(&plan, g->model, g->there.last, g->cache.n_slots);
  hy_ctx_init(&g->ctx, hy_backend_of(grid), grid, n_threads, 0);
  err = hy_ctx_reserve(&g->ctx, &plan);
  hy_ctx_free(&plan);
  return err;
}

int
hy_gen_new(hy_gen *g, const hy_model *m, const hy_grid *grid, int n_threads,
           int64_t n_slots, int64_t max_len, int64_t max_tokens)
{
  int err;

  *g =
      (hy_gen){.model = m, .max_tokens = max_tokens, .be = hy_backend_of(grid)};
  err = new_arrays(g, n_slots);
  if (!err)
    err = new_caches(g, grid, n_slots, max_len);
  if (!err && grid->pp.size > 1) {
    g->from =
        g->be->mem->get(hy_bytes(g->be->act, max_tokens * m->cfg->d_model));
    if (!g->from)
      err = hy_fail(HY_ERES, "memory: no room for what the stage before sends; "
                             "lower generate.batch");
  }
  return err ? err : new_workspace(g, grid, n_threads);
}

static void
give_back(const hy_gen *g, void *p)
{
  if (p)
    g->be->mem->put(p);
}

void
hy_gen_free(hy_gen *g)
{
  hy_ctx_free(&g->ctx);
  free(g->cache.layer);
  give_back(g, g->store);
  give_back(g, g->from);
  give_back(g, g->there.block);
  free(g->logits);
  free(g->len);
  free(g->start);
  free(g->past);
  free(g->slot);
  free(g->last);
  *g = (hy_gen){0};
}

void
hy_gen_clear(hy_gen *g, int32_t slot)
{
  g->len[slot] = 0; /* keys and values are overwritten, states are not */
  for (int64_t i = 0; i < g->cache.n_layers; i++)
    for (int k = 0; k < 2; k++) {
      hy_tensor *t = state_of(&g->cache.layer[i], k);

      if (t->data)
        g->be->mem->zero(hy_at(t->data, t->fmt, slot * t->ld),
                         hy_bytes(t->fmt, t->ld));
    }
}

/* Experts on several ranks: a call is one of all ranks of the stage. 1 while
 * any of them has tokens. */
static int
together(const hy_gen *g, int busy)
{
  const hy_grid *grid = g->ctx.grid;

  return grid->ep.size == 1 ? busy : (int)hy_max_i64(&grid->stage, busy);
}

/* What the stage before has sent, and what goes to the one behind. */
static void
receive(hy_gen *g)
{
  const hy_comm *pp = &g->ctx.grid->pp;
  int64_t n = g->ctx.batch->n_tokens * g->model->cfg->d_model;

  g->ctx.pipe.from = g->from;
  if (pp->rank > 0)
    hy_exchange(pp, NULL, 0, -1, g->from, hy_bytes(g->be->act, n),
                pp->rank - 1);
}

static hy_tensor *
run_and_send(hy_gen *g, int n_seg)
{
  const hy_comm *pp = &g->ctx.grid->pp;
  hy_tensor *z = run(&g->ctx, g->model, g->there.last, n_seg),
            *x = g->ctx.pipe.out;

  if (x)
    hy_exchange(pp, x->data, hy_bytes(x->fmt, x->dim[0] * x->ld), pp->rank + 1,
                NULL, 0, -1);
  return z;
}

/* Logits (n, vocab) of the last stage, in fp32 on all stages. */
static const float *
share(hy_gen *g, const hy_tensor *z, int64_t n)
{
  const hy_comm *pp = &g->ctx.grid->pp;
  int64_t all = n * g->model->cfg->vocab;

  if (z && n > 0) {
    g->be->mem->read(g->logits, z->data, hy_bytes(z->fmt, all));
    hy_widen(g->logits, z->fmt, all);
  }
  if (pp->size > 1)
    hy_bcast(pp, g->logits, (size_t)all * sizeof *g->logits, pp->size - 1);
  return g->logits;
}

/* The arrays of a call, as far as it uses them. */
static void
load_call(hy_gen *g, int n_seg, const int32_t *token)
{
  const hy_mem *mem = g->be->mem;
  size_t n = (size_t)n_seg;

  mem->load(g->there.start, g->start, (n + 1) * sizeof *g->start);
  mem->load(g->there.past, g->past, n * sizeof *g->past);
  mem->load(g->there.slot, g->slot, n * sizeof *g->slot);
  mem->load(g->there.last, g->last, n * sizeof *g->last);
  mem->load(g->there.token, token, (size_t)g->start[n_seg] * sizeof *token);
}

/* One call of at most max_tokens tokens; logits of segment i go to row[i]. */
static void
call(hy_gen *g, int n_seg, const int32_t *token, float *const *row)
{
  hy_batch b = {.n_rows = 1,
                .seq_len = g->start[n_seg],
                .n_tokens = g->start[n_seg],
                .token = g->there.token};
  hy_segments seg = {n_seg, g->there.start, g->there.slot, g->there.past};
  int64_t vocab = g->model->cfg->vocab;
  const float *z;

  g->ctx.batch = &b;
  g->ctx.seg = &seg;
  g->ctx.cache = &g->cache;
  for (int i = 0; i < n_seg; i++)
    g->last[i] = (int32_t)(g->start[i + 1] - 1);
  load_call(g, n_seg, token);
  receive(g);
  z = share(g, run_and_send(g, n_seg), n_seg);
  for (int i = 0; i < n_seg; i++) {
    memcpy(row[i], z + i * vocab, (size_t)vocab * sizeof *z);
    g->len[g->slot[i]] += g->start[i + 1] - g->start[i];
  }
}

int
hy_gen_feed(hy_gen *g, int n_seq, const int32_t *slot, const int64_t *n,
            const int32_t *token, float *logits)
{
  int64_t vocab = g->model->cfg->vocab, taken = 0;
  float **row = hy_malloc((size_t)n_seq * sizeof *row);
  int n_seg = 0, i = 0;

  for (int s = 0; s < n_seq; s++)
    if (g->len[slot[s]] + n[s] > g->cache.max_len) {
      free(row);
      return hy_fail(HY_EDATA,
                     "generate: a sequence of %lld tokens outgrows its cache "
                     "of %lld",
                     (long long)(g->len[slot[s]] + n[s]),
                     (long long)g->cache.max_len);
    }
  while (i < n_seq) { /* fill a call, cutting the last sequence if need be */
    int64_t room = g->max_tokens - g->start[n_seg], rest = n[i] - taken;
    int64_t now = rest < room ? rest : room;

    g->slot[n_seg] = slot[i];
    g->past[n_seg] = g->len[slot[i]];
    g->start[n_seg + 1] = g->start[n_seg] + now;
    row[n_seg++] = logits + i * vocab;
    taken = now < rest ? taken + now : 0;
    i += taken == 0;
    if (g->start[n_seg] == g->max_tokens || i == n_seq) {
      together(g, 1);
      call(g, n_seg, token, row);
      token += g->start[n_seg];
      n_seg = 0;
    }
  }
  free(row);
  return HY_OK;
}

void
hy_gen_join(hy_gen *g)
{
  while (together(g, 0))
    call(g, 0, NULL, NULL);
}
