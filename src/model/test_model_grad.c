/* test_model_grad.c: gradients of the whole training loss against differences
 * of the loss itself: all layer types, two prediction depths, balance loss,
 * several documents.
 *
 * The loss is computed in fp32, so a five-point formula with a long step is
 * taken: its noise is about 1e-7 of the loss over the step. */
#include "model/test_tiny.h"

enum { PICKS = 4, N = 24 };

/* Errors as shares of the parameter's largest gradient; 1.1e-3 was seen. */
static const double step = 0.02, bound = 3e-3;

static double
loss(tiny *x, const hy_batch *b)
{
  tiny_clear(x);
  tiny_add(x, b, 0);
  return tiny_total(x, b);
}

/* Central differences, error of fourth order. NAN if a token changed experts
 * on the way: the loss jumps there. */
static double
slope(tiny *x, const hy_batch *b, float *w, const int64_t *count)
{
  static const double c[4] = {1, -8, 8, -1};
  static const int at[4] = {-2, -1, 1, 2};
  size_t n = (size_t)(x->m.plan.n_layer_all * x->cfg.n_experts);
  float old = *w;
  double sum = 0.0, h = step * (double)fmaxf(fabsf(old), 0.3f);
  int jumped = 0;

  for (int i = 0; i < 4; i++) {
    *w = (float)((double)old + at[i] * h);
    sum += c[i] * loss(x, b);
    jumped |= memcmp(x->count, count, n * sizeof *count) != 0;
  }
  *w = old;
  return jumped ? NAN : sum / (12.0 * h);
}

static double
largest(const float *g, int64_t n)
{
  double top = 0.0;

  for (int64_t i = 0; i < n; i++)
    top = fmax(top, fabs((double)g[i]));
  return top;
}

/* A few elements of each parameter; returns how many could be compared. */
static int
check(tiny *x, const hy_batch *b)
{
  const hy_params *p = &x->m.params;
  size_t n = (size_t)(x->m.plan.n_layer_all * x->cfg.n_experts);
  int64_t *count = test_alloc(n, sizeof *count);
  float *g;
  int done = 0;

  tiny_step(x, b);
  g = tiny_grads(x);
  memcpy(count, x->count, n * sizeof *count);
  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    int64_t size = hy_spec_size(r->spec);
    double top;

    if (r->spec->kind != HY_WEIGHT)
      continue;
    top = largest(g + r->at, size);
    assert_true(top > 1e-5);
    for (int k = 0; k < PICKS; k++) {
      int64_t j = (int64_t)((test_random() + 1) * 0.5 * (double)size);
      double got = (double)g[r->at + (size_t)j];
      double want = slope(x, b, p->w + r->at + j, count);

      if (isnan(want))
        continue;
      done++;
      if (!(fabs(got - want) <= bound * fmax(top, 0.005)))
        fail_msg("%s[%lld]: gradient %.6g, differences %.6g, largest %.3g",
                 r->spec->name, (long long)j, got, want, top);
    }
  }
  return done;
}

static tiny *
new_model(const char *pattern, hy_batch *b)
{
  static const int64_t len[] = {9, 2, 13};
  tiny *x = tiny_new(pattern, 1, 1, N);
  int64_t at = 0;

  test_seed = 5;
  *b = tiny_batch(1, N, x->m.plan.n_depth);
  for (int i = 0; i < 3; at += len[i++])
    tiny_put(b, at, tiny_ids(len[i]), len[i]);
  tiny_close(b);
  return x;
}

/* The router's correction bias, zero: then the choice that the balance loss
 * counts is the one of the tokens, and jumps with it. */
static void
no_bias(tiny *x)
{
  hy_params *p = &x->m.params;

  for (int i = 0; i < p->n; i++)
    if (p->ref[i].spec->kind == HY_STATISTIC)
      memset(p->ref[i].t.data, 0,
             (size_t)p->ref[i].spec->dim[0] * sizeof(float));
}

static void
gradient(const char *pattern, double aux_coef)
{
  hy_batch b;
  tiny *x = new_model(pattern, &b);
  int n;

  x->cfg.aux_coef = aux_coef;
  if (aux_coef > 0)
    no_bias(x);
  n = check(x, &b);
  assert_true(n > 2 * x->m.plan.n_spec);
  tiny_free(x);
  test_release();
}

static void
test_hybrid(void **state)
{
  (void)state;
  gradient("MEM*E-/*E", 0);
}

static void
test_balance(void **state)
{
  (void)state;
  gradient("MEM*E-/*E", 0.2);
}

/* A block of its own for each depth. */
static void
test_blocks(void **state)
{
  (void)state;
  gradient("*M/E/E", 0.2);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_hybrid),
      cmocka_unit_test(test_balance),
      cmocka_unit_test(test_blocks),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
