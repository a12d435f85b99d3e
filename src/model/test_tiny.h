/* test_tiny.h: a small hybrid model and batches of chosen documents, for the
 * tests of everything that runs a whole model. */
#ifndef HYMN_MODEL_TEST_TINY_H
#define HYMN_MODEL_TEST_TINY_H

#include "cpu/test_op.h"
#include "layer/piece.h"
#include "model/workspace.h"

static const hy_grid tiny_one_rank = {.world = {.size = 1},
                                      .tp = {.size = 1},
                                      .cp = {.size = 1},
                                      .dp = {.size = 1},
                                      .pp = {.size = 1},
                                      .dp_cp = {.size = 1},
                                      .ep = {.size = 1},
                                      .edp = {.size = 1},
                                      .embed = {.size = 1},
                                      .seq = {.size = 1},
                                      .stage = {.size = 1}};

enum { TINY_VOCAB = 29 };

/** Sizes for any pattern; large first weights, so that every gradient is far
 *  from zero. */
static inline void
tiny_cfg(hy_cfg *cfg, const char *pattern)
{
  *cfg = (hy_cfg){.vocab = TINY_VOCAB,
                  .d_model = 16,
                  .n_heads = 4,
                  .n_kv_heads = 2,
                  .d_head = 4,
                  .d_ff = 20,
                  .mamba_n_heads = 4,
                  .mamba_d_head = 6,
                  .mamba_n_groups = 2,
                  .mamba_d_state = 5,
                  .mamba_d_conv = 4,
                  .mamba_chunk = 64,
                  .n_experts = 8,
                  .top_k = 3,
                  .n_group = 1,
                  .topk_group = 1,
                  .norm_topk = 1,
                  .d_expert = 12,
                  .d_shared = 10,
                  .d_latent = 8,
                  .routed_scaling = 2.5,
                  .aux_coef = 0.05,
                  .mtp_depths = strchr(pattern, '/') ? 2 : 0,
                  .mtp_repeat = 1,
                  .mtp_scale = 0.3,
                  .norm_eps = 1e-5,
                  .init_std = 0.3};
  snprintf(cfg->pattern, sizeof cfg->pattern, "%s", pattern);
}

/* --- batches ------------------------------------------------------------- */

/** Rows full of padding, for documents to be put into. */
static inline hy_batch
tiny_batch(int64_t n_rows, int64_t seq_len, int n_ahead)
{
  size_t n = (size_t)(n_rows * seq_len);
  hy_batch b = {.n_rows = n_rows,
                .seq_len = seq_len,
                .n_tokens = n_rows * seq_len,
                .n_ahead = n_ahead};

  b.token = test_alloc(n, sizeof *b.token);
  b.target = test_alloc(n, sizeof *b.target);
  b.weight = test_alloc(n, sizeof *b.weight);
  b.seq_start = test_alloc(n, sizeof *b.seq_start);
  b.pad = test_alloc(n, sizeof *b.pad);
  for (int k = 0; k < n_ahead; k++) {
    b.ahead[k].token = test_alloc(n, sizeof *b.ahead[k].token);
    b.ahead[k].target = test_alloc(n, sizeof *b.ahead[k].target);
    b.ahead[k].weight = test_alloc(n, sizeof *b.ahead[k].weight);
  }
  memset(b.pad, 1, n);
  return b;
}

/** A document of n tokens at flat index `at`. */
static inline void
tiny_put(hy_batch *b, int64_t at, const int32_t *id, int64_t n)
{
  assert_true(at / b->seq_len == (at + n - 1) / b->seq_len);
  for (int64_t i = 0; i < n; i++) {
    b->token[at + i] = id[i];
    b->target[at + i] = i + 1 < n ? id[i + 1] : 0;
    b->weight[at + i] = i + 1 < n ? 1.0f : 0.0f;
    b->seq_start[at + i] = (int32_t)at;
    b->pad[at + i] = 0;
  }
  b->n_docs++;
}

/** After the last document: padding in documents of its own, tokens ahead,
 *  denominators of this batch alone. */
static inline void
tiny_close(hy_batch *b)
{
  for (int64_t t = 0; t < b->n_tokens; t++)
    if (b->pad[t])
      b->seq_start[t] =
          t % b->seq_len && b->pad[t - 1] ? b->seq_start[t - 1] : (int32_t)t;
  hy_batch_ahead(b);
  b->n_target = b->n_real = 0;
  for (int64_t t = 0; t < b->n_tokens; t++) {
    b->n_target += (double)b->weight[t];
    b->n_real += !b->pad[t];
  }
  for (int k = 0; k < b->n_ahead; k++) {
    b->n_ahead_target[k] = 0;
    for (int64_t t = 0; t < b->n_tokens; t++)
      b->n_ahead_target[k] += (double)b->ahead[k].weight[t];
  }
}

/** n random ids, never 0. */
static inline int32_t *
tiny_ids(int64_t n)
{
  int32_t *id = test_alloc((size_t)n, sizeof *id);

  for (int64_t i = 0; i < n; i++)
    id[i] = 1 + (int32_t)((test_random() + 1.0) * 0.5 * (TINY_VOCAB - 1));
  return id;
}

/** Denominators of another (the global) batch. */
static inline void
tiny_share(hy_batch *b, const hy_batch *global)
{
  b->n_target = global->n_target;
  b->n_docs = global->n_docs;
  b->n_real = global->n_real;
  memcpy(b->n_ahead_target, global->n_ahead_target, sizeof b->n_ahead_target);
}

/* --- the model ----------------------------------------------------------- */

typedef struct {
  hy_cfg cfg;
  hy_model m;
  hy_ctx c;
  hy_losses l;
  int64_t *count; /* (n_layer_all, n_experts) */
} tiny;

/** Biases, norms and D get random values too: a term that a one or a zero
 *  hides would show. Time steps are long enough for decay to matter. */
static inline void
tiny_weights(hy_model *m, uint64_t seed)
{
  hy_params *p = &m->params;

  hy_params_init(p, seed);
  test_seed = seed;
  for (int i = 0; i < p->n; i++) {
    const hy_spec *s = p->ref[i].spec;
    float *w = p->ref[i].t.data;

    for (int64_t j = 0; s->n_dim == 1 && j < s->dim[0]; j++)
      if (strstr(s->name, "dt_bias"))
        w[j] = -0.5f + (float)test_random();
      else
        w[j] += 0.2f * (float)test_random();
  }
}

/** The model of x->cfg, work space for n_rows rows of seq_len tokens. */
static inline void
tiny_open(tiny *x, const hy_grid *grid, int n_threads, int64_t n_rows,
          int64_t seq_len)
{
  size_t n;

  assert_int_equal(hy_model_new(&x->m, &x->cfg, grid, 1), 0);
  assert_int_equal(hy_workspace_new(&x->c, &x->m, grid, n_threads, n_rows,
                                    seq_len, HY_WS_TRAIN | HY_WS_VALID),
                   0);
  n = (size_t)(x->m.plan.n_layer_all * x->cfg.n_experts);
  x->count = test_alloc(n, sizeof *x->count);
  x->c.count = x->count;
}

static inline tiny *
tiny_new(const char *pattern, int n_threads, int64_t n_rows, int64_t seq_len)
{
  tiny *x = test_alloc(1, sizeof *x);

  tiny_cfg(&x->cfg, pattern);
  tiny_open(x, &tiny_one_rank, n_threads, n_rows, seq_len);
  tiny_weights(&x->m, 7);
  return x;
}

static inline void
tiny_free(tiny *x)
{
  hy_ctx_free(&x->c);
  hy_model_free(&x->m);
}

static inline void
tiny_clear(tiny *x)
{
  memset(x->m.params.g, 0, x->m.params.n_weight * sizeof *x->m.params.g);
  memset(x->count, 0,
         (size_t)(x->m.plan.n_layer_all * x->cfg.n_experts) * sizeof *x->count);
  x->l = (hy_losses){0};
}

/** Forward (and backward) of one more micro-batch. */
static inline void
tiny_add(tiny *x, const hy_batch *b, int backward)
{
  x->c.batch = b;
  hy_ctx_reset(&x->c, 1);
  hy_model_loss(&x->c, &x->m, 1, &x->l);
  if (backward)
    hy_backward(&x->c);
}

static inline void
tiny_step(tiny *x, const hy_batch *b)
{
  tiny_clear(x);
  tiny_add(x, b, 1);
}

/** The total loss of what was added, given the global batch. */
static inline double
tiny_total(const tiny *x, const hy_batch *b)
{
  double sum = x->l.ce / fmax(b->n_target, 1) + x->l.aux;

  for (int k = 0; k < x->m.plan.n_depth; k++)
    sum += x->cfg.mtp_scale / x->m.plan.n_depth * x->l.mtp[k] /
           fmax(b->n_ahead_target[k], 1);
  return sum;
}

/** A copy of the gradients. */
static inline float *
tiny_grads(const tiny *x)
{
  float *g = test_alloc(x->m.params.n_weight, sizeof *g);

  memcpy(g, x->m.params.g, x->m.params.n_weight * sizeof *g);
  return g;
}

/* --- the same model and batch on more ranks ------------------------------ */

/** Rows of this dp rank out of n_rows, documents of 4 tokens in each. */
static inline hy_batch
tiny_rows(const hy_grid *g, int64_t n_rows, int64_t seq_len, int n_ahead)
{
  int64_t first = n_rows * g->dp.rank / g->dp.size;
  int64_t end = n_rows * (g->dp.rank + 1) / g->dp.size;
  hy_batch all = tiny_batch(n_rows, seq_len, n_ahead);
  hy_batch mine = tiny_batch(end - first, seq_len, n_ahead);

  test_seed = 9;
  for (int64_t r = 0; r < n_rows; r++) {
    const int32_t *id = tiny_ids(seq_len);

    for (int64_t at = 0; at < seq_len; at += 4) {
      int64_t n = at + 4 < seq_len ? 4 : seq_len - at;

      tiny_put(&all, r * seq_len + at, id + at, n);
      if (r >= first && r < end)
        tiny_put(&mine, (r - first) * seq_len + at, id + at, n);
    }
  }
  tiny_close(&all);
  tiny_close(&mine);
  tiny_share(&mine, &all);
  return mine;
}

/** Element k of the rank's piece in the whole tensor. */
static inline int64_t
tiny_global(const hy_spec *s, const hy_grid *g, int64_t k)
{
  hy_shard shard;
  hy_pieces pieces;

  hy_shard_of(&shard, s, g);
  hy_pieces_of(&pieces, s, &shard);
  for (int64_t i = 0; i < pieces.n; i++) {
    hy_piece run = hy_piece_at(&pieces, i);

    if (k >= run.local && k < run.local + run.n)
      return run.global + k - run.local;
  }
  fail();
  return 0;
}

/** The same model on this grid, its pieces cut from the whole one. */
static inline tiny *
tiny_piece(const tiny *whole, const hy_grid *g, int64_t n_rows, int64_t seq_len)
{
  tiny *x = test_alloc(1, sizeof *x);

  x->cfg = whole->cfg;
  tiny_open(x, g, 1, n_rows, seq_len);
  for (int i = 0; i < x->m.plan.n_spec; i++) {
    const hy_param_ref *p = &x->m.params.ref[i], *q = &whole->m.params.ref[i];

    for (int64_t k = 0; k < hy_shard_size(&p->shard); k++)
      hy_f32(&p->t)[k] = hy_f32(&q->t)[tiny_global(p->spec, g, k)];
  }
  return x;
}

/** Largest over the parameters of max |a - b| / (max |b| + floor); `floor`
 *  keeps rounding of a vanishing gradient from counting. */
static inline double
tiny_error(const tiny *x, const float *a, const float *b, double floor)
{
  const hy_params *p = &x->m.params;
  double worst = 0.0;

  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    double diff = 0.0, top = 0.0;

    for (int64_t j = 0;
         r->spec->kind == HY_WEIGHT && j < hy_shard_size(&r->shard); j++) {
      double d =
          fabs((double)a[r->at + (size_t)j] - (double)b[r->at + (size_t)j]);

      if (!(d < 1e30))
        return INFINITY;
      diff = fmax(diff, d);
      top = fmax(top, fabs((double)b[r->at + (size_t)j]));
    }
    worst = fmax(worst, diff / (top + floor));
  }
  return worst;
}

#endif
