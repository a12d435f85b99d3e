/* test_carry_mpi.c: convolution and scan of rows that cp has cut, against the
 * same ops on whole rows: outputs, all gradients, and the bytes sent. */
#include "cpu/test_op.h"
#include "op/region.h"
#include "grid/test_mpi.h"

enum { HEADS = 4, D_HEAD = 3, GROUPS = 2, D_STATE = 5, TAPS = 4 };
enum { INNER = HEADS * D_HEAD, STATE = GROUPS * D_STATE };
enum { C = INNER + 2 * STATE };

static hy_comm world; /* set once in main */

/* --- rows ---------------------------------------------------------------- */

/* Whole rows of documents; starts[t]: one starts at token t. */
static hy_batch
whole_rows(int64_t n_rows, int64_t seq_len, const uint8_t *starts)
{
  hy_batch b = {
      .n_rows = n_rows, .seq_len = seq_len, .n_tokens = n_rows * seq_len};

  b.seq_start = test_alloc((size_t)b.n_tokens, sizeof *b.seq_start);
  for (int64_t t = 0; t < b.n_tokens; t++)
    b.seq_start[t] =
        t % seq_len == 0 || starts[t] ? (int32_t)t : b.seq_start[t - 1];
  return b;
}

/* This rank's part. */
static hy_batch
cut_rows(const hy_batch *all, const hy_comm *cp)
{
  hy_batch b = *all;
  int64_t s = all->seq_len, *row_start;
  hy_span *span;

  if (cp->size == 1)
    return b;
  row_start =
      test_alloc((size_t)(2 * cp->size * all->n_rows), sizeof *row_start);
  span = test_alloc((size_t)(2 * all->n_rows), sizeof *span);
  for (int64_t i = 0; i < 2 * cp->size * all->n_rows; i++) {
    int64_t row = i / (2 * cp->size) * s;

    row_start[i] = all->seq_start[row + hy_cut_at(s, cp->size,
                                                  (int)(i % (2 * cp->size)))] -
                   row;
  }
  hy_cut_spans(span, all->n_rows, s, cp->size, cp->rank, row_start);
  b.n_tokens = all->n_rows * hy_cut_tokens(s, cp->size, cp->rank);
  b.n_span = 2 * all->n_rows;
  b.span = span;
  b.row_start = row_start;
  b.seq_start = test_alloc((size_t)b.n_tokens, sizeof *b.seq_start);
  for (int64_t i = 0; i < b.n_span; i++)
    for (int64_t t = span[i].at; t < span[i].at + span[i].n; t++) {
      int64_t g = hy_cut_global(s, cp->size, cp->rank, t);
      int64_t back = g - all->seq_start[g];

      b.seq_start[t] =
          (int32_t)(t - (back < t - span[i].at ? back : t - span[i].at));
    }
  return b;
}

/* --- the part of a layer that looks along a row -------------------------- */

enum { PRE, CONV_W, CONV_B, DT, A_LOG, D, N_IN };

static const char *const in_name[N_IN] = {"pre", "conv weight", "conv bias",
                                          "dt",  "a_log",       "d"};

typedef struct {
  hy_ctx plan, ctx;
  hy_tensor *in[N_IN], *y;
} side;

static hy_tensor *
program(hy_ctx *c, hy_tensor *const *in)
{
  hy_tensor *u = hy_cols_of(c, in[PRE], 0, C), *b, *cc;

  u = hy_conv1d(c, u, in[CONV_W], in[CONV_B], hy_carry_conv(c, u, TAPS));
  u = hy_silu(c, u);
  b = hy_cols_of(c, u, INNER, STATE);
  cc = hy_cols_of(c, u, INNER + STATE, STATE);
  u = hy_cols_of(c, u, 0, INNER);
  return hy_ssd(c, u, in[DT], b, cc, in[A_LOG], in[D], GROUPS,
                hy_carry_state(c, u, in[DT], b, in[A_LOG], GROUPS));
}

/* Numbers of whole rows, then the gradients' place. */
static void
fill(hy_tensor **in, int64_t n_tokens)
{
  static const double lo[N_IN] = {-1, -1, -1, 0.02, -4, -1};
  static const double hi[N_IN] = {1, 1, 1, 0.4, 2.5, 1};
  int64_t rows[N_IN] = {n_tokens, C, C, n_tokens, HEADS, HEADS};
  int64_t cols[N_IN] = {C, TAPS, 1, HEADS, 1, 1};

  for (int i = 0; i < N_IN; i++) {
    in[i] = test_tensor(rows[i], cols[i], 0);
    test_fill(in[i], lo[i], hi[i]);
    in[i]->want = 1;
  }
}

/* Rows of t that this rank has. */
static hy_tensor *
mine(const hy_tensor *t, const hy_batch *b, const hy_comm *cp)
{
  hy_tensor *m = test_tensor(b->n_tokens, hy_cols(t), 0);

  m->want = t->want;
  for (int64_t i = 0; i < b->n_tokens; i++)
    memcpy(hy_f32(m) + i * m->ld,
           hy_f32(t) + hy_cut_global(b->seq_len, cp->size, cp->rank, i) * t->ld,
           (size_t)hy_cols(t) * sizeof(float));
  return m;
}

static void
run(side *s, const hy_grid *g, const hy_batch *b, const hy_tensor *dy)
{
  for (int dry = 1; dry >= 0; dry--) {
    hy_ctx *c = dry ? &s->plan : &s->ctx;

    hy_ctx_init(c, dry ? test_backend()->plan : test_backend(), g, 2, 1);
    if (!dry) {
      assert_int_equal(hy_ctx_reserve(c, &s->plan), 0);
      if (test_backend()->host_memory)
        memset(c->act.base, 0xff, c->act.size);
    }
    c->batch = b;
    hy_ctx_reset(c, 1);
    for (int i = 0; i < N_IN; i++) {
      test_grad(s->in[i], NAN);
      s->in[i]->has = 0;
    }
    s->y = program(c, s->in);
    s->y->has = 1;
    s->y->grad = dy->data;
    hy_backward(c);
  }
  test_backend()->mem->wait();
}

static void
side_free(side *s)
{
  hy_ctx_free(&s->plan);
  hy_ctx_free(&s->ctx);
}

/* --- the checks ---------------------------------------------------------- */

static double worst[N_IN + 1];

/* Largest |got - want| over the largest of all that is wanted. */
static void
close_to(const hy_tensor *t, const float *got, const float *want,
         const hy_tensor *whole, const float *all, double bound, int which)
{
  double e = 0.0, top = 1e-3;

  for (int64_t i = 0; i < t->dim[0] * t->ld; i++) {
    double d = fabs((double)got[i] - (double)want[i]);

    e = d <= e ? e : d; /* NaN is taken */
  }
  for (int64_t i = 0; i < whole->dim[0] * whole->ld; i++)
    top = fmax(top, fabs((double)all[i]));
  worst[which] = fmax(worst[which], e / top);
  if (!(e / top < bound))
    fail_msg("%s: off by %.3g of %.3g", which ? in_name[which - 1] : "y", e,
             top);
}

static void
compare(const side *whole, side *part, const hy_batch *b, const hy_grid *g)
{
  static const double bound[N_IN] = {1e-6, 2e-6, 2e-6, 4e-6, 4e-6, 2e-6};
  float scratch[C * TAPS];
  hy_comm cp = hy_comm_host(&g->cp);
  hy_tensor *want = mine(whole->y, b, &g->cp);

  close_to(part->y, hy_f32(part->y), hy_f32(want), whole->y, hy_f32(whole->y),
           1e-6, 0);
  for (int i = 0; i < N_IN; i++) {
    hy_tensor t = *whole->in[i], *m;
    int rows = i == PRE || i == DT;

    t.data = t.grad;
    m = rows ? mine(&t, b, &g->cp) : &t;
    if (!rows)
      hy_sum_f32(&cp, part->in[i]->grad, scratch, (size_t)(t.dim[0] * t.ld));
    close_to(m, part->in[i]->grad, hy_f32(m), &t, hy_f32(&t), bound[i], i + 1);
  }
}

/* cp of the ranks, tp the rest: each tp rank has numbers of its own. Returns
 * the bytes that this rank has sent. */
static double
check(int cp, int64_t n_rows, int64_t seq_len, const uint8_t *starts)
{
  static const hy_grid one = {
      .world = {.size = 1}, .tp = {.size = 1}, .cp = {.size = 1}};
  hy_deck_grid d = {.tp = world.size / cp, .ep = 1, .cp = cp, .pp = 1};
  hy_batch all = whole_rows(n_rows, seq_len, starts), b;
  side whole = {.y = NULL}, part = {.y = NULL};
  hy_tensor *dy = test_tensor(all.n_tokens, INNER, 0);
  hy_grid g;
  double sent;

  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  test_open(&g);
  b = cut_rows(&all, &g.cp);
  test_seed = (uint64_t)(17 + g.tp.rank);
  fill(whole.in, all.n_tokens);
  test_fill(dy, -1, 1);
  for (int i = 0; i < N_IN; i++)
    part.in[i] = i == PRE || i == DT ? mine(whole.in[i], &b, &g.cp)
                                     : test_copy(whole.in[i]);
  run(&whole, &one, &all, dy);
  run(&part, &g, &b, mine(dy, &b, &g.cp));
  sent = g.meter->sent[HY_AXIS_CP];
  assert_true(sent == part.plan.grid->meter->sent[HY_AXIS_CP]);
  assert_true(part.plan.act.peak == part.ctx.act.peak);
  compare(&whole, &part, &b, &g);
  side_free(&whole);
  side_free(&part);
  test_close(&g);
  hy_grid_free(&g);
  test_release();
  return sent;
}

/* --- documents ----------------------------------------------------------- */

/* Starts for each row in turn: one document; at every border of 2 cp pieces;
 * one token before and one after each; every token; one that runs over three
 * pieces and more; then random ones of different mean lengths. */
static uint8_t *
documents(int cp, int64_t n_rows, int64_t seq_len, int kind)
{
  uint8_t *start = test_alloc((size_t)(n_rows * seq_len), 1);

  for (int64_t row = 0; row < n_rows; row++) {
    uint8_t *s = start + row * seq_len;
    double share = pow(2.0, -2.0 - 2.0 * (double)((row + kind) % 4));

    for (int p = 1; p < 2 * cp; p++) {
      int64_t at = hy_cut_at(seq_len, cp, p);

      s[at] = (row + kind) % 9 == 1;
      s[at - 1] = s[at + 1] = (row + kind) % 9 == 2;
    }
    if ((row + kind) % 9 == 3)
      memset(s, 1, (size_t)seq_len);
    if ((row + kind) % 9 == 4)
      s[2] = s[seq_len - 2] = 1;
    for (int64_t t = 0; t < seq_len && (row + kind) % 9 > 4; t++)
      s[t] = test_random() < 2.0 * share - 1.0;
  }
  return start;
}

static void
test_documents(void **state)
{
  static const int64_t len[] = {24, 65, 197, 700};

  (void)state;
  for (int cp = 1; cp <= world.size; cp *= 2)
    for (int i = 0; i < (TEST_WAYS > 1 ? 2 : 4); i++)
      for (int kind = 0; kind<(i < 3 ? 9 : 3); kind += TEST_WAYS> 1 ? 3 : 1) {
        test_seed = (uint64_t)(100 * i + kind);
        check(cp, 1 + kind % 3, len[i],
              documents(cp, 1 + kind % 3, len[i], kind));
      }
  for (int i = 0; i <= N_IN && world.rank == 0; i++)
    print_message("%s: worst error %.2g\n", i > 0 ? in_name[i - 1] : "y",
                  worst[i]);
}

/* Nothing where no document crosses a border; what the formulas say for one
 * document, however long the row. */
static void
test_bytes(void **state)
{
  int64_t cp = world.size, n = 2 * cp, rounds = 0;
  int64_t state_bytes = 4 * HEADS * (D_HEAD * D_STATE + 1);
  int64_t halo = 4 * (TAPS - 1) * C, want, sent;

  (void)state;
  while (1 << rounds < n)
    rounds++;
  want = 2 * ((n - 2) * halo + n * (rounds - 1) * state_bytes);
  for (int64_t len = 256; len <= (TEST_WAYS > 1 ? 256 : 1024); len *= 4)
    for (int64_t rows = 1; rows <= 2; rows++) {
      uint8_t *one = test_alloc((size_t)(rows * len), 1);

      sent = (int64_t)check((int)cp, rows, len, one);
      hy_sum_i64(&world, &sent, 1);
      assert_true(sent == rows * want);
    }
  assert_true(check((int)cp, 1, 256, documents((int)cp, 1, 256, 1)) == 0.0);
}

static const struct CMUnitTest test[] = {
    cmocka_unit_test(test_documents),
    cmocka_unit_test(test_bytes),
};

TEST_MPI_MAIN(test)
