/* test_ssd.c: the scan against the token-by-token recurrence and its adjoint
 * in double. */
#include "cpu/test_op.h"
#include "cpu/cpu_ssd.h"

void cpu_ssd_fwd(hy_ctx *c, hy_rec *r);
void cpu_ssd_bwd(hy_ctx *c, hy_rec *r);

enum { X, DT, B, CC, A_LOG, D, N_IN };

/* One call: its record, and the same numbers in double. */
typedef struct {
  int64_t T, H, P, G, N;
  hy_ctx ctx;
  hy_rec r;
  double *in[N_IN], *grad[N_IN], *y, *dy;
} ssd_case;

static ssd_case *
ssd_new(int64_t T, int64_t H, int64_t P, int64_t G, int64_t N, int64_t gap,
        const int32_t *seq_start)
{
  ssd_case *s = test_alloc(1, sizeof *s);
  hy_rec *r = &s->r;

  s->T = T, s->H = H, s->P = P, s->G = G, s->N = N;
  s->ctx.n_threads = 2;
  r->n_in = N_IN;
  r->attr.n_heads = H;
  r->attr.n_groups = G;
  r->attr.seq_start = seq_start;
  r->in[X] = test_tensor(T, H * P, gap);
  r->in[DT] = test_tensor(T, H, gap);
  r->in[B] = test_tensor(T, G * N, gap);
  r->in[CC] = test_tensor(T, G * N, gap);
  r->in[A_LOG] = test_tensor(H, 1, 0);
  r->in[D] = test_tensor(H, 1, 0);
  r->out[0] = test_tensor(T, H * P, gap);
  r->save[0] = test_tensor(cpu_ssd_chunks(T), H * P * N, 0);
  test_fill(r->in[X], -1, 1);
  test_fill(r->in[DT], 0.001, 0.2);
  test_fill(r->in[B], -1, 1);
  test_fill(r->in[CC], -1, 1);
  test_fill(r->in[A_LOG], -2, 2.77);
  test_fill(r->in[D], -1, 1);
  for (int i = 0; i < N_IN; i++)
    s->in[i] = test_double(r->in[i], hy_f32(r->in[i]));
  return s;
}

static void
ssd_forward(ssd_case *s)
{
  test_scratch(&s->r, cpu_ssd_scratch_fwd(s->T, s->H, s->P, s->G, s->N,
                                          s->ctx.n_threads));
  cpu_ssd_fwd(&s->ctx, &s->r);
  test_gaps(s->r.out[0], hy_f32(s->r.out[0]));
}

/* Random dy, and gradients that hold `value`; beta is 1 unless it is NaN. */
static void
ssd_backward(ssd_case *s, float value)
{
  test_dy(&s->r, &s->dy);
  for (int i = 0; i < N_IN; i++) {
    test_grad(s->r.in[i], value);
    s->r.beta[i] = isnan(value) ? 0.0f : 1.0f;
  }
  test_scratch(&s->r, cpu_ssd_scratch_bwd(s->T, s->H, s->P, s->G, s->N,
                                          s->ctx.n_threads));
  cpu_ssd_bwd(&s->ctx, &s->r);
  if (isnan(value))
    for (int i = 0; i < N_IN; i++)
      test_gaps(s->r.in[i], s->r.in[i]->grad);
}

/* s[t] = alpha s[t-1] + dt x b', y = s c + d x, one head; states are kept if
 * `all` has room for T of them. */
static void
naive_forward(ssd_case *s, int64_t h, double *all, int64_t stride)
{
  int64_t g = h / (s->H / s->G), P = s->P, N = s->N;
  double a = -exp(s->in[A_LOG][h]);

  for (int64_t t = 0; t < s->T; t++) {
    const double *x = s->in[X] + (t * s->H + h) * P;
    const double *b = s->in[B] + (t * s->G + g) * N;
    const double *c = s->in[CC] + (t * s->G + g) * N;
    double dt = s->in[DT][t * s->H + h], *now = all + t * stride;
    const double *before = now - stride;
    int fresh = s->r.attr.seq_start[t] == t;

    if (stride == 0)
      before = now;
    for (int64_t p = 0; p < P; p++) {
      double sum = 0.0;

      for (int64_t n = 0; n < N; n++) {
        double old = fresh ? 0.0 : exp(dt * a) * before[p * N + n];

        now[p * N + n] = old + dt * x[p] * b[n];
        sum += now[p * N + n] * c[n];
      }
      s->y[(t * s->H + h) * P + p] = sum + s->in[D][h] * x[p];
    }
  }
}

/* One token of the adjoint: gs = gradient of the state after t. */
static void
naive_adjoint(ssd_case *s, int64_t h, int64_t t, const double *now,
              const double *before, double *gs)
{
  int64_t g = h / (s->H / s->G), P = s->P, N = s->N;
  int64_t at = t * s->H + h, bc = (t * s->G + g) * N;
  double a = -exp(s->in[A_LOG][h]), dt = s->in[DT][at], e = 0.0;
  double alpha = before == NULL ? 0.0 : exp(dt * a);

  for (int64_t p = 0; p < P; p++) {
    double dy = s->dy[at * P + p], x = s->in[X][at * P + p];

    s->grad[X][at * P + p] += s->in[D][h] * dy;
    s->grad[D][h] += dy * x;
    for (int64_t n = 0; n < N; n++) {
      double *q = &gs[p * N + n], b = s->in[B][bc + n];

      *q += dy * s->in[CC][bc + n];
      s->grad[X][at * P + p] += dt * *q * b;
      s->grad[B][bc + n] += dt * *q * x;
      s->grad[CC][bc + n] += now[p * N + n] * dy;
      s->grad[DT][at] += x * *q * b;
      if (before != NULL)
        e += alpha * *q * before[p * N + n];
      *q *= alpha;
    }
  }
  s->grad[DT][at] += a * e;
  s->grad[A_LOG][h] += a * dt * e;
}

static void
naive(ssd_case *s, int backward)
{
  int64_t size = s->P * s->N;
  double *all = calloc((size_t)(backward ? s->T + 1 : 1) * (size_t)size, 8);
  double *gs = calloc((size_t)size, 8);

  if (s->y == NULL)
    s->y = test_alloc((size_t)(s->T * s->H * s->P), sizeof(double));
  for (int i = 0; backward && i < N_IN; i++)
    s->grad[i] = test_alloc((size_t)(s->r.in[i]->dim[0] * hy_cols(s->r.in[i])),
                            sizeof(double));
  for (int64_t h = 0; h < s->H; h++) {
    naive_forward(s, h, all, backward ? size : 0);
    if (!backward)
      continue;
    memset(gs, 0, (size_t)size * sizeof *gs);
    for (int64_t t = s->T - 1; t >= 0; t--)
      naive_adjoint(s, h, t, all + t * size,
                    s->r.attr.seq_start[t] == t ? NULL : all + (t - 1) * size,
                    gs);
  }
  free(all);
  free(gs);
}

/* --- forward and gradients ---------------------------------------------- */

static const char *const ssd_name[N_IN] = {"x", "dt", "b", "c", "a_log", "d"};

/* Bounds: largest error over the largest number of the tensor. The oracle of
 * whole layers allows 7e-5 for dt and a_log; here the worst measured are
 * noted beside. */
static const double ssd_bound[N_IN] = {2e-6, 4e-6, 2e-6, 2e-6, 4e-6, 2e-6};
static double ssd_worst[N_IN + 1];

static void
ssd_check(int64_t T, int64_t H, int64_t P, int64_t G, int64_t N, int64_t gap,
          const int *len, int n_len)
{
  ssd_case *s = ssd_new(T, H, P, G, N, gap, test_docs(T, len, n_len));
  double e;

  ssd_forward(s);
  naive(s, 0);
  e = test_error(s->r.out[0], hy_f32(s->r.out[0]), s->y, 0.0);
  ssd_worst[N_IN] = e > ssd_worst[N_IN] ? e : ssd_worst[N_IN];
  assert_true(e < 2e-6);
  for (int k = 0; k < 2; k++) { /* beta 0 over NaN, beta 1 over 0.5 */
    ssd_backward(s, k == 0 ? NAN : 0.5f);
    if (k == 0)
      naive(s, 1);
    for (int i = 0; i < N_IN; i++) {
      e = test_error(s->r.in[i], s->r.in[i]->grad, s->grad[i], k * 0.5);
      ssd_worst[i] = e > ssd_worst[i] ? e : ssd_worst[i];
      if (!(e < ssd_bound[i]))
        print_message("T %d H %d P %d G %d N %d: d%s off %.3g\n", (int)T,
                      (int)H, (int)P, (int)G, (int)N, ssd_name[i], e);
      assert_true(e < ssd_bound[i]);
    }
  }
  test_release();
}

static void
test_parity(void **state)
{
  static const int n_tokens[] = {0, 1, 2, 7, 63, 64, 65, 130, 300};
  static const int whole[] = {1 << 20}, single[] = {1}, mixed[] = {3, 70, 55};
  static const int edge[] = {64, 1, 63, 128};

  (void)state;
  for (int i = 0; i < 9; i++) {
    ssd_check(n_tokens[i], 4, 8, 2, 16, 5, whole, 1);
    ssd_check(n_tokens[i], 4, 8, 1, 16, 0, single, 1);
    ssd_check(n_tokens[i], 4, 5, 4, 7, 3, mixed, 3);
    ssd_check(n_tokens[i], 6, 16, 2, 32, 1, edge, 4);
  }
  ssd_check(1000, 2, 64, 1, 64, 16, whole, 1);
  ssd_check(515, 8, 64, 1, 128, 16, mixed, 3);
  for (int i = 0; i <= N_IN; i++)
    print_message("%s: worst error %.2g\n", i < N_IN ? ssd_name[i] : "y",
                  ssd_worst[i]);
}

/* Long and short steps side by side: the sum of dt a inside a chunk reaches
 * hundreds while neighbours differ by little. Without the low parts of the
 * logs dx would be off by 1.6e-6. */
static void
test_steep(void **state)
{
  static const int len[] = {300, 77};
  ssd_case *s = ssd_new(600, 4, 8, 2, 16, 0, test_docs(600, len, 2));
  hy_tensor *dt = s->r.in[DT];

  (void)state;
  for (int64_t i = 0; i < 600 * 4; i++)
    hy_f32(dt)[i] = (float)(2.0 * pow(test_random(), 8.0));
  s->in[DT] = test_double(dt, hy_f32(dt));
  ssd_forward(s);
  ssd_backward(s, NAN);
  naive(s, 1);
  assert_true(test_error(s->r.out[0], hy_f32(s->r.out[0]), s->y, 0.0) < 5e-7);
  for (int i = 0; i < N_IN; i++) {
    double e = test_error(s->r.in[i], s->r.in[i]->grad, s->grad[i], 0.0);

    print_message("d%s: error %.2g\n", ssd_name[i], e);
    assert_true(e < 1e-6);
  }
  test_release();
}

static double
ssd_loss(void *arg)
{
  ssd_case *s = arg;
  double sum = 0.0;

  naive(s, 0);
  for (int64_t i = 0; i < s->T * s->H * s->P; i++)
    sum += s->y[i] * s->dy[i];
  return sum;
}

/* Backward against differences of the double forward: bound 1e-5. */
static void
test_differences(void **state)
{
  static const int len[] = {3, 69, 1};
  ssd_case *s = ssd_new(75, 4, 3, 2, 5, 1, test_docs(75, len, 3));

  (void)state;
  ssd_forward(s);
  ssd_backward(s, NAN);
  for (int i = 0; i < N_IN; i++) {
    int64_t n = s->r.in[i]->dim[0] * hy_cols(s->r.in[i]);
    double *slope = test_alloc((size_t)n, sizeof *slope);

    for (int64_t j = 0; j < n; j++)
      slope[j] = test_slope(ssd_loss, s, &s->in[i][j]);
    assert_true(test_error(s->r.in[i], s->r.in[i]->grad, slope, 0.0) < 1e-5);
  }
  test_release();
}

/* A NULL gradient changes no other. */
static void
test_unwanted(void **state)
{
  static const int len[] = {70, 100};
  ssd_case *s = ssd_new(170, 4, 8, 2, 16, 1, test_docs(170, len, 2));
  float *want[N_IN];

  (void)state;
  ssd_forward(s);
  ssd_backward(s, NAN);
  for (int i = 0; i < N_IN; i++)
    want[i] = s->r.in[i]->grad;
  for (int i = 0; i < N_IN; i++) {
    for (int j = 0; j < N_IN; j++) {
      test_grad(s->r.in[j], NAN);
      if (i == j)
        s->r.in[j]->grad = NULL;
    }
    cpu_ssd_bwd(&s->ctx, &s->r);
    for (int j = 0; j < N_IN; j++)
      assert_true(i == j || test_same(s->r.in[j], s->r.in[j]->grad, want[j], 0,
                                      s->r.in[j]->dim[0]));
  }
  test_release();
}

/* --- bits: threads, neighbours ------------------------------------------ */

static void
test_bits(void **state)
{
  static const int len[] = {20, 33, 2, 140, 25};
  ssd_case *s = ssd_new(220, 4, 16, 2, 32, 0, test_docs(220, len, 5));
  ssd_case *one = test_alloc(1, sizeof *one);
  hy_rec *r = &s->r;

  (void)state;
  ssd_forward(s);
  ssd_backward(s, NAN);
  *one = *s;
  one->ctx.n_threads = 1;
  one->r.out[0] = test_copy(r->out[0]);
  for (int i = 0; i < N_IN; i++)
    one->r.in[i] = test_copy(r->in[i]);
  ssd_forward(one);
  ssd_backward(one, NAN);
  assert_true(
      test_same(r->out[0], hy_f32(r->out[0]), hy_f32(one->r.out[0]), 0, 220));
  for (int i = 0; i < N_IN; i++)
    assert_true(test_same(r->in[i], r->in[i]->grad, one->r.in[i]->grad, 0,
                          r->in[i]->dim[0]));
  for (int k = 0; k < 2; k++) { /* all but one document become NaN or huge */
    int64_t t0 = k == 0 ? 20 : 55, t1 = k == 0 ? 53 : 195;

    for (int i = 0; i <= CC; i++) {
      one->r.in[i] = test_copy(r->in[i]);
      test_poison(one->r.in[i], hy_f32(one->r.in[i]), t0, t1);
    }
    one->r.out[0] = test_copy(r->out[0]);
    test_poison(one->r.out[0], one->r.out[0]->grad, t0, t1);
    ssd_forward(one);
    ssd_backward(one, NAN);
    assert_true(
        test_same(r->out[0], hy_f32(r->out[0]), hy_f32(one->r.out[0]), t0, t1));
    for (int i = 0; i <= CC; i++)
      assert_true(
          test_same(r->in[i], r->in[i]->grad, one->r.in[i]->grad, t0, t1));
  }
  test_release();
}

/* --- segments ----------------------------------------------------------- */

/* Three sequences in pieces of unequal lengths, interleaved, in slots of no
 * order: the same numbers as in one pass. */
static void
test_segments(void **state)
{
  test_plan plan = test_plan_new();
  ssd_case *s = ssd_new(plan.n_tokens, 4, 8, 2, 24, 2, plan.seq_start);
  hy_tensor *cache = test_tensor(plan.n_slots, 4 * 8 * 24, 0);
  double e = 0.0;

  (void)state;
  ssd_forward(s);
  memset(cache->data, 0, (size_t)(plan.n_slots * cache->ld) * sizeof(float));
  for (int i = 0; i < plan.n_calls; i++) {
    hy_segments seg;
    const int64_t *row = test_plan_call(&plan, i, &seg);
    int64_t n = seg.start[seg.n_seg];
    ssd_case *k = ssd_new(n, 4, 8, 2, 24, 1, NULL);

    k->r.in[A_LOG] = s->r.in[A_LOG];
    k->r.in[D] = s->r.in[D];
    k->r.attr.seg = &seg;
    k->r.attr.state[0] = cache;
    k->r.save[0] = NULL;
    for (int j = 0; j <= CC; j++)
      test_rows(k->r.in[j], s->r.in[j], row);
    ssd_forward(k);
    e = fmax(e, test_rows_error(k->r.out[0], s->r.out[0], row));
  }
  assert_true(e < 2e-6);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_parity), cmocka_unit_test(test_differences),
      cmocka_unit_test(test_steep),  cmocka_unit_test(test_unwanted),
      cmocka_unit_test(test_bits),   cmocka_unit_test(test_segments),
  };

  cpu_init();
  return cmocka_run_group_tests(test, NULL, NULL);
}
