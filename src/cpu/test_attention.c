/* test_attention.c: tiled attention against the full matrix in double. */
#include "cpu/test_op.h"
#include "cpu/cpu_attention.h"

void cpu_attention_fwd(hy_ctx *c, hy_rec *r);
void cpu_attention_bwd(hy_ctx *c, hy_rec *r);

enum { Q, K, V, N_IN };

/* One call: its record, and the same numbers in double. */
typedef struct {
  int64_t T, H, G, d; /* heads, key heads */
  hy_ctx ctx;
  hy_rec r;
  double *in[N_IN], *grad[N_IN], *y, *dy, *lse;
} attn_case;

static attn_case *
attn_new(int64_t T, int64_t H, int64_t G, int64_t d, int64_t gap,
         const int32_t *seq_start)
{
  attn_case *s = test_alloc(1, sizeof *s);
  hy_rec *r = &s->r;

  s->T = T, s->H = H, s->G = G, s->d = d;
  s->ctx.n_threads = 2;
  r->n_in = N_IN;
  r->attr.n_heads = H;
  r->attr.n_kv_heads = G;
  r->attr.seq_start = seq_start;
  r->in[Q] = test_tensor(T, H * d, gap);
  r->in[K] = test_tensor(T, G * d, gap + 2);
  r->in[V] = test_tensor(T, G * d, gap);
  r->out[0] = test_tensor(T, H * d, gap);
  r->save[0] = test_tensor(T, H, 0);
  test_fill(r->in[Q], -3, 3);
  test_fill(r->in[K], -3, 3);
  test_fill(r->in[V], -1, 1);
  for (int i = 0; i < N_IN; i++)
    s->in[i] = test_double(r->in[i], hy_f32(r->in[i]));
  return s;
}

static void
attn_forward(attn_case *s)
{
  test_scratch(&s->r, cpu_attention_scratch_fwd(s->T, s->H, s->G, s->d,
                                                s->ctx.n_threads));
  cpu_attention_fwd(&s->ctx, &s->r);
  test_gaps(s->r.out[0], hy_f32(s->r.out[0]));
}

/* Random dy, and gradients that hold `value`; beta is 1 unless it is NaN. */
static void
attn_backward(attn_case *s, float value)
{
  test_dy(&s->r, &s->dy);
  for (int i = 0; i < N_IN; i++) {
    test_grad(s->r.in[i], value);
    s->r.beta[i] = isnan(value) ? 0.0f : 1.0f;
  }
  test_scratch(&s->r, cpu_attention_scratch_bwd(s->T, s->T, s->H, s->G, s->d,
                                                s->ctx.n_threads));
  cpu_attention_bwd(&s->ctx, &s->r);
  if (isnan(value))
    for (int i = 0; i < N_IN; i++)
      test_gaps(s->r.in[i], s->r.in[i]->grad);
}

static double
dot(int64_t n, const double *a, const double *b)
{
  double sum = 0.0;

  for (int64_t i = 0; i < n; i++)
    sum += a[i] * b[i];
  return sum;
}

/* Softmax of one query; w has the weights of the keys first .. t. */
static void
naive_query(attn_case *s, int64_t t, int64_t h, double *w, int backward)
{
  int64_t d = s->d, first = s->r.attr.seq_start[t], g = h / (s->H / s->G);
  int64_t at = (t * s->H + h) * d;
  double z = 0.0, scale = 1.0 / sqrt((double)d), delta;

  for (int64_t u = first; u <= t; u++) {
    w[u] = exp(scale * dot(d, s->in[Q] + at, s->in[K] + (u * s->G + g) * d));
    z += w[u];
  }
  s->lse[t * s->H + h] = log(z);
  for (int64_t u = first; u <= t; u++) {
    w[u] /= z;
    for (int64_t j = 0; j < d; j++)
      s->y[at + j] += w[u] * s->in[V][(u * s->G + g) * d + j];
  }
  if (!backward)
    return;
  delta = dot(d, s->y + at, s->dy + at);
  for (int64_t u = first; u <= t; u++) {
    int64_t ku = (u * s->G + g) * d;
    double ds = w[u] * scale * (dot(d, s->dy + at, s->in[V] + ku) - delta);

    for (int64_t j = 0; j < d; j++) {
      s->grad[V][ku + j] += w[u] * s->dy[at + j];
      s->grad[K][ku + j] += ds * s->in[Q][at + j];
      s->grad[Q][at + j] += ds * s->in[K][ku + j];
    }
  }
}

static void
naive(attn_case *s, int backward)
{
  double *w = calloc((size_t)s->T + 1, sizeof *w);
  size_t n = (size_t)(s->T * s->H * s->d);

  if (s->y == NULL) {
    s->y = test_alloc(n, sizeof(double));
    s->lse = test_alloc((size_t)(s->T * s->H), sizeof(double));
  }
  memset(s->y, 0, n * sizeof(double));
  for (int i = 0; backward && i < N_IN; i++)
    s->grad[i] = test_alloc((size_t)(s->T * hy_cols(s->r.in[i])), 8);
  for (int64_t t = 0; t < s->T; t++)
    for (int64_t h = 0; h < s->H; h++)
      naive_query(s, t, h, w, backward);
  free(w);
}

/* --- forward and gradients ---------------------------------------------- */

/* Largest error over the largest number of the tensor. */
static const double attn_bound = 3e-6;
static double attn_worst[N_IN + 2];

static void
attn_check_one(int i, const hy_tensor *t, const float *got, const double *want,
               double add)
{
  double e = test_error(t, got, want, add);

  attn_worst[i] = e > attn_worst[i] ? e : attn_worst[i];
  if (!(e < attn_bound))
    print_message("tensor %d (T %d) is off by %.3g\n", i, (int)t->dim[0], e);
  assert_true(e < attn_bound);
}

static void
attn_check(int64_t T, int64_t H, int64_t G, int64_t d, int64_t gap,
           const int *len, int n_len)
{
  attn_case *s = attn_new(T, H, G, d, gap, test_docs(T, len, n_len));
  hy_rec *r = &s->r;

  attn_forward(s);
  naive(s, 0);
  attn_check_one(N_IN, r->out[0], hy_f32(r->out[0]), s->y, 0.0);
  attn_check_one(N_IN + 1, r->save[0], hy_f32(r->save[0]), s->lse, 0.0);
  for (int k = 0; k < 2; k++) { /* beta 0 over NaN, beta 1 over 0.5 */
    attn_backward(s, k == 0 ? NAN : 0.5f);
    if (k == 0)
      naive(s, 1);
    for (int i = 0; i < N_IN; i++)
      attn_check_one(i, r->in[i], r->in[i]->grad, s->grad[i], k * 0.5);
  }
  test_release();
}

static void
test_parity(void **state)
{
  static const int n_tokens[] = {0, 1, 2, 7, 63, 64, 65, 130, 300};
  static const int whole[] = {1 << 20}, single[] = {1}, mixed[] = {3, 70, 55};
  static const char *const name[] = {"q", "k", "v", "out", "lse"};

  (void)state;
  for (int i = 0; i < 9; i++) {
    attn_check(n_tokens[i], 4, 2, 8, 3, whole, 1);
    attn_check(n_tokens[i], 4, 1, 16, 0, single, 1);
    attn_check(n_tokens[i], 3, 3, 5, 1, mixed, 3);
    attn_check(n_tokens[i], 20, 1, 4, 1, mixed, 3);
  }
  attn_check(700, 8, 2, 64, 16, whole, 1);
  attn_check(515, 32, 2, 128, 16, mixed, 3);
  attn_check(3, 600, 2, 4, 1, whole, 1);
  for (int i = 0; i < N_IN + 2; i++)
    print_message("%s: worst error %.2g\n", name[i], attn_worst[i]);
}

static double
attn_loss(void *arg)
{
  attn_case *s = arg;
  double sum = 0.0;

  naive(s, 0);
  for (int64_t i = 0; i < s->T * s->H * s->d; i++)
    sum += s->y[i] * s->dy[i];
  return sum;
}

/* Backward against differences of the double forward: bound 1e-5. */
static void
test_differences(void **state)
{
  static const int len[] = {3, 17, 1};
  attn_case *s = attn_new(25, 4, 2, 5, 1, test_docs(25, len, 3));

  (void)state;
  attn_forward(s);
  attn_backward(s, NAN);
  naive(s, 0);
  for (int i = 0; i < N_IN; i++) {
    int64_t n = s->T * hy_cols(s->r.in[i]);
    double *slope = test_alloc((size_t)n, sizeof *slope);

    for (int64_t j = 0; j < n; j++)
      slope[j] = test_slope(attn_loss, s, &s->in[i][j]);
    assert_true(test_error(s->r.in[i], s->r.in[i]->grad, slope, 0.0) < 1e-5);
  }
  test_release();
}

/* A NULL gradient changes no other. */
static void
test_unwanted(void **state)
{
  static const int len[] = {70, 100};
  attn_case *s = attn_new(170, 4, 2, 16, 1, test_docs(170, len, 2));
  float *want[N_IN];

  (void)state;
  attn_forward(s);
  attn_backward(s, NAN);
  for (int i = 0; i < N_IN; i++)
    want[i] = s->r.in[i]->grad;
  for (int i = 0; i < N_IN; i++) {
    for (int j = 0; j < N_IN; j++) {
      test_grad(s->r.in[j], NAN);
      if (i == j)
        s->r.in[j]->grad = NULL;
    }
    cpu_attention_bwd(&s->ctx, &s->r);
    for (int j = 0; j < N_IN; j++)
      assert_true(i == j ||
                  test_same(s->r.in[j], s->r.in[j]->grad, want[j], 0, s->T));
  }
  test_release();
}

/* --- bits: threads, neighbours ------------------------------------------ */

static void
test_bits(void **state)
{
  static const int len[] = {20, 33, 2, 340, 25};
  attn_case *s = attn_new(420, 8, 2, 16, 0, test_docs(420, len, 5));
  attn_case *one = test_alloc(1, sizeof *one);
  hy_rec *r = &s->r;

  (void)state;
  attn_forward(s);
  attn_backward(s, NAN);
  *one = *s;
  one->ctx.n_threads = 1;
  one->r.out[0] = test_copy(r->out[0]);
  one->r.save[0] = test_copy(r->save[0]);
  for (int i = 0; i < N_IN; i++)
    one->r.in[i] = test_copy(r->in[i]);
  attn_forward(one);
  attn_backward(one, NAN);
  assert_true(
      test_same(r->out[0], hy_f32(r->out[0]), hy_f32(one->r.out[0]), 0, 420));
  for (int i = 0; i < N_IN; i++)
    assert_true(
        test_same(r->in[i], r->in[i]->grad, one->r.in[i]->grad, 0, 420));
  for (int k = 0; k < 2; k++) { /* all but one document become NaN or huge */
    int64_t t0 = k == 0 ? 20 : 55, t1 = k == 0 ? 53 : 395;

    for (int i = 0; i < N_IN; i++) {
      one->r.in[i] = test_copy(r->in[i]);
      test_poison(one->r.in[i], hy_f32(one->r.in[i]), t0, t1);
    }
    one->r.out[0] = test_copy(r->out[0]);
    test_poison(one->r.out[0], one->r.out[0]->grad, t0, t1);
    attn_forward(one);
    attn_backward(one, NAN);
    assert_true(
        test_same(r->out[0], hy_f32(r->out[0]), hy_f32(one->r.out[0]), t0, t1));
    for (int i = 0; i < N_IN; i++)
      assert_true(
          test_same(r->in[i], r->in[i]->grad, one->r.in[i]->grad, t0, t1));
  }
  test_release();
}

/* --- segments ----------------------------------------------------------- */

/* Three sequences in pieces of unequal lengths, interleaved, in slots of no
 * order: the same numbers as in one pass. */
static void
segments_check(int64_t H, int64_t G, int64_t d)
{
  test_plan plan = test_plan_new();
  attn_case *s = attn_new(plan.n_tokens, H, G, d, 2, plan.seq_start);
  hy_tensor *kc = test_tensor(plan.n_slots, plan.max_len * G * d, 0);
  hy_tensor *vc = test_copy(kc);
  double e = 0.0;

  attn_forward(s);
  for (int i = 0; i < plan.n_calls; i++) {
    hy_segments seg;
    const int64_t *row = test_plan_call(&plan, i, &seg);
    attn_case *k = attn_new(seg.start[seg.n_seg], H, G, d, 1, NULL);

    k->r.attr.seg = &seg;
    k->r.attr.state[0] = kc;
    k->r.attr.state[1] = vc;
    if (i % 2 == 0)
      k->r.save[0] = NULL;
    for (int j = 0; j < N_IN; j++)
      test_rows(k->r.in[j], s->r.in[j], row);
    attn_forward(k);
    e = fmax(e, test_rows_error(k->r.out[0], s->r.out[0], row));
  }
  if (!(e < 3e-6))
    print_message("%d heads of %d: off by %.3g\n", (int)H, (int)d, e);
  assert_true(e < 3e-6);
  test_release();
}

static void
test_segments(void **state)
{
  (void)state;
  segments_check(4, 2, 16);
  segments_check(3, 3, 5);
  segments_check(32, 2, 64);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_parity),   cmocka_unit_test(test_differences),
      cmocka_unit_test(test_unwanted), cmocka_unit_test(test_bits),
      cmocka_unit_test(test_segments),
  };

  cpu_init();
  return cmocka_run_group_tests(test, NULL, NULL);
}
