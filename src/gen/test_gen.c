/* test_gen.c: text that arrives in pieces, among others, in any slot, gives
 * the logits of one forward pass; what the sampler draws. */
#include "model/test_tiny.h"
#include "base/err.h"
#include "gen/gen.h"

#define PATTERN "MEM*E-"
enum { LEN = 40, N_SEQ = 3, SLOTS = 4, V = TINY_VOCAB };

/* --- generation ---------------------------------------------------------- */

typedef struct {
  tiny *x;
  hy_gen g;
  int32_t *id[N_SEQ];
  double *want[N_SEQ]; /* (LEN, V) logits of one forward pass */
  int64_t fed[N_SEQ];
} texts;

static void
reference(texts *s, int i)
{
  hy_batch b = tiny_batch(1, LEN, 0);
  hy_ctx *c = &s->x->c;
  hy_tensor *h, *z;

  tiny_put(&b, 0, s->id[i], LEN);
  tiny_close(&b);
  c->batch = &b;
  hy_ctx_reset(c, 0);
  h = hy_model_trunk(c, &s->x->m);
  hy_layer_begin(c, -1, -1, -1); /* as in the validation that was planned */
  z = hy_model_logits(c, &s->x->m, h);
  s->want[i] = test_double(z, hy_f32(z));
}

static void
open_gen(texts *s, int64_t max_tokens)
{
  assert_int_equal(
      hy_gen_new(&s->g, &s->x->m, &tiny_one_rank, 1, SLOTS, LEN, max_tokens),
      0);
  memset(s->fed, 0, sizeof s->fed);
}

static void
set_up(texts *s, const char *pattern, int64_t max_tokens)
{
  s->x = tiny_new(pattern, 1, 1, LEN);
  test_seed = 21;
  for (int i = 0; i < N_SEQ; i++)
    s->id[i] = tiny_ids(LEN);
  for (int i = 0; i < N_SEQ; i++)
    reference(s, i);
  open_gen(s, max_tokens);
}

static void
tear_down(texts *s)
{
  hy_gen_free(&s->g);
  tiny_free(s->x);
  test_release();
}

/* The next n[i] tokens of each text i with n[i] > 0, text order[0] first;
 * logits (N_SEQ, V) in that order. */
static void
feed(texts *s, const int64_t *n, const int *order, const int32_t *slot,
     float *logits)
{
  int32_t token[N_SEQ * LEN], where[N_SEQ];
  int64_t len[N_SEQ], at = 0;
  int k = 0;

  for (int j = 0; j < N_SEQ; j++) {
    int i = order[j];

    if (n[i] == 0)
      continue;
    memcpy(token + at, s->id[i] + s->fed[i], (size_t)n[i] * sizeof *token);
    at += n[i];
    s->fed[i] += n[i];
    where[k] = slot[i];
    len[k++] = n[i];
  }
  assert_int_equal(hy_gen_feed(&s->g, k, where, len, token, logits), 0);
}

/* max |logits - want| over the largest logit, of text i after s->fed[i]. */
static double
error(const texts *s, int i, const float *logits)
{
  const double *want = s->want[i] + (s->fed[i] - 1) * V;
  double worst = 0.0, top = 0.0;

  for (int j = 0; j < V; j++) {
    worst = fmax(worst, fabs((double)logits[j] - want[j]));
    top = fmax(top, fabs(want[j]));
    if (isnan(logits[j]))
      return INFINITY;
  }
  return worst / top;
}

/* Pieces of the texts in calls of their own mixture. */
static void
pieces(int64_t max_tokens, const int64_t (*n)[N_SEQ], int n_calls,
       const int32_t *slot, const int *order)
{
  float logits[N_SEQ * V];
  texts s;

  set_up(&s, PATTERN, max_tokens);
  for (int call = 0; call < n_calls; call++) {
    int k = 0;

    feed(&s, n[call], order, slot, logits);
    for (int j = 0; j < N_SEQ; j++)
      if (n[call][order[j]] > 0)
        assert_true(error(&s, order[j], logits + V * k++) < 1e-5);
  }
  tear_down(&s);
}

static void
test_pieces(void **state)
{
  static const int64_t n[][N_SEQ] = {{5, 0, 17}, {1, 1, 1},  {1, 30, 1},
                                     {9, 0, 2},  {0, 1, 19}, {24, 8, 0}};
  static const int64_t whole[][N_SEQ] = {{LEN, LEN - 1, LEN - 7}, {0, 1, 7}};
  static const int order[] = {0, 1, 2}, back[] = {2, 0, 1};
  static const int32_t low[] = {0, 1, 2}, mixed[] = {3, 0, 2};

  (void)state;
  pieces(N_SEQ * LEN, n, 6, low, order);
  pieces(N_SEQ * LEN, n, 6, mixed, back);
  pieces(N_SEQ * LEN, whole, 2, mixed, order);
  /* calls smaller than a piece, also than a prompt */
  pieces(SLOTS, n, 6, mixed, back);
  pieces(7, n, 6, low, order);
  pieces(SLOTS, whole, 2, mixed, back);
}

/* Token 0 has an embedding of NaN. The others in a call become all that, in a
 * call of the same shape: no bit of text 1 changes (with experts, whose
 * numbers of rows change, rounding does). */
static void
neighbours(const char *pattern)
{
  static const int64_t n[][N_SEQ] = {{4, 6, 9}, {1, 1, 1}, {3, 2, 1}};
  static const int order[] = {0, 1, 2};
  static const int32_t slot[] = {2, 0, 3};
  float clean[3][N_SEQ * V], logits[N_SEQ * V];
  texts s;

  set_up(&s, pattern, 64);
  for (int call = 0; call < 3; call++)
    feed(&s, n[call], order, slot, clean[call]);
  for (int j = 0; j < s.x->cfg.d_model; j++)
    hy_f32(s.x->m.weight[s.x->m.plan.embed])[j] = NAN;
  memset(s.id[0], 0, LEN * sizeof *s.id[0]);
  memset(s.id[2], 0, LEN * sizeof *s.id[2]);
  hy_gen_free(&s.g);
  open_gen(&s, 64);
  for (int call = 0; call < 3; call++) {
    feed(&s, n[call], order, slot, logits);
    assert_true(isnan(logits[0]) && isnan(logits[2 * V]));
    assert_true(error(&s, 1, logits + V) < 1e-5);
    if (!strchr(pattern, 'E'))
      assert_memory_equal(logits + V, clean[call] + V, V * sizeof *logits);
  }
  tear_down(&s);
}

static void
test_alone(void **state)
{
  (void)state;
  neighbours("M");
  neighbours("*");
  neighbours("M-*M");
  neighbours(PATTERN);
}

/* A slot that held NaN is as good as new. */
static void
test_clear(void **state)
{
  static const int64_t n[] = {0, 0, 11};
  static const int order[] = {0, 1, 2};
  static const int32_t slot[] = {0, 1, 1};
  float first[V], again[V];
  texts s;
  hy_tensor *table;

  (void)state;
  set_up(&s, PATTERN, 64);
  feed(&s, n, order, slot, first);
  hy_gen_clear(&s.g, 1);
  table = s.x->m.weight[s.x->m.plan.embed];
  for (int j = 0; j < s.x->cfg.d_model; j++)
    hy_f32(table)[j] = NAN; /* of token 0 */
  memset(s.id[1], 0, LEN * sizeof *s.id[1]);
  feed(&s, (int64_t[]){0, LEN, 0}, order, slot, again);
  assert_true(isnan(again[0]));
  hy_gen_clear(&s.g, 1);
  s.fed[2] = 0;
  feed(&s, n, order, slot, again);
  assert_memory_equal(first, again, sizeof first);
  tear_down(&s);
}

static void
test_full(void **state)
{
  static const int order[] = {0, 1, 2};
  static const int32_t slot[] = {0, 1, 2};
  int64_t one = 1;
  float logits[N_SEQ * V];
  texts s;

  (void)state;
  set_up(&s, PATTERN, 64);
  feed(&s, (int64_t[]){LEN - 1, 0, 0}, order, slot, logits);
  feed(&s, (int64_t[]){1, 0, 0}, order, slot, logits); /* the last that fits */
  assert_true(error(&s, 0, logits) < 1e-5);
  hy_err_clear();
  assert_int_equal(hy_gen_feed(&s.g, 1, slot, &one, s.id[0], logits), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "41 tokens outgrows its cache of 40"));
  hy_err_clear();
  tear_down(&s);
}

/* --- sampler ------------------------------------------------------------- */

enum { N = 7, DRAWS = 20000 };

static const float logit[N] = {0.5f, 2.0f, -1.0f, 2.0f, 1.0f, -INFINITY, 0.0f};
/* of the seven, the most probable first; equals by number */
static const int rank[N] = {1, 3, 4, 0, 6, 2, 5};

/* Probabilities of the rules, and the draws against them: chi square. */
static double
chi_square(const hy_sampler *s)
{
  double p[N] = {0}, all = 0.0, kept = 0.0, reach = 0.0, sum = 0.0;
  int count[N] = {0}, n = s->top_k ? (int)s->top_k : N;
  float work[2 * N];

  for (int i = 0; i < n; i++)
    all += exp((double)logit[rank[i]] / s->temperature);
  for (int i = 0; i < n && (i == 0 || reach < s->top_p * all); i++) {
    p[rank[i]] = exp((double)logit[rank[i]] / s->temperature);
    kept = reach += p[rank[i]];
  }
  for (uint64_t i = 0; i < DRAWS; i++)
    count[hy_sample(s, i, logit, N, work)]++;
  for (int i = 0; i < N; i++) {
    double want = DRAWS * p[i] / kept;

    if (want == 0.0)
      assert_int_equal(count[i], 0);
    else
      sum += (count[i] - want) * (count[i] - want) / want;
  }
  return sum;
}

/* With 5 degrees of freedom 1 in 1000 seeds gives more than 20.5. */
static void
test_frequencies(void **state)
{
  static const hy_sampler s[] = {
      {1.0, 0, 1.0, 1},  {0.5, 0, 1.0, 2}, {3.0, 0, 1.0, 3}, {1.0, 3, 1.0, 4},
      {1.0, 0, 0.5, 5},  {1.0, 0, 0.9, 6}, {0.7, 4, 0.8, 7}, {1.0, 1, 1.0, 8},
      {1.0, 0, 1e-9, 9}, {2.0, 7, 1.0, 10}};

  (void)state;
  for (int i = 0; i < 10; i++)
    assert_true(chi_square(&s[i]) < 20.5);
}

static void
test_greedy(void **state)
{
  hy_sampler s = {0.0, 0, 1.0, 1};
  float z[4] = {-3, -1, -1, -2}, work[8];

  (void)state;
  for (uint64_t i = 0; i < 20; i++) {
    assert_int_equal(hy_sample(&s, i, z, 4, work), 1); /* of equals the first */
    s.key = i;
  }
  z[3] = 5;
  assert_int_equal(hy_sample(&s, 0, z, 4, work), 3);
  s.temperature = 1e-3; /* nearly greedy; exp must not overflow */
  z[0] = 3e4f;
  assert_int_equal(hy_sample(&s, 0, z, 4, work), 0);
}

/* A draw depends on key and counter alone. */
static void
test_repeats(void **state)
{
  hy_sampler s = {1.0, 0, 1.0, 1}, t = {1.0, 0, 1.0, 2};
  float work[2 * N];
  int differ = 0;

  (void)state;
  for (uint64_t i = 0; i < 200; i++) {
    int32_t a = hy_sample(&s, i, logit, N, work);

    differ += hy_sample(&t, i, logit, N, work) != a;
    assert_int_equal(hy_sample(&s, i, logit, N, work), a);
  }
  assert_true(differ > 50);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_pieces),      cmocka_unit_test(test_alone),
      cmocka_unit_test(test_clear),       cmocka_unit_test(test_full),
      cmocka_unit_test(test_frequencies), cmocka_unit_test(test_greedy),
      cmocka_unit_test(test_repeats),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
