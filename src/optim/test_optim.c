/* test_optim.c: rates of every schedule and AdamW against their formulas. */
#include "model/test_tiny.h"
#include "base/err.h"
#include "optim/adamw.h"
#include "optim/lr.h"

/* --- schedules ----------------------------------------------------------- */

static hy_deck_optim
schedule(const char *name, const char *shape)
{
  hy_deck_optim o = {.n_steps = 200,
                     .lr = 1.0,
                     .lr_min = 0.1,
                     .warmup = 10,
                     .decay = 110,
                     .wsd_decay = 40,
                     .betas = {2, {0.9, 0.95}}};

  snprintf(o.schedule, sizeof o.schedule, "%s", name);
  snprintf(o.wsd_shape, sizeof o.wsd_shape, "%s", shape);
  snprintf(o.unit, sizeof o.unit, "steps");
  return o;
}

/* Numbers worked out by hand: warm-up to 10, decay to 110, tail from 70. */
static void
test_numbers(void **state)
{
  static const struct {
    const char *name, *shape;
    int64_t done;
    double want;
  } row[] = {
      {"constant", "linear", 1, 0.1},
      {"constant", "linear", 5, 0.5},
      {"constant", "linear", 10, 1.0},
      {"constant", "linear", 11, 1.0},
      {"constant", "linear", 500, 1.0},
      {"linear", "linear", 10, 1.0},
      {"linear", "linear", 35, 0.775},
      {"linear", "linear", 60, 0.55},
      {"linear", "linear", 110, 0.1},
      {"linear", "linear", 111, 0.1},
      {"cosine", "linear", 35, 0.868198051533946},
      {"cosine", "linear", 60, 0.55},
      {"cosine", "linear", 85, 0.231801948466054},
      {"cosine", "linear", 200, 0.1},
      {"wsd", "linear", 70, 1.0},
      {"wsd", "linear", 80, 0.775},
      {"wsd", "cosine", 80, 0.868198051533946},
      {"wsd", "minus_sqrt", 80, 0.55},
      {"wsd", "minus_sqrt", 71, 0.857697505292423},
      {"wsd", "exponential", 90, 0.472792206135786},
      {"wsd", "exponential", 110, 0.1},
      {"wsd", "minus_sqrt", 111, 0.1},
  };

  (void)state;
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    hy_deck_optim o = schedule(row[i].name, row[i].shape);
    double got = hy_lr(&o, row[i].done, 8, 16);

    if (fabs(got - row[i].want) > 1e-12)
      fail_msg("%s %s at %lld: %.15g, not %.15g", row[i].name, row[i].shape,
               (long long)row[i].done, got, row[i].want);
  }
}

/* The rate after `at` units, all lengths in the same units. */
static double
naive_rate(const hy_deck_optim *o, double at, double end)
{
  double warmup = (double)o->warmup, from = warmup, r, c;

  if (at <= warmup && warmup > 0)
    return o->lr * at / warmup;
  if (!strcmp(o->schedule, "constant"))
    return o->lr;
  if (at > end)
    return o->lr_min;
  if (!strcmp(o->schedule, "wsd"))
    from = end - (double)o->wsd_decay;
  if (at <= from)
    return o->lr;
  r = (at - from) / (end - from);
  if (!strcmp(o->schedule, "linear") ||
      (!strcmp(o->schedule, "wsd") && !strcmp(o->wsd_shape, "linear")))
    c = 1 - r;
  else if (!strcmp(o->schedule, "cosine") || !strcmp(o->wsd_shape, "cosine"))
    c = cos(acos(-1.0) * r) / 2 + 0.5;
  else if (!strcmp(o->wsd_shape, "exponential"))
    c = exp2(1 - r) - 1;
  else
    c = 1 - sqrt(r);
  return o->lr * c + o->lr_min * (1 - c);
}

/* Every schedule in every unit: 3 rows of 5 tokens a step, warm-up and decay
 * not multiples of them; and decay 0, the whole run. */
static void
test_all(void **state)
{
  static const char *const name[] = {"constant", "linear", "cosine", "wsd"};
  static const char *const shape[] = {"linear", "cosine", "exponential",
                                      "minus_sqrt"};
  static const char *const unit[] = {"steps", "samples", "tokens"};
  static const double per_step[] = {1, 3, 15};

  (void)state;
  for (int i = 0; i < 4 * 4 * 3 * 3; i++) {
    hy_deck_optim o = schedule(name[i % 4], shape[i / 4 % 4]);
    double size = per_step[i / 16 % 3], end;

    snprintf(o.unit, sizeof o.unit, "%s", unit[i / 16 % 3]);
    o.warmup = i / 48 == 1 ? 0 : (int64_t)(7.5 * size);
    o.decay = i / 48 == 2 ? 0 : (int64_t)(101.3 * size);
    o.wsd_decay = (int64_t)(33.7 * size);
    o.lr = 3e-3;
    o.lr_min = 2e-5;
    end = o.decay ? (double)o.decay : 200 * size;
    for (int64_t done = 1; done <= 210; done++)
      assert_true(fabs(hy_lr(&o, done, 3, 5) -
                       naive_rate(&o, (double)done * size, end)) < 1e-15);
    assert_int_equal(hy_lr_check(&o), 0);
  }
}

static void
refused(const hy_deck_optim *o, const char *key)
{
  hy_err_clear();
  assert_int_equal(hy_lr_check(o), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), key));
  hy_err_clear();
}

static void
test_refused(void **state)
{
  hy_deck_optim o = schedule("linear", "linear");

  (void)state;
  o.lr_min = 2;
  refused(&o, "optim.lr_min");
  o = schedule("cosine", "linear");
  o.warmup = 111;
  refused(&o, "optim.warmup");
  o = schedule("wsd", "linear");
  o.wsd_decay = 101;
  refused(&o, "optim.wsd_decay");
  o = schedule("constant", "linear");
  o.betas.n = 1;
  refused(&o, "optim.betas");
  o.betas = (hy_reals){2, {0.9, 1.0}};
  refused(&o, "optim.betas");
}

/* --- AdamW --------------------------------------------------------------- */

/* Matrices, tables and taps decay; norms, biases, A_log, D, dt_bias do not. */
static int
decays(const char *name)
{
  static const char *const never[] = {"norm", "bias", "A_log", ".D"};

  for (int i = 0; i < 4; i++)
    if (strstr(name, never[i]))
      return 0;
  return 1;
}

/* One parameter's element through all steps. */
static double
naive_adamw(const hy_adamw *a, double w, const double *g, int n_steps,
            int decay, const double *scale, double rate)
{
  double m = 0.0, v = 0.0;

  for (int t = 1; t <= n_steps; t++) {
    double gt = g[t - 1] * scale[t - 1];

    m = a->beta1 * m + (1 - a->beta1) * gt;
    v = a->beta2 * v + (1 - a->beta2) * gt * gt;
    w -= rate * (decay ? a->weight_decay : 0.0) * w;
    w -= rate * (m / (1 - pow(a->beta1, t))) /
         (sqrt(v / (1 - pow(a->beta2, t))) + a->eps);
  }
  return w;
}

enum { STEPS = 4 };

static void
adamw(double clip, double size)
{
  tiny *x = tiny_new("ME*-/-", 1, 1, 4);
  hy_params *p = &x->m.params;
  hy_adamw a = {.beta1 = 0.8,
                .beta2 = 0.9,
                .eps = 1e-3,
                .weight_decay = 0.5,
                .clip = clip};
  double *g = test_alloc(STEPS * p->n_weight, sizeof *g), scale[STEPS];
  float *w = test_alloc(p->n_total, sizeof *w);

  memcpy(w, p->w, p->n_total * sizeof *w);
  assert_int_equal(hy_adamw_new(&a, p), 0);
  for (int t = 0; t < STEPS; t++) {
    double sum = 0.0, norm;

    for (int i = 0; i < p->n; i++)
      for (int64_t j = 0; p->ref[i].t.grad && j < hy_spec_size(p->ref[i].spec);
           j++) {
        size_t at = p->ref[i].at + (size_t)j;

        p->g[at] = (float)(size * test_random());
        g[at * STEPS + (size_t)t] = (double)p->g[at];
        sum += (double)p->g[at] * (double)p->g[at];
      }
    norm = hy_grad_norm(&a, &tiny_one_rank);
    assert_true(fabs(norm / sqrt(sum) - 1) < 1e-6);
    scale[t] = clip > 0 && sqrt(sum) > clip ? clip / sqrt(sum) : 1;
    hy_adamw_step(&a, t + 1, 0.03, norm, 1 + t % 2);
  }
  for (int i = 0; i < p->n; i++) {
    const hy_spec *s = p->ref[i].spec;

    for (int64_t j = 0; j < hy_spec_size(s); j++) {
      size_t at = p->ref[i].at + (size_t)j;
      double want = (double)w[at];

      if (s->kind == HY_WEIGHT)
        want = naive_adamw(&a, want, g + at * STEPS, STEPS, decays(s->name),
                           scale, 0.03);
      if (!(fabs((double)p->w[at] - want) < 2e-6))
        fail_msg("%s[%lld]: %.9g, not %.9g", s->name, (long long)j,
                 (double)p->w[at], want);
    }
  }
  hy_adamw_free(&a);
  tiny_free(x);
  test_release();
}

static void
test_adamw(void **state)
{
  (void)state;
  test_seed = 11;
  adamw(0, 1); /* no clipping */
  adamw(0.5, 1);
  adamw(1e3, 1); /* never reached */
  adamw(1, 1e-4);
}

static void
test_bad(void **state)
{
  tiny *x = tiny_new("M-", 1, 1, 4);
  hy_params *p = &x->m.params;
  unsigned char *bad = test_alloc((size_t)p->n, 1);
  int i = x->m.plan.n_spec - 2;
  hy_adamw a = {0};

  (void)state;
  assert_int_equal(hy_adamw_new(&a, p), 0);
  memset(p->g, 0, p->n_weight * sizeof *p->g);
  assert_int_equal(hy_grad_bad(&a, bad), -1);
  p->ref[i].t.grad[1] = INFINITY;
  assert_int_equal(hy_grad_bad(&a, bad), i);
  assert_false(isfinite(hy_grad_norm(&a, &tiny_one_rank)));
  p->ref[i].t.grad[1] = NAN;
  assert_int_equal(hy_grad_bad(&a, bad), i);
  for (int j = 0; j < p->n; j++)
    assert_int_equal(bad[j], i == j);
  assert_false(isfinite(hy_grad_norm(&a, &tiny_one_rank)));
  hy_adamw_free(&a);
  tiny_free(x);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_numbers), cmocka_unit_test(test_all),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_adamw),
      cmocka_unit_test(test_bad),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
