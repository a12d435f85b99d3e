/* test_ring_mpi.c: attention over rows that cp cuts, against the same rows
 * whole on one rank: output, log-sum-exp and gradients, for random documents.
 * What the dry walk counts is what is sent. */
#include "cpu/test_op.h"
#include "base/rng.h"
#include "data/cut.h"
#include "grid/grid.h"
#include "grid/meter.h"
#include "op/region.h"
#include "grid/test_mpi.h"

enum { HEADS = 4, KV = 2, D = 5, MAX_ROWS = 3 };

static const hy_grid one_rank = {
    .world = {.size = 1}, .tp = {.size = 1}, .cp = {.size = 1}};
static hy_comm world; /* set once in main */
static uint64_t draw;

static int64_t
any(int64_t n)
{
  return (int64_t)(hy_rng_u64(3, draw++) % (uint64_t)n);
}

/* One attention: leaves, their gradients, and what came out. */
typedef struct {
  hy_ctx c;
  hy_batch b;
  hy_tensor *in[3], *out;
  const hy_tensor *lse;
  double sent[2]; /* planned, and in truth, by this rank */
} side;

/* kind 0: one document a row; 1: borders exactly between pieces; else random
 * documents of about `kind` tokens. */
static hy_batch
whole_rows(int64_t n_rows, int64_t seq_len, int cp, int64_t kind)
{
  int64_t n = n_rows * seq_len;
  size_t room = (size_t)n;
  hy_batch b = {.n_rows = n_rows,
                .seq_len = seq_len,
                .n_tokens = n,
                .token = test_alloc(room, 4),
                .target = test_alloc(room, 4),
                .weight = test_alloc(room, 4),
                .seq_start = test_alloc(room, 4),
                .pad = test_alloc(room, 1)};

  for (int64_t t = 0; t < n; t++) {
    int64_t u = t % seq_len;
    int first = u == 0 || (kind > 1 && any(kind) == 0);

    for (int p = 0; p < 2 * cp && kind == 1; p++)
      first |= u == hy_cut_at(seq_len, cp, p) && any(2);
    b.seq_start[t] = first ? (int32_t)t : b.seq_start[t - 1];
  }
  return b;
}

static void
run(side *s, const hy_grid *g, hy_meter *meter)
{
  hy_ctx plan;
  hy_tensor *y;

  hy_ctx_init(&plan, test_backend()->plan, g, 1, 1);
  for (int dry = 1; dry >= 0; dry--) {
    hy_ctx *c = dry ? &plan : &s->c;

    if (!dry) {
      hy_ctx_init(c, test_backend(), g, 1, 1);
      assert_int_equal(hy_ctx_reserve(c, &plan), 0);
      if (test_backend()->host_memory)
        memset(c->act.base, 0xff, c->act.size);
      s->sent[1] = meter ? -meter->sent[HY_AXIS_CP] : 0;
    }
    c->batch = &s->b;
    hy_ctx_reset(c, 1);
    y = hy_ring_kv(c, s->in[0], s->in[1], s->in[2], HEADS, KV);
    y->has = 1;
    if (!dry) {
      y->grad = s->out->grad;
      s->lse = c->tape.rec[0]->save[0];
    }
    hy_backward(c);
  }
  s->sent[0] = plan.grid->meter->sent[HY_AXIS_CP];
  s->sent[1] += meter ? meter->sent[HY_AXIS_CP] : 0;
  test_backend()->mem->copy(s->out->data, y->data,
                            (size_t)(y->dim[0] * y->ld) * sizeof(float));
  test_backend()->mem->wait();
  hy_ctx_free(&plan);
}

/* Own rows of a tensor of the whole rows; NaN between rows. */
static hy_tensor *
mine_of(const hy_tensor *all, const hy_batch *b, const hy_comm *cp, int64_t gap)
{
  hy_tensor *t = test_tensor(b->n_tokens, hy_cols(all), gap);

  for (int64_t i = 0; i < b->n_tokens; i++)
    memcpy(hy_f32(t) + i * t->ld,
           hy_f32(all) +
               hy_cut_global(b->seq_len, cp->size, cp->rank, i) * all->ld,
           (size_t)hy_cols(all) * sizeof(float));
  return t;
}

/* Largest difference of own rows, over the largest number of the whole. */
static double
error(const float *got, int64_t ld, const float *want, int64_t want_ld,
      int64_t cols, const hy_batch *b, const hy_comm *cp, float add)
{
  double top = 1e-3, diff = 0;

  for (int64_t i = 0; i < b->n_rows * b->seq_len; i++)
    for (int64_t j = 0; j < cols; j++)
      top = fmax(top, fabs((double)want[i * want_ld + j]));
  for (int64_t i = 0; i < b->n_tokens; i++) {
    int64_t at = hy_cut_global(b->seq_len, cp->size, cp->rank, i) * want_ld;

    for (int64_t j = 0; j < cols; j++) {
      double d =
          fabs((double)got[i * ld + j] - (double)want[at + j] - (double)add);

      diff = d <= diff ? diff : d; /* a NaN stays */
    }
  }
  return diff / top;
}

static void
start_grads(side *s, float held)
{
  for (int i = 0; i < 3; i++) {
    s->in[i]->want = 1;
    s->in[i]->has = !isnan(held);
    test_grad(s->in[i], held);
  }
}

static void
check_same(const side *m, const side *w, const hy_comm *cp, float held)
{
  const hy_tensor *o = m->out;
  double worst = error(hy_f32(o), o->ld, hy_f32(w->out), w->out->ld, hy_cols(o),
                       &m->b, cp, 0);

  worst = fmax(worst, error(hy_f32(m->lse), HEADS, hy_f32(w->lse), HEADS, HEADS,
                            &m->b, cp, 0));
  for (int i = 0; i < 3; i++) {
    const hy_tensor *a = m->in[i], *b = w->in[i];

    worst = fmax(worst, error(a->grad, a->ld, b->grad, b->ld, hy_cols(a), &m->b,
                              cp, isnan(held) ? 0 : held));
    if (isnan(held))
      test_gaps(a, a->grad);
  }
  if (!(worst < 2e-6))
    fail_msg("cp %d, %lld rows of %lld: error %.2g", cp->size,
             (long long)m->b.n_rows, (long long)m->b.seq_len, worst);
}

/* Bytes of one document a row by the formula; both passes. */
static void
check_bytes(const side *m, const hy_comm *cp)
{
  double q = (double)(m->b.seq_len / (2 * cp->size) * 2 * KV * D) * 4;
  double sum = m->sent[1], mean = 1.5 * (cp->size - 1) * q;

  hy_sum_f64(cp, &sum, 1);
  assert_true(sum == 3 * mean * cp->size * (double)m->b.n_rows);
}

static void
check(const hy_grid *g, int64_t n_rows, int64_t seq_len, int64_t kind,
      float held)
{
  hy_cut_layout l = hy_cut_layout_of(g, 4);
  side w = {0}, m = {0};
  hy_cut *cut;

  w.b = whole_rows(n_rows, seq_len, l.cp, kind);
  assert_int_equal(hy_cut_new(&cut, &l, n_rows, seq_len, 0), 0);
  hy_cut_rows(cut, &w.b, &m.b);
  for (int i = 0; i < 4; i++) {
    hy_tensor *t = test_tensor(w.b.n_tokens, i % 3 ? KV * D : HEADS * D, 0);

    test_fill(t, -3, 3);
    *(i < 3 ? &w.in[i] : &w.out) = t;
    *(i < 3 ? &m.in[i] : &m.out) = mine_of(t, &m.b, &g->cp, i < 3 ? i : 0);
  }
  test_grad(w.out, 0);
  test_grad(m.out, 0);
  memcpy(w.out->grad, w.out->data, (size_t)(w.b.n_tokens * HEADS * D) * 4);
  memcpy(m.out->grad, m.out->data, (size_t)(m.b.n_tokens * HEADS * D) * 4);
  start_grads(&w, NAN);
  start_grads(&m, held);
  run(&w, &one_rank, NULL);
  run(&m, g, g->meter);
  check_same(&m, &w, &g->cp, held);
  assert_true(m.sent[0] == m.sent[1]);
  if (kind == 0 && seq_len % (2 * l.cp) == 0)
    check_bytes(&m, &g->cp);
  hy_cut_free(cut);
  hy_ctx_free(&w.c);
  hy_ctx_free(&m.c);
  test_release();
}

static void
test_ring(void **state)
{
  (void)state;
  for (int cp = 1; cp <= world.size; cp++) {
    hy_deck_grid d = {.tp = 1, .ep = 1, .cp = cp, .pp = 1};
    hy_grid g;

    if (world.size % cp)
      continue;
    assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
    test_open(&g);
    for (int i = 0; i < (TEST_WAYS > 1 ? 9 : 60); i++) {
      int64_t seq_len = 6 * cp + any(70);
      int64_t kind = i % 3 < 2 ? i % 3 : 2 + any(2 * seq_len);

      check(&g, any(MAX_ROWS + 1), i % 2 ? seq_len : 8 * cp, kind,
            i % 4 ? NAN : 0.5f);
    }
    check(&g, 1, TEST_WAYS > 1 ? 300 : 1200, 0,
          NAN); /* more than a tile of queries and keys */
    check(&g, TEST_WAYS > 1 ? 5 : 40, 6 * cp, 9, NAN);
    test_close(&g);
    hy_grid_free(&g);
  }
}

static const struct CMUnitTest test[] = {cmocka_unit_test(test_ring)};

TEST_MPI_MAIN(test)
