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
  for (int i = 0; i < 4 * p->n_layer; i++) {
    hy_tensor *t = state_of(&c->layer[i / 4], i % 4);

    n += t->n_dim ? (size_t)(t->dim[0] * t->ld) : 0;
  }
  g->store = calloc(n ? n : 1, sizeof *g->store);
  if (!g->store)
    return hy_fail(HY_ERES,
                   "memory: cannot get %zu bytes for the caches of %lld "
                   "sequences; lower generate.batch or generate.max_new",
                   n * sizeof *g->store, (long long)n_slots);
  n = 0;
  for (int i = 0; i < 4 * p->n_layer; i++) {
    hy_tensor *t = state_of(&c->layer[i / 4], i % 4);

    t->data = t->n_dim ? g->store + n : NULL;
    n += t->n_dim ? (size_t)(t->dim[0] * t->ld) : 0;
  }
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
  hy_segments seg = {(int)g->cache.n_slots, g->start, g->slot, g->past};
  hy_ctx plan;
  int err;

  hy_ctx_init(&plan, hy_backend_dry(grid), grid, n_threads,
              g->model->plan.n_layer);
  plan.batch = &b;
  plan.seg = &seg;
  plan.cache = &g->cache;
  plan.worst = 1; /* any routing must fit */
  run(&plan, g->model, g->last, g->cache.n_slots);
  hy_ctx_init(&g->ctx, hy_backend_of(grid), grid, n_threads, 0);
  err = hy_ctx_reserve(&g->ctx, &plan);
  hy_ctx_free(&plan);
  return err;
}

int
hy_gen_new(hy_gen *g, const hy_model *m, const hy_grid *grid, int n_threads,
           int64_t n_slots, int64_t max_len, int64_t max_tokens)
{
  size_t n = (size_t)n_slots;
  int err;

  *g = (hy_gen){.model = m, .max_tokens = max_tokens};
  g->len = hy_calloc(n, sizeof *g->len);
  g->start = hy_calloc(n + 1, sizeof *g->start);
  g->past = hy_calloc(n, sizeof *g->past);
  g->slot = hy_calloc(n, sizeof *g->slot);
  g->last = hy_calloc(n, sizeof *g->last);
  if (grid->pp.size > 1) {
    g->from = hy_malloc((size_t)(max_tokens * m->cfg->d_model) * sizeof(float));
    g->logits = hy_malloc((size_t)(n_slots * m->cfg->vocab) * sizeof(float));
  }
  err = new_caches(g, grid, n_slots, max_len);
  return err ? err : new_workspace(g, grid, n_threads);
}

void
hy_gen_free(hy_gen *g)
{
  hy_ctx_free(&g->ctx);
  free(g->cache.layer);
  free(g->store);
  free(g->from);
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
        memset(hy_f32(t) + slot * t->ld, 0, hy_bytes(HY_F32, t->ld));
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
    hy_exchange(pp, NULL, 0, -1, g->from, (size_t)n * sizeof *g->from,
                pp->rank - 1);
}

static hy_tensor *
run_and_send(hy_gen *g, int n_seg)
{
  const hy_comm *pp = &g->ctx.grid->pp;
  hy_tensor *z = run(&g->ctx, g->model, g->last, n_seg), *x = g->ctx.pipe.out;

  if (x)
    hy_exchange(pp, x->data, hy_bytes(HY_F32, x->dim[0] * x->ld), pp->rank + 1,
                NULL, 0, -1);
  return z;
}

/* Logits (n, vocab) of the last stage on all stages. */
static const float *
share(hy_gen *g, const hy_tensor *z, int64_t n)
{
  const hy_comm *pp = &g->ctx.grid->pp;
  size_t bytes = (size_t)(n * g->model->cfg->vocab) * sizeof(float);

  if (pp->size == 1)
    return hy_f32(z);
  if (z && n > 0)
    memcpy(g->logits, z->data, bytes);
  hy_bcast(pp, g->logits, bytes, pp->size - 1);
  return g->logits;
}

/* One call of at most max_tokens tokens; logits of segment i go to row[i]. */
static void
call(hy_gen *g, int n_seg, const int32_t *token, float *const *row)
{
  hy_batch b = {.n_rows = 1,
                .seq_len = g->start[n_seg],
                .n_tokens = g->start[n_seg],
                .token = (int32_t *)(uintptr_t)token};
  hy_segments seg = {n_seg, g->start, g->slot, g->past};
  int64_t vocab = g->model->cfg->vocab;
  const float *z;

  g->ctx.batch = &b;
  g->ctx.seg = &seg;
  g->ctx.cache = &g->cache;
  for (int i = 0; i < n_seg; i++)
    g->last[i] = (int32_t)(g->start[i + 1] - 1);
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
