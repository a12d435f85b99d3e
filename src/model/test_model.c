/* test_model.c: documents do not see each other, whatever lies beside them;
 * batches without targets; tied weights. */
#include "model/test_tiny.h"

#define PATTERN "MEM*E-/*E"
enum { N_DOCS = 5, LONGEST = 12, TOTAL = 28 };

static const int64_t len[N_DOCS] = {7, 1, LONGEST, 2, 6};

/* The same documents in one row; in a row each, padded; padded in front. */
typedef struct {
  const int32_t *id[N_DOCS];
  hy_batch packed, rows, gaps;
} documents;

static void
make(documents *d, int n_ahead)
{
  int64_t at = 0;

  test_seed = 3;
  d->packed = tiny_batch(1, TOTAL, n_ahead);
  d->rows = tiny_batch(N_DOCS, LONGEST, n_ahead);
  d->gaps = tiny_batch(2, 2 * TOTAL, n_ahead);
  for (int i = 0; i < N_DOCS; i++) {
    d->id[i] = tiny_ids(len[i]);
    tiny_put(&d->packed, at, d->id[i], len[i]);
    tiny_put(&d->rows, i * LONGEST, d->id[i], len[i]);
    tiny_put(&d->gaps, i % 2 * 2 * TOTAL + at + 3 * i + 1, d->id[i], len[i]);
    at += len[i];
  }
  tiny_close(&d->packed);
  tiny_close(&d->rows);
  tiny_close(&d->gaps);
}

static void
near(double a, double b, double bound)
{
  if (!(fabs(a - b) <= bound * fmax(fabs(b), 1e-3)))
    fail_msg("%.9g, not %.9g (scaled bound %g)", a, b, bound);
}

/* Adds the batch a second time in another form: same sums, same gradients. */
static void
same(tiny *x, const float *g, const hy_losses *l, const int64_t *count)
{
  size_t n = (size_t)(x->m.plan.n_layer_all * x->cfg.n_experts);

  near(x->l.ce, l->ce, 1e-6);
  near(x->l.mtp[0], l->mtp[0], 1e-6);
  near(x->l.mtp[1], l->mtp[1], 1e-6);
  near(x->l.aux, l->aux, 1e-6);
  assert_memory_equal(x->count, count, n * sizeof *count);
  assert_true(tiny_error(x, x->m.params.g, g, 1e-3) < 2e-5);
}

static void
test_packed(void **state)
{
  tiny *x = tiny_new(PATTERN, 1, 2, 2 * TOTAL);
  documents d;
  hy_losses l;
  float *g;
  int64_t *count = test_alloc((size_t)(x->m.plan.n_layer_all * 8), 8);

  (void)state;
  make(&d, 2);
  tiny_step(x, &d.packed);
  l = x->l;
  g = tiny_grads(x);
  memcpy(count, x->count, (size_t)(x->m.plan.n_layer_all * 8) * sizeof *count);
  assert_true(l.ce > 0 && l.mtp[0] > 0 && l.mtp[1] > 0 && l.aux > 0);
  for (int e = 1; e < 8; e++) /* of layer 1, the first with experts */
    count[8] += count[8 + e];
  assert_int_equal(count[8], TOTAL * x->cfg.top_k);
  memcpy(count, x->count, (size_t)(x->m.plan.n_layer_all * 8) * sizeof *count);
  tiny_step(x, &d.rows);
  same(x, g, &l, count);
  tiny_step(x, &d.gaps);
  same(x, g, &l, count);
  tiny_clear(x);
  for (int i = 0; i < N_DOCS; i++) { /* a micro-batch each */
    hy_batch one = tiny_batch(1, len[i], 2);

    tiny_put(&one, 0, d.id[i], len[i]);
    tiny_close(&one);
    tiny_share(&one, &d.packed);
    tiny_add(x, &one, 1);
  }
  same(x, g, &l, count);
  tiny_free(x);
  test_release();
}

/* One thread or two: the same numbers. */
static void
test_threads(void **state)
{
  tiny *x = tiny_new(PATTERN, 1, 2, 2 * TOTAL);
  documents d;
  float *g;
  double ce;

  (void)state;
  make(&d, 2);
  tiny_step(x, &d.packed);
  ce = x->l.ce;
  g = tiny_grads(x);
  tiny_step(x, &d.packed); /* again: the same bits */
  assert_true(x->l.ce == ce);
  assert_true(tiny_error(x, x->m.params.g, g, 1e-3) == 0.0);
  x->c.n_threads = 1;
  tiny_step(x, &d.packed);
  near(x->l.ce, ce, 1e-6);
  assert_true(tiny_error(x, x->m.params.g, g, 1e-3) < 1e-5);
  tiny_free(x);
  test_release();
}

/* --- neighbours ---------------------------------------------------------- */

static const float *
hidden(tiny *x, const hy_batch *b)
{
  x->c.batch = b;
  hy_ctx_reset(&x->c, 0);
  x->c.aux = NULL;
  return hy_f32(hy_model_trunk(&x->c, &x->m));
}

/* Document 2 stays; the others change, and their most frequent token, which
 * it does not use, gets an embedding of NaN and huge numbers. */
static void
poison(tiny *x, documents *d)
{
  static const int32_t id[LONGEST] = {0, 5, 0, 9, 0, 0, 1, 0, 3, 0, 0, 0};
  hy_tensor *table = x->m.weight[x->m.plan.embed];
  int64_t at = 0;

  for (int64_t j = 0; j < x->cfg.d_model; j++)
    hy_f32(table)[j] = j % 2 ? NAN : 3e38f;
  for (int i = 0; i < N_DOCS; at += len[i++])
    if (i != 2)
      tiny_put(&d->packed, at, id, len[i]);
}

/* Not by one bit. With experts by rounding: how BLAS rounds the products of
 * an expert depends on the number of its rows. */
static void
test_neighbours(void **state)
{
  static const char *const pattern[] = {"M", "*", "-", "M*-M", "E", PATTERN};

  (void)state;
  for (int i = 0; i < 6; i++) {
    tiny *x = tiny_new(pattern[i], 1, 2, 2 * TOTAL);
    int64_t n = LONGEST * x->cfg.d_model, at = (len[0] + len[1]) * 16;
    float *want = test_alloc((size_t)n, sizeof *want);
    const float *got;
    documents d;

    make(&d, x->m.plan.n_depth);
    memcpy(want, hidden(x, &d.packed) + at, (size_t)n * sizeof *want);
    poison(x, &d);
    got = hidden(x, &d.packed);
    assert_true(isnan(got[0]) && isnan(got[at + n]));
    if (!strchr(pattern[i], 'E'))
      assert_memory_equal(want, got + at, (size_t)n * sizeof *want);
    for (int64_t j = 0; j < n; j++)
      assert_true(fabsf(got[at + j] - want[j]) < 1e-5f);
    tiny_free(x);
    test_release();
  }
}

/* --- tokens ahead -------------------------------------------------------- */

/* Each document by itself: token, target and weight k further on. */
static void
test_ahead(void **state)
{
  documents d;
  int64_t at = 0;

  (void)state;
  make(&d, 3);
  for (int i = 0; i < N_DOCS; i++) {
    for (int64_t t = 0; t < len[i]; t++)
      for (int k = 1; k <= 3; k++) {
        int64_t u = t + k, from = at + t;
        int in = u < len[i], next = u + 1 < len[i];

        assert_int_equal(d.packed.ahead[k - 1].token[from],
                         in ? d.id[i][u] : 0);
        assert_int_equal(d.packed.ahead[k - 1].target[from],
                         next ? d.id[i][u + 1] : 0);
        assert_true(d.packed.ahead[k - 1].weight[from] == (float)next);
      }
    at += len[i];
  }
  assert_true(d.packed.n_ahead_target[0] == 5 + 0 + 10 + 0 + 4);
  assert_true(d.packed.n_ahead_target[2] == 3 + 0 + 8 + 0 + 2);
  test_release();
}

/* --- nothing to predict -------------------------------------------------- */

static void
zero_grads(const tiny *x, int but_aux)
{
  const hy_params *p = &x->m.params;

  for (size_t i = 0; i < p->n_weight; i++)
    assert_true(isfinite(p->g[i]) && (but_aux || p->g[i] == 0.0f));
}

static void
test_no_targets(void **state)
{
  tiny *x = tiny_new(PATTERN, 1, 2, 2 * TOTAL);
  hy_batch b = tiny_batch(1, 8, 2), pad = tiny_batch(2, 5, 2);

  (void)state;
  test_seed = 4;
  for (int i = 0; i < 4; i++) /* two tokens each: a target, none ahead */
    tiny_put(&b, 2 * i, tiny_ids(2), 2);
  tiny_close(&b);
  tiny_step(x, &b);
  assert_true(b.n_target == 4 && b.n_ahead_target[0] == 0);
  assert_true(x->l.ce > 0 && x->l.mtp[0] == 0 && x->l.mtp[1] == 0);
  zero_grads(x, 1);
  memset(b.weight, 0, 8 * sizeof *b.weight);
  b.n_target = 0;
  x->cfg.aux_coef = 0;
  tiny_step(x, &b);
  assert_true(tiny_total(x, &b) == 0);
  zero_grads(x, 0);
  x->cfg.aux_coef = 0.05;
  tiny_close(&pad); /* nothing but padding */
  tiny_step(x, &pad);
  assert_true(tiny_total(x, &pad) == 0);
  zero_grads(x, 0);
  for (int64_t i = 0; i < x->m.plan.n_layer_all * 8; i++)
    assert_int_equal(x->count[i], 0);
  pad.n_rows = pad.n_tokens = 0; /* a rank without rows */
  tiny_step(x, &pad);
  assert_true(tiny_total(x, &pad) == 0);
  zero_grads(x, 0);
  tiny_free(x);
  test_release();
}

/* --- one matrix for embedding and head ----------------------------------- */

static void
test_tie(void **state)
{
  tiny *x = tiny_new(PATTERN, 1, 1, TOTAL), *y = test_alloc(1, sizeof *y);
  const hy_params *p = &x->m.params, *q = &y->m.params;
  int embed = x->m.plan.embed, head = x->m.plan.head;
  int64_t n = TINY_VOCAB * 16;
  documents d;

  (void)state;
  make(&d, 2);
  y->cfg = x->cfg;
  y->cfg.tie = 1;
  tiny_open(y, &tiny_one_rank, 1, 1, TOTAL);
  assert_int_equal(y->m.plan.head, y->m.plan.embed);
  assert_int_equal(y->m.plan.n_spec + 1, x->m.plan.n_spec);
  memcpy(x->m.weight[head]->data, x->m.weight[embed]->data, (size_t)n * 4);
  for (int i = 0; i < x->m.plan.n_spec; i++) {
    int j = i < head ? i : i - 1; /* the head has no spec of its own */

    if (i != head)
      memcpy(q->ref[j].t.data, p->ref[i].t.data,
             (size_t)hy_spec_size(p->ref[i].spec) * sizeof(float));
  }
  tiny_step(x, &d.packed);
  tiny_step(y, &d.packed);
  near(y->l.ce, x->l.ce, 1e-12);
  for (int64_t i = 0; i < n; i++) {
    double sum =
        (double)p->ref[embed].t.grad[i] + (double)p->ref[head].t.grad[i];

    assert_true(fabs((double)q->ref[embed].t.grad[i] - sum) < 2e-6);
  }
  tiny_free(x);
  tiny_free(y);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_packed),     cmocka_unit_test(test_threads),
      cmocka_unit_test(test_neighbours), cmocka_unit_test(test_ahead),
      cmocka_unit_test(test_no_targets), cmocka_unit_test(test_tie),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
