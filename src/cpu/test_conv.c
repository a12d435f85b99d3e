/* test_conv.c: the convolution against a plain loop in double. */
#include "cpu/test_op.h"

void cpu_conv1d_fwd(hy_ctx *c, hy_rec *r);
void cpu_conv1d_bwd(hy_ctx *c, hy_rec *r);

enum { X, W, B, N_IN };

/* One call: its record, and the same numbers in double. */
typedef struct {
  int64_t T, C, n_taps;
  hy_ctx ctx;
  hy_rec r;
  double *in[N_IN], *grad[N_IN], *y, *dy;
} conv_case;

static conv_case *
conv_new(int64_t T, int64_t C, int64_t n_taps, int64_t gap,
         const int32_t *seq_start)
{
  conv_case *s = test_alloc(1, sizeof *s);
  hy_rec *r = &s->r;

  s->T = T, s->C = C, s->n_taps = n_taps;
  s->ctx.n_threads = 2;
  r->n_in = N_IN;
  r->attr.seq_start = seq_start;
  r->in[X] = test_tensor(T, C, gap);
  r->in[W] = test_tensor(C, n_taps, 0);
  r->in[W]->n_dim = 3; /* the hub's shape (C, 1, n_taps) */
  r->in[W]->dim[1] = 1;
  r->in[W]->dim[2] = n_taps;
  r->in[B] = test_tensor(C, 1, 0);
  r->in[B]->n_dim = 1;
  r->out[0] = test_tensor(T, C, gap);
  for (int i = 0; i < N_IN; i++) {
    test_fill(r->in[i], -1, 1);
    s->in[i] = test_double(r->in[i], hy_f32(r->in[i]));
  }
  return s;
}

static void
conv_forward(conv_case *s)
{
  cpu_conv1d_fwd(&s->ctx, &s->r);
  test_gaps(s->r.out[0], hy_f32(s->r.out[0]));
}

/* Random dy, and gradients that hold `value`; beta is 1 unless it is NaN. */
static void
conv_backward(conv_case *s, float value)
{
  test_dy(&s->r, &s->dy);
  for (int i = 0; i < N_IN; i++) {
    test_grad(s->r.in[i], value);
    s->r.beta[i] = isnan(value) ? 0.0f : 1.0f;
  }
  cpu_conv1d_bwd(&s->ctx, &s->r);
  if (isnan(value))
    test_gaps(s->r.in[X], s->r.in[X]->grad);
}

static void
naive(conv_case *s, int backward)
{
  int64_t C = s->C, n = s->n_taps;

  if (s->y == NULL)
    s->y = test_alloc((size_t)(s->T * C), sizeof(double));
  for (int i = 0; backward && i < N_IN; i++)
    s->grad[i] = test_alloc((size_t)(s->r.in[i]->dim[0] * hy_cols(s->r.in[i])),
                            sizeof(double));
  for (int64_t t = 0; t < s->T; t++)
    for (int64_t i = 0; i < C; i++) {
      double *y = &s->y[t * C + i];

      *y = s->in[B][i];
      if (backward)
        s->grad[B][i] += s->dy[t * C + i];
      for (int64_t j = 0; j < n && t - j >= s->r.attr.seq_start[t]; j++) {
        int64_t w = i * n + n - 1 - j, x = (t - j) * C + i;

        *y += s->in[W][w] * s->in[X][x];
        if (backward) {
          s->grad[W][w] += s->dy[t * C + i] * s->in[X][x];
          s->grad[X][x] += s->dy[t * C + i] * s->in[W][w];
        }
      }
    }
}

/* --- forward and gradients ---------------------------------------------- */

static void
conv_check(int64_t T, int64_t C, int64_t n_taps, int64_t gap, const int *len,
           int n_len)
{
  conv_case *s = conv_new(T, C, n_taps, gap, test_docs(T, len, n_len));
  hy_rec *r = &s->r;

  conv_forward(s);
  naive(s, 0);
  assert_true(test_error(r->out[0], hy_f32(r->out[0]), s->y, 0.0) < 1e-6);
  for (int k = 0; k < 2; k++) { /* beta 0 over NaN, beta 1 over 0.5 */
    conv_backward(s, k == 0 ? NAN : 0.5f);
    if (k == 0)
      naive(s, 1);
    for (int i = 0; i < N_IN; i++)
      assert_true(test_error(r->in[i], r->in[i]->grad, s->grad[i], k * 0.5) <
                  1e-6);
  }
  for (int i = 0; i < N_IN; i++) { /* a gradient that nobody wants */
    float *kept = r->in[i]->grad;

    r->in[i]->grad = NULL;
    cpu_conv1d_bwd(&s->ctx, r);
    r->in[i]->grad = kept;
  }
  test_release();
}

static void
test_parity(void **state)
{
  static const int n_tokens[] = {0, 1, 2, 3, 7, 63, 64, 65, 130, 300};
  static const int whole[] = {1 << 20}, single[] = {1}, mixed[] = {3, 70, 55};
  static const int short_[] = {2, 1, 3, 4, 5};

  (void)state;
  for (int i = 0; i < 10; i++)
    for (int taps = 1; taps <= 5; taps++) {
      conv_check(n_tokens[i], 5, taps, 3, whole, 1);
      conv_check(n_tokens[i], 17, taps, 0, single, 1);
      conv_check(n_tokens[i], 300, taps, 5, mixed, 3);
      conv_check(n_tokens[i], 7, taps, 1, short_, 5);
    }
}

static double
conv_loss(void *arg)
{
  conv_case *s = arg;
  double sum = 0.0;

  naive(s, 0);
  for (int64_t i = 0; i < s->T * s->C; i++)
    sum += s->y[i] * s->dy[i];
  return sum;
}

/* Backward against differences of the double forward: bound 1e-5. */
static void
test_differences(void **state)
{
  static const int len[] = {3, 9, 4};
  conv_case *s = conv_new(14, 3, 4, 1, test_docs(14, len, 3));

  (void)state;
  conv_backward(s, NAN);
  for (int i = 0; i < N_IN; i++) {
    int64_t n = s->r.in[i]->dim[0] * hy_cols(s->r.in[i]);
    double *slope = test_alloc((size_t)n, sizeof *slope);

    for (int64_t j = 0; j < n; j++)
      slope[j] = test_slope(conv_loss, s, &s->in[i][j]);
    assert_true(test_error(s->r.in[i], s->r.in[i]->grad, slope, 0.0) < 1e-5);
  }
  test_release();
}

/* --- bits: threads, neighbours ------------------------------------------ */

static void
test_bits(void **state)
{
  static const int len[] = {20, 33, 2, 41};
  conv_case *s = conv_new(96, 600, 4, 0, test_docs(96, len, 4));
  conv_case *one = test_alloc(1, sizeof *one);
  hy_rec *r = &s->r;

  (void)state;
  conv_forward(s);
  conv_backward(s, NAN);
  *one = *s;
  one->ctx.n_threads = 1;
  one->r.out[0] = test_copy(r->out[0]);
  for (int i = 0; i < N_IN; i++)
    one->r.in[i] = test_copy(r->in[i]);
  conv_forward(one);
  conv_backward(one, NAN);
  assert_true(
      test_same(r->out[0], hy_f32(r->out[0]), hy_f32(one->r.out[0]), 0, 96));
  for (int i = 0; i < N_IN; i++)
    assert_true(test_same(r->in[i], r->in[i]->grad, one->r.in[i]->grad, 0,
                          r->in[i]->dim[0]));
  /* rows 20 .. 52 are one document; all others become NaN or huge */
  test_poison(one->r.in[X], hy_f32(one->r.in[X]), 20, 53);
  test_poison(one->r.out[0], one->r.out[0]->grad, 20, 53);
  conv_forward(one);
  conv_backward(one, NAN);
  assert_true(
      test_same(r->out[0], hy_f32(r->out[0]), hy_f32(one->r.out[0]), 20, 53));
  assert_true(test_same(r->in[X], r->in[X]->grad, one->r.in[X]->grad, 20, 53));
  test_release();
}

/* --- segments ----------------------------------------------------------- */

/* Three sequences in pieces of unequal lengths, interleaved, in slots of no
 * order: the same numbers as in one pass. */
static void
test_segments(void **state)
{
  test_plan plan = test_plan_new();
  conv_case *s = conv_new(plan.n_tokens, 300, 4, 2, plan.seq_start);
  hy_tensor *cache = test_tensor(plan.n_slots, 3 * 300, 0);
  double e = 0.0;

  (void)state;
  conv_forward(s);
  memset(cache->data, 0, (size_t)(plan.n_slots * cache->ld) * sizeof(float));
  for (int i = 0; i < plan.n_calls; i++) {
    hy_segments seg;
    const int64_t *row = test_plan_call(&plan, i, &seg);
    int64_t n = seg.start[seg.n_seg];
    conv_case *k = conv_new(n, 300, 4, 1, NULL);

    k->r.in[W] = s->r.in[W];
    k->r.in[B] = s->r.in[B];
    k->r.attr.seg = &seg;
    k->r.attr.state[0] = cache;
    test_rows(k->r.in[X], s->r.in[X], row);
    conv_forward(k);
    e = fmax(e, test_rows_error(k->r.out[0], s->r.out[0], row));
  }
  assert_true(e < 1e-6);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_parity),
      cmocka_unit_test(test_differences),
      cmocka_unit_test(test_bits),
      cmocka_unit_test(test_segments),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
