/* test_moe.c: the balance loss counts documents, not rows; padding counts
 * nowhere; the router's correction bias follows the counts. */
#include "model/test_tiny.h"
#include "optim/update.h"

#define PATTERN "ME*E/*E"
enum { E = 8, K = 3, N_DOCS = 3, LONGEST = 9, TOTAL = 15 };

static const int64_t len[N_DOCS] = {5, LONGEST, 1};

/* --- naive versions ------------------------------------------------------ */

static double
score(float logit)
{
  return 1.0 / (1.0 + exp(-(double)logit));
}

/* coef E / (K n^2) sum_e count_e sum_t P_te of one document, count from the
 * largest scores without bias. */
static double
naive_document(const float *const *logit, int64_t n, double coef)
{
  double sum[E] = {0}, count[E] = {0}, all = 0.0;

  for (int64_t t = 0; t < n; t++) {
    double total = 0.0;

    for (int e = 0; e < E; e++)
      total += score(logit[t][e]);
    for (int e = 0; e < E; e++) {
      int better = 0;

      for (int o = 0; o < E; o++)
        better += logit[t][o] > logit[t][e];
      count[e] += better < K;
      sum[e] += score(logit[t][e]) / total;
    }
  }
  for (int e = 0; e < E; e++)
    all += sum[e] * count[e];
  return n == 0 ? 0.0 : coef * E / (double)(K * n * n) * all;
}

/* Mean over the documents of the batch. */
static double
naive_aux(const hy_batch *b, const hy_tensor *logits, double coef)
{
  const float *real[4 * TOTAL];
  double sum = 0.0;

  for (int64_t first = 0; first < b->n_tokens; first++) {
    int64_t n = 0;

    for (int64_t t = 0; t < b->n_tokens; t++)
      if (b->seq_start[t] == first && !b->pad[t])
        real[n++] = hy_f32(logits) + t * logits->ld;
    sum += naive_document(real, n, coef);
  }
  return sum / b->n_docs;
}

/* --- one document in any surroundings ------------------------------------ */

typedef struct {
  hy_batch b;
  int64_t at[N_DOCS]; /* first token of each document */
} layout;

static void
make(layout *l, int64_t n_rows, int64_t seq_len, const int64_t *at)
{
  l->b = tiny_batch(n_rows, seq_len, 2);
  test_seed = 2;
  for (int i = 0; i < N_DOCS; i++)
    tiny_put(&l->b, l->at[i] = at[i], tiny_ids(len[i]), len[i]);
  tiny_close(&l->b);
}

static void
make_all(layout l[3])
{
  static const int64_t packed[] = {0, 5, 14}, rows[] = {0, 9, 18};
  static const int64_t padded[] = {2, 17, 12};

  make(&l[0], 1, TOTAL, packed);
  make(&l[1], N_DOCS, LONGEST, rows);
  make(&l[2], 2, TOTAL, padded);
}

/* Value and gradient of the loss for the same documents in this layout. */
static double
aux_of(const layout *l, hy_tensor *const *doc, hy_tensor *x)
{
  hy_ctx c[2];
  double value = 0.0;

  test_fill(x, -3, 3); /* padding: anything */
  for (int i = 0; i < N_DOCS; i++)
    memcpy(hy_f32(x) + l->at[i] * x->ld, doc[i]->data,
           (size_t)(len[i] * E) * sizeof(float));
  test_grad(x, NAN);
  x->want = 1;
  for (int i = 0; i < 2; i++) {
    hy_ctx_init(&c[i], i ? &hy_backend_cpu : &hy_backend_plan, &tiny_one_rank,
                2, 1);
    if (i)
      assert_int_equal(hy_ctx_reserve(&c[1], &c[0]), 0);
    c[i].batch = &l->b;
    x->has = 0;
    value = 0.0;
    hy_ctx_reset(&c[i], 1);
    hy_seq_aux(&c[i], x, K, 0.5f, &value);
    hy_backward(&c[i]);
  }
  hy_ctx_free(&c[0]);
  hy_ctx_free(&c[1]);
  return value;
}

static void
test_aux_layouts(void **state)
{
  hy_tensor *doc[N_DOCS], *x[3];
  layout l[3];
  double want = 0.0;

  (void)state;
  make_all(l);
  for (int i = 0; i < N_DOCS; i++)
    test_fill(doc[i] = test_tensor(len[i], E, 0), -2, 2);
  for (int k = 0; k < 3; k++) {
    double value;

    x[k] = test_tensor(l[k].b.n_tokens, E, 0);
    value = aux_of(&l[k], doc, x[k]);
    want = naive_aux(&l[k].b, x[k], 0.5);
    assert_true(fabs(value - want) < 1e-6 * want);
    for (int64_t t = 0; t < l[k].b.n_tokens; t++)
      for (int e = 0; e < E; e++)
        if (l[k].b.pad[t])
          assert_true(x[k]->grad[t * E + e] == 0.0f);
    for (int i = 0; i < N_DOCS; i++)
      for (int64_t j = 0; j < len[i] * E; j++)
        assert_true(fabs((double)x[k]->grad[l[k].at[i] * E + j] -
                         (double)x[0]->grad[l[0].at[i] * E + j]) < 1e-8);
  }
  test_release();
}

/* --- a whole model ------------------------------------------------------- */

typedef struct {
  const tiny *x;
  const hy_batch *b;
  double aux;
  int64_t *count;
  int n_logits;
} seen;

/* Prediction depths share one block: its loss is divided by their number, its
 * tokens count at each. */
static void
watch(void *arg, int64_t layer, const char *name, const hy_tensor *t,
      unsigned axis)
{
  seen *s = arg;
  double coef = s->x->cfg.aux_coef / (s->x->c.depth > 0 ? 2 : 1);

  if (strcmp(name, "router.logits") == 0) {
    assert_int_equal(axis, 0); /* all experts on every rank */
    s->aux += naive_aux(s->b, t, coef);
    s->n_logits++;
  }
  if (strcmp(name, "router.indices") == 0)
    for (int64_t i = 0; i < t->dim[0] * K; i++)
      if (!s->b->pad[i / K])
        s->count[layer * E + hy_i32(t)[i]]++;
}

static void
test_model(void **state)
{
  layout l[3];
  tiny *x = tiny_new(PATTERN, 1, 2, TOTAL);
  size_t n = (size_t)(x->m.plan.n_layer_all * E);
  double first = 0.0;

  (void)state;
  make_all(l);
  for (int k = 0; k < 3; k++) {
    seen s = {.x = x, .b = &l[k].b};
    int64_t total = 0;

    s.count = test_alloc(n, sizeof *s.count);
    x->c.watch = watch;
    x->c.watch_arg = &s;
    tiny_step(x, s.b);
    assert_int_equal(s.n_logits, 2 + 2); /* two layers, two depths */
    assert_true(fabs(x->l.aux - s.aux) < 1e-6 * s.aux);
    first = k == 0 ? s.aux : first;
    assert_true(fabs(s.aux - first) < 1e-5 * first);
    assert_memory_equal(x->count, s.count, n * sizeof *s.count);
    for (int e = 0; e < E; e++)
      total += x->count[5 * E + e]; /* ME*E, then *E: the last layer */
    assert_int_equal(total, 2 * K * TOTAL);
  }
  tiny_free(x);
  test_release();
}

/* --- correction bias ----------------------------------------------------- */

static void
test_bias_rule(void **state)
{
  /* mean 5, 2 and 0; an expert with the mean stays */
  static const int64_t count[3 * E] = {5, 4, 6, 0, 20, 5, 0, 0, 2, 2, 2, 2,
                                       2, 2, 2, 2, 0,  0, 0, 0, 0, 0, 0, 0};
  static const int sign[3 * E] = {0, 1, -1, 1, -1, 0, 1, 1};
  tiny *x = tiny_new("EEE", 1, 1, 4);
  const hy_params *p = &x->m.params;
  float *before = test_alloc(p->n_total, sizeof *before);

  (void)state;
  memcpy(before, p->w, p->n_total * sizeof *before);
  hy_bias_update(&x->m.params, count, 0.01);
  for (int i = 0; i < p->n; i++) {
    const hy_spec *s = p->ref[i].spec;

    for (int64_t j = 0; j < hy_spec_size(s); j++) {
      size_t at = p->ref[i].at + (size_t)j;
      int k = s->kind == HY_STATISTIC ? sign[s->layer * E + j] : 0;

      assert_true(p->w[at] == before[at] + (float)k * 0.01f);
    }
  }
  tiny_free(x);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_aux_layouts),
      cmocka_unit_test(test_model),
      cmocka_unit_test(test_bias_rule),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
