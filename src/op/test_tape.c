/* test_tape.c: a small graph with every way of reading a tensor twice: by two
 * layers (kept), twice in one layer, twice in one op, as two views, and a
 * weight by two ops. Its gradients, its memory, and no heap in a step. */
#include "cpu/test_op.h"

#include <sys/mman.h>

enum { T = 9, D = 5, F = 8, VOCAB = 7, N_LEAF = 4 };
enum { TABLE, NORM, UP, DOWN };

static const int32_t token[T] = {1, 6, 6, 0, 3, 1, 1, 5, 2};
static const int32_t target[T] = {6, 6, 0, 3, 1, 0, 5, 2, 4};
static const float weight[T] = {1, 0.5f, 1, 0, 1, 2, 0, 1, 1};
static const double scale = 0.125;
static const hy_grid one_rank = {.tp = {.size = 1}};

typedef struct {
  hy_tensor *leaf[N_LEAF];
  double *x[N_LEAF];
  double value;
  hy_ctx plan, c;
} graph;

/* --- calls of the heap, counted by the linker's --wrap --- */

static int n_allocs;

#define COUNTED(name, params, args)                                            \
  void *__real_##name params;                                                  \
  void *__wrap_##name params;                                                  \
  void *__wrap_##name params                                                   \
  {                                                                            \
    n_allocs++;                                                                \
    return __real_##name args;                                                 \
  }
COUNTED(malloc, (size_t n), (n))
COUNTED(calloc, (size_t n, size_t size), (n, size))
COUNTED(realloc, (void *p, size_t n), (p, n))
COUNTED(mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from),
        (at, n, prot, flags, fd, from))

/* --- the graph ----------------------------------------------------------- */

static void
program(graph *g, hy_ctx *c, int taping)
{
  hy_tensor *x, *a, *h, *u, *v;

  g->value = 0.0;
  hy_ctx_reset(c, taping);
  hy_layer_begin(c, -1, -1, -1);
  x = hy_embedding(c, token, T, g->leaf[TABLE], 0);
  hy_layer_begin(c, 0, -1, -1);
  a = hy_rmsnorm(c, x, g->leaf[NORM], 1e-3f);
  h = hy_add(c, x, a); /* x: twice in this layer */
  a = hy_concat(c, hy_cols_of(c, h, 0, 2), hy_cols_of(c, h, 2, D - 2));
  if (taping)
    hy_keep(c, a); /* layers 1 and 2 read it */
  hy_layer_begin(c, 1, -1, -1);
  h = hy_linear(c, a, g->leaf[UP]);
  u = hy_silu(c, hy_cols_of(c, h, 0, F / 2));
  v = hy_relu2(c, hy_cols_of(c, h, F / 2, F / 2));
  h = hy_linear(c, hy_concat(c, u, v), g->leaf[DOWN]);
  if (taping) /* inference keeps one layer's input only */
    hy_layer_begin(c, 2, -1, -1);
  h = hy_add(c, h, h);
  h = hy_add(c, a, h);
  hy_layer_begin(c, -1, -1, -1);
  h = hy_linear(c, h, g->leaf[TABLE]);
  hy_ce(c, h, NULL, target, weight, 0, scale, NULL, &g->value);
}

/* Loss of one token in double. */
static double
naive_token(double *const *p, int t)
{
  double a[D], h[F], y[D], z[VOCAB], rms = 0.0, sum = 0.0;
  const double *x = p[TABLE] + token[t] * D;

  for (int i = 0; i < D; i++)
    rms += x[i] * x[i] / D;
  for (int i = 0; i < D; i++)
    a[i] = x[i] + x[i] / sqrt(rms + 1e-3) * p[NORM][i];
  for (int j = 0; j < F; j++) {
    h[j] = 0.0;
    for (int i = 0; i < D; i++)
      h[j] += p[UP][j * D + i] * a[i];
    h[j] = j < F / 2 ? h[j] / (1.0 + exp(-h[j])) : pow(fmax(h[j], 0.0), 2);
  }
  for (int i = 0; i < D; i++) {
    y[i] = a[i];
    for (int j = 0; j < F; j++)
      y[i] += 2.0 * p[DOWN][i * F + j] * h[j];
  }
  for (int k = 0; k < VOCAB; k++) {
    z[k] = 0.0;
    for (int i = 0; i < D; i++)
      z[k] += y[i] * p[TABLE][k * D + i];
    sum += exp(z[k]);
  }
  return log(sum) - z[target[t]];
}

static double
naive(void *arg)
{
  graph *g = arg;
  double sum = 0.0;

  for (int t = 0; t < T; t++)
    sum += (double)weight[t] * naive_token(g->x, t);
  return sum;
}

static int
set_up(void **state)
{
  static const int64_t dim[N_LEAF][2] = {{VOCAB, D}, {D, 1}, {F, D}, {D, F}};
  graph *g = test_alloc(1, sizeof *g);

  test_seed = 1;
  for (int i = 0; i < N_LEAF; i++) {
    hy_tensor *t = g->leaf[i] = test_tensor(dim[i][0], dim[i][1], 0);

    test_fill(t, -1, 1);
    g->x[i] = test_double(t, hy_f32(t));
    t->want = t->has = 1;
    test_grad(t, 0);
  }
  hy_ctx_init(&g->plan, &hy_backend_plan, &one_rank, 2, 3);
  program(g, &g->plan, 0);
  program(g, &g->plan, 1);
  hy_backward(&g->plan);
  hy_ctx_init(&g->c, &hy_backend_cpu, &one_rank, 2, 3);
  assert_int_equal(hy_ctx_reserve(&g->c, &g->plan), 0);
  memset(g->c.act.base, 0xff, g->c.act.size);
  memset(g->c.turn[0].base, 0xff, g->c.turn[0].size);
  memset(g->c.turn[1].base, 0xff, g->c.turn[1].size);
  *state = g;
  return 0;
}

static int
tear_down(void **state)
{
  graph *g = *state;

  hy_ctx_free(&g->plan);
  hy_ctx_free(&g->c);
  test_release();
  return 0;
}

/* --- tests --------------------------------------------------------------- */

/* Gradients of weights add up over steps: after n of them n times the
 * slope. */
static void
test_gradients(void **state)
{
  graph *g = *state;

  for (int step = 1; step <= 3; step++) {
    double want = naive(g);

    program(g, &g->c, 1);
    assert_true(fabs(g->value - want) < 1e-6 * want);
    hy_backward(&g->c);
    for (int i = 0; i < N_LEAF; i++) {
      const hy_tensor *t = g->leaf[i];
      int64_t n = t->dim[0] * hy_cols(t);
      double *slope = test_alloc((size_t)n, sizeof *slope);

      for (int64_t j = 0; j < n; j++)
        slope[j] = step * scale * test_slope(naive, g, &g->x[i][j]);
      assert_true(test_error(t, t->grad, slope, 0.0) < 5e-6);
    }
  }
}

/* Without a tape the same value in other memory. */
static void
test_inference(void **state)
{
  graph *g = *state;
  double value;

  program(g, &g->c, 1);
  value = g->value;
  program(g, &g->c, 0);
  assert_true(g->value == value);
  assert_int_equal(g->c.tape.n, 0);
  assert_int_equal(g->c.act.used, 0);
}

static size_t
room(const hy_tensor *t)
{
  size_t n = hy_bytes(t->fmt, t->dim[0] * t->ld);

  return (n + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
}

/* After forward the arena holds what the records made and what was kept, and
 * no scratch; after backward nothing. */
static void
test_memory(void **state)
{
  graph *g = *state;
  size_t used = 0;

  program(g, &g->c, 1);
  for (int i = 0; i < g->c.tape.n; i++) {
    const hy_rec *r = g->c.tape.rec[i];

    for (int k = 0; k < r->n_out; k++) {
      const hy_tensor *t = r->out[k];

      used += room(t);
      if (t->grad && t->grad != t->data) /* kept; that of ce is in place */
        used += room(t);
    }
    for (int k = 0; k < r->n_save; k++)
      used += room(r->save[k]);
  }
  assert_int_equal(g->c.act.used, used);
  hy_backward(&g->c);
  assert_int_equal(g->c.act.used, 0);
  program(g, &g->c, 0);
  assert_int_equal(g->c.act.peak, g->plan.act.peak);
  assert_int_equal(g->c.turn[0].peak, g->plan.turn[0].peak);
  assert_int_equal(g->c.turn[1].peak, g->plan.turn[1].peak);
  assert_int_equal(g->c.host.peak, g->plan.host.peak);
  assert_true(g->plan.act.peak > 0 && g->plan.turn[0].peak > 0 &&
              g->plan.turn[1].peak > 0);
}

static size_t
floats(int64_t cols)
{
  return room(&(hy_tensor){.fmt = HY_F32, .dim = {T}, .ld = cols});
}

/* Gradients of activations, and in inference these themselves, go to two
 * arenas in turn: each holds those of one layer at most, here of layer 1 and
 * of layer 0. */
static void
test_turns(void **state)
{
  graph *g = *state;
  hy_ctx plan;

  hy_ctx_init(&plan, &hy_backend_plan, &one_rank, 2, 3);
  program(g, &plan, 1);
  hy_backward(&plan);
  assert_int_equal(plan.turn[0].peak, 2 * floats(F) + 2 * floats(F / 2));
  assert_int_equal(plan.turn[1].peak, 3 * floats(D));
  hy_ctx_free(&plan);
  hy_ctx_init(&plan, &hy_backend_plan, &one_rank, 2, 3);
  program(g, &plan, 0);
  assert_int_equal(plan.turn[0].peak, 3 * floats(D) + floats(1));
  assert_int_equal(plan.turn[1].peak,
                   3 * floats(D) + 2 * floats(F) + 2 * floats(F / 2));
  assert_int_equal(plan.act.peak, 0);
  hy_ctx_free(&plan);
}

static void
test_heap(void **state)
{
  graph *g = *state;

  program(g, &g->c, 1); /* threads start */
  hy_backward(&g->c);
  n_allocs = 0;
  for (int step = 0; step < 3; step++) {
    program(g, &g->c, 1);
    hy_backward(&g->c);
    program(g, &g->c, 0);
  }
  assert_int_equal(n_allocs, 0);
  free(hy_malloc(1)); /* it would be seen */
  assert_int_equal(n_allocs, 1);
}

/* What ran is counted: products two FLOPs a multiply-add, backward twice
 * that. */
static void
test_cost(void **state)
{
  graph *g = *state;
  double flops = 2.0 * T * (D * F + F * D + D * VOCAB);

  g->c.cost = (hy_cost){0, 0, 0};
  program(g, &g->c, 0);
  assert_true(g->c.cost.fwd == flops && g->c.cost.bwd == 0.0);
  program(g, &g->c, 1);
  assert_true(g->c.cost.fwd == 2.0 * flops);
  assert_true(g->c.cost.bwd == 2.0 * flops);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test_setup_teardown(test_gradients, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_inference, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_turns, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_heap, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_cost, set_up, tear_down),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
