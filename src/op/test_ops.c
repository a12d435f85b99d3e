/* test_ops.c: every row of ops.def has a case; one that has none does not
 * link. */
#include "op/test_ops.h"
#include "op/test_ops_case.h"

int ops_n_checked;
static int ops_row; /* the one being tested */
static const hy_grid one_rank = {
    .world = {.size = 1}, .tp = {.size = 1}, .dp = {.size = 1}};

/* --- one run ------------------------------------------------------------- */

typedef struct {
  int n_threads;
  int views;  /* activations are columns of one wide tensor */
  int only;   /* the one input that wants a gradient, -1: all */
  float held; /* by the gradients before; NaN: nothing */
  hy_ctx plan, ctx;
  hy_tensor *in[OPS_MAX_IN]; /* leaves: own copies of the inputs */
  hy_tensor *wide, *y;
} ops_run;

static void
poison(hy_arena *a)
{
  if (a->size > 0)
    memset(a->base, 0xff, a->size);
}

static int64_t
count(const hy_tensor *t)
{
  return t->dim[0] * hy_cols(t);
}

static int
is_view(const ops_case *s, const ops_run *r, int i)
{
  return r->views && s->view[i];
}

static void
set_wanted(const ops_run *r, hy_tensor *t, int wanted)
{
  t->want = (unsigned char)wanted;
  t->has = !isnan(r->held);
  t->grad = NULL;
  if (wanted)
    test_grad(t, r->held);
}

/* Inputs that can be views lie side by side in one tensor of NaN, a column
 * apart. */
static void
make_leaves(const ops_case *s, ops_run *r)
{
  int64_t cols = 1, at = 1;

  for (int i = 0; i < s->n_in; i++) {
    int wanted = !s->frozen[i] && (r->only < 0 || r->only == i);

    r->in[i] = test_copy(s->in[i]);
    set_wanted(r, r->in[i], wanted);
    if (is_view(s, r, i))
      cols += hy_cols(s->in[i]) + 1;
  }
  if (cols == 1)
    return;
  r->wide = test_tensor(s->in[0]->dim[0], cols, 2);
  set_wanted(r, r->wide, 1);
  for (int i = 0; i < s->n_in; i++) {
    const hy_tensor *x = s->in[i];

    if (!is_view(s, r, i))
      continue;
    for (int64_t t = 0; t < x->dim[0]; t++)
      memcpy(hy_f32(r->wide) + t * r->wide->ld + at, hy_f32(x) + t * x->ld,
             (size_t)hy_cols(x) * sizeof(float));
    at += hy_cols(x) + 1;
  }
}

static void
forward(ops_case *s, ops_run *r, hy_ctx *c)
{
  hy_tensor *in[OPS_MAX_IN];
  int64_t at = 1;

  c->batch = &s->batch;
  hy_ctx_reset(c, 1);
  for (int i = 0; i < s->n_in; i++) {
    in[i] = r->in[i];
    if (is_view(s, r, i)) { /* a view of a view, to the end of the columns */
      hy_tensor *rest = hy_cols_of(c, r->wide, at, hy_cols(r->wide) - at);

      in[i] = hy_cols_of(c, rest, 0, hy_cols(s->in[i]));
      at += hy_cols(s->in[i]) + 1;
    }
    r->in[i] = in[i];
  }
  s->value = 0.0;
  r->y = s->call(c, s, in);
}

/* Forward in arenas of exactly the planned size, full of NaN. */
static void
run_forward(ops_case *s, ops_run *r)
{
  ops_run dry = *r;

  make_leaves(s, &dry);
  make_leaves(s, r);
  hy_ctx_init(&r->plan, &hy_backend_plan, &one_rank, r->n_threads, 1);
  forward(s, &dry, &r->plan);
  if (dry.y != NULL)
    dry.y->has = 1;
  hy_backward(&r->plan);
  hy_ctx_init(&r->ctx, &hy_backend_cpu, &one_rank, r->n_threads, 1);
  assert_int_equal(hy_ctx_reserve(&r->ctx, &r->plan), 0);
  poison(&r->ctx.act);
  poison(&r->ctx.turn[0]);
  poison(&r->ctx.turn[1]);
  forward(s, r, &r->ctx);
  assert_int_equal(r->ctx.tape.n, s->before + 1);
  assert_ptr_equal(r->ctx.tape.rec[s->before]->op, &hy_backend_cpu.op[ops_row]);
}

static void
run_backward(const ops_case *s, ops_run *r)
{
  hy_tensor *y = r->y;

  if (y != NULL) {
    int64_t cols = hy_cols(y);

    y->has = 1;
    test_grad(y, NAN);
    for (int64_t i = 0; i < y->dim[0] * cols; i++)
      y->grad[i / cols * y->ld + i % cols] = (float)s->dy[i];
  }
  hy_backward(&r->ctx);
  assert_true(r->plan.act.peak == r->ctx.act.peak);
  assert_true(r->plan.host.peak == r->ctx.host.peak);
}

/* --- the checks ---------------------------------------------------------- */

static double
functional(void *arg)
{
  ops_case *s = arg;
  double *y = calloc((size_t)s->n_out + 1, sizeof *y), sum = 0.0;

  s->naive(s, y);
  for (int64_t i = 0; i < s->n_out; i++)
    sum += s->dy[i] * y[i];
  free(y);
  return sum;
}

static void
make_slopes(ops_case *s)
{
  for (int i = 0; i < s->n_in; i++) {
    int64_t n = count(s->in[i]);

    s->slope[i] = test_alloc((size_t)n, sizeof(double));
    for (int64_t j = 0; j < n && !s->frozen[i]; j++)
      s->slope[i][j] = test_slope(functional, s, &s->x[i][j]);
  }
}

static void
within(const ops_case *s, double error, const char *what, int i)
{
  double bound = s->bound > 0.0 ? s->bound : 3e-6;

  if (!(error <= bound))
    fail_msg("%s: %s %d: scaled error %.3g, bound %.3g (T = %lld)",
             hy_backend_cpu.op[ops_row].name, what, i, error, bound,
             (long long)s->batch.n_tokens);
}

static void
check_forward(const ops_case *s, const ops_run *r)
{
  double *want = test_alloc((size_t)s->n_out, sizeof *want);

  s->naive(s, want);
  if (r->y == NULL) {
    within(s, fabs(s->value - want[0]) / fmax(fabs(want[0]), 0.5), "value", 0);
    return;
  }
  assert_true(count(r->y) == s->n_out);
  within(s, test_error(r->y, hy_f32(r->y), want, 0.0), "output", 0);
}

/* What no input owns of the wide tensor's gradient: zero, or as before. */
static void
check_guards(const ops_case *s, const ops_run *r)
{
  int64_t at = 0, ld = r->wide->ld;
  float held = isnan(r->held) ? 0.0f : r->held;

  for (int i = 0; i <= s->n_in; i++) {
    if (i < s->n_in && !is_view(s, r, i))
      continue;
    for (int64_t t = 0; t < r->wide->dim[0]; t++)
      assert_true(r->wide->grad[t * ld + at] == held);
    at += i < s->n_in ? hy_cols(s->in[i]) + 1 : 0;
  }
}

static void
check_grads(const ops_case *s, const ops_run *r)
{
  for (int i = 0; i < s->n_in; i++) {
    const hy_tensor *x = r->in[i];

    if (s->frozen[i] || (r->only >= 0 && r->only != i)) {
      assert_null(x->grad);
      continue;
    }
    within(s,
           test_error(x, x->grad, s->slope[i],
                      isnan(r->held) || s->in_place ? 0.0 : (double)r->held),
           r->views ? "gradient of view" : "gradient", i);
    if (!is_view(s, r, i) && !s->in_place && isnan(r->held))
      test_gaps(x, x->grad);
  }
  if (r->wide != NULL)
    check_guards(s, r);
}

static void
keep_or_compare(ops_case *s, const ops_run *r)
{
  for (int i = 0; i < s->n_in; i++) {
    const hy_tensor *x = r->in[i];

    if (x->grad == NULL || x->base != NULL)
      continue;
    if (s->grad[i] == NULL)
      s->grad[i] = test_copy(x)->grad;
    else
      assert_true(test_same(x, x->grad, s->grad[i], 0, x->dim[0]));
  }
}

static void
check(ops_case *s, int n_threads, int views, int only, float held)
{
  ops_run r = {
      .n_threads = n_threads, .views = views, .only = only, .held = held};

  run_forward(s, &r);
  check_forward(s, &r);
  run_backward(s, &r);
  check_grads(s, &r);
  if (isnan(held) && !(s->split && n_threads == 1))
    keep_or_compare(s, &r);
  hy_ctx_free(&r.plan);
  hy_ctx_free(&r.ctx);
}

void
ops_check(ops_case *s)
{
  int any = 0;

  s->n_out = s->loss != 0.0 ? 1 : s->n_out;
  s->dy = test_alloc((size_t)s->n_out, sizeof *s->dy);
  for (int64_t i = 0; i < s->n_out; i++)
    s->dy[i] = s->loss != 0.0 ? s->loss : (double)(float)test_random();
  for (int i = 0; i < s->n_in; i++) {
    s->x[i] = test_double(s->in[i], hy_f32(s->in[i]));
    any |= s->view[i];
  }
  make_slopes(s);
  check(s, 2, 0, -1, NAN);
  check(s, 1, 0, -1, NAN); /* the same bits */
  check(s, 2, 0, -1, 0.5f);
  for (int i = 0; i < s->n_in && s->n_in > 1; i++)
    if (!s->frozen[i])
      check(s, 2, 0, i, NAN);
  if (any) {
    check(s, 2, 1, -1, NAN);
    check(s, 2, 1, -1, 0.5f);
  }
  test_release();
  ops_n_checked++;
}

/* --- the rows of ops.def ------------------------------------------------- */

#define HY_OP(n)                                                               \
  static void test_##n(void **state)                                           \
  {                                                                            \
    (void)state;                                                               \
    test_seed = HY_OP_##n; /* alone or in line: the same numbers */            \
    ops_row = HY_OP_##n;                                                       \
    ops_n_checked = 0;                                                         \
    ops_##n();                                                                 \
    assert_true(ops_n_checked > 0);                                            \
  }
#include "op/ops.def"
#undef HY_OP

int
main(void)
{
  const struct CMUnitTest test[] = {
#define HY_OP(n) cmocka_unit_test(test_##n),
#include "op/ops.def"
#undef HY_OP
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
