/* test_dispatch_mpi.c: experts over ranks give what one rank with all experts
 * gives, for any routing and any number of tokens; what is sent is what the
 * routing says; the same bits again. Then whole models. */
#include "model/test_tiny.h"
#include "data/cut.h"
#include "op/region.h"
#include "optim/bucket.h"
#include "grid/test_mpi.h"

enum { E = 8, D = 6, F = 5, MOST = 9 };
enum { RANDOM, ONE_RANK, LAST_RANK, BY_TURNS, N_KINDS };

static hy_comm world; /* set once in main */

/* --- one layer of experts ------------------------------------------------ */

typedef struct {
  int64_t T, k;
  int32_t *idx;
  float *weight, *x, *dy, *up, *down; /* all experts */
  float *y, *dx, *dw, *dup, *ddown;   /* results; of own experts */
} moe;

static float *
numbers(int64_t n)
{
  float *p = test_alloc((size_t)n, sizeof *p);

  for (int64_t i = 0; i < n; i++)
    p[i] = (float)test_random();
  return p;
}

/* k experts of token t, ascending. */
static void
choose(int kind, int64_t t, int64_t k, int32_t *idx)
{
  int32_t first = kind == LAST_RANK ? (int32_t)(E - k) : 0, n = 0;

  if (kind == RANDOM) {
    for (int32_t e = 0; e < E && n < k; e++)
      if ((test_random() + 1) / 2 * (double)(E - e) < (double)(k - n))
        idx[n++] = e;
  } else if (kind == BY_TURNS) {
    for (int32_t e = 0; e < E; e++)
      if ((e + (int32_t)(t % E)) % E < k)
        idx[n++] = e;
  } else
    for (; n < k; n++)
      idx[n] = first + n;
  assert_true(n == k);
}

static moe
moe_new(int64_t T, int64_t k, int kind, int rank)
{
  moe m = {.T = T, .k = k};

  test_seed = 77; /* the same weights on every rank */
  m.up = numbers(E * F * D);
  m.down = numbers(E * D * F);
  test_seed = 1000 + (uint64_t)rank;
  m.x = numbers(T * D);
  m.dy = numbers(T * D);
  m.weight = numbers(T * k);
  m.idx = test_alloc((size_t)(T * k), sizeof *m.idx);
  for (int64_t t = 0; t < T; t++)
    choose(kind, t, k, m.idx + t * k);
  return m;
}

static hy_tensor
leaf(int n_dim, int64_t a, int64_t b, int64_t d, float *data)
{
  hy_tensor t = {.fmt = HY_F32,
                 .n_dim = n_dim,
                 .dim = {a, b, d, 1},
                 .ld = n_dim == 2 ? b : b * d,
                 .data = data,
                 .want = 1};
  size_t n = (size_t)(a * b * d);

  t.grad = test_alloc(n, sizeof(float));
  memset(t.grad, 0xff, n * sizeof(float));
  return t;
}

/* The text of a layer, forward and backward, in a context that is planned for
 * the worst; results into m. */
static void
run(moe *m, const hy_grid *g)
{
  int64_t own = E / g->ep.size, at = own * g->ep.rank;
  hy_batch b = {.n_rows = 1, .seq_len = MOST, .n_tokens = m->T};
  hy_ctx c[2];

  for (int i = 0; i < 2; i++) {
    hy_tensor x = leaf(2, m->T, D, 1, m->x), *y;
    hy_tensor w = leaf(2, m->T, m->k, 1, m->weight);
    hy_tensor up = leaf(3, own, F, D, m->up + at * F * D);
    hy_tensor down = leaf(3, own, D, F, m->down + at * D * F);
    hy_route route = {.weight = &w, .idx = m->idx};
    hy_dispatched d;

    hy_ctx_init(&c[i], i ? &hy_backend_cpu : &hy_backend_plan, g, 1, 4);
    c[i].worst = 1;
    if (i)
      assert_int_equal(hy_ctx_reserve(&c[1], &c[0]), 0);
    c[i].batch = &b;
    hy_ctx_reset(&c[i], 1);
    d = hy_dispatch(&c[i], &x, &route, E);
    y = hy_grouped_linear(&c[i], d.x, &up, d.offset);
    y = hy_grouped_linear(&c[i], hy_relu2(&c[i], y), &down, d.offset);
    y = hy_combine(&c[i], y, &d);
    assert_int_equal(y->dim[0], m->T);
    y->has = 1;
    y->grad = m->dy;
    m->y = test_alloc((size_t)(m->T * D), sizeof(float));
    if (i)
      memcpy(m->y, y->data, (size_t)(m->T * D) * sizeof(float));
    hy_backward(&c[i]);
    m->dx = x.grad;
    m->dw = w.grad;
    m->dup = up.grad;
    m->ddown = down.grad;
  }
  hy_ctx_free(&c[0]);
  hy_ctx_free(&c[1]);
}

static void
near(const float *a, const float *b, int64_t n, const char *what)
{
  double diff = 0, top = 1e-3;

  for (int64_t i = 0; i < n; i++) {
    diff = fmax(diff, fabs((double)a[i] - (double)b[i]));
    assert_false(isnan(a[i]));
    top = fmax(top, fabs((double)b[i]));
  }
  if (diff > 1e-6 * top)
    fail_msg("%s: %.2e of %.2e", what, diff, top);
}

/* Bytes of rows, choices and counts that leave this rank in both directions. */
static double
bytes(const moe *m, const hy_grid *g)
{
  const hy_comm *ep = &g->ep;
  int64_t own = E / ep->size, n[2][64] = {{0}}, in[2][64] = {{0}};
  double rows, choices;

  for (int64_t t = 0; t < m->T; t++)
    for (int d = 0; d < ep->size; d++) {
      int64_t here = 0;

      for (int64_t j = 0; j < m->k; j++)
        here += m->idx[t * m->k + j] / own == d;
      n[0][d] += here > 0;
      n[1][d] += here;
    }
  for (int i = 0; i < 2; i++)
    MPI_Alltoall(n[i], 1, MPI_INT64_T, in[i], 1, MPI_INT64_T, ep->mpi);
  rows = choices = 0;
  for (int d = 0; d < ep->size; d++)
    if (d != ep->rank) {
      rows += (double)(2 * n[0][d] + 2 * in[0][d]);
      choices += (double)(8 * n[1][d] + 4 * in[1][d]);
    }
  return rows * D * 4 + choices + 16 * (ep->size - 1);
}

static void
check(int ep, int64_t T, int64_t k, int kind)
{
  hy_deck_grid d = {.tp = 1, .ep = ep, .cp = 1, .pp = 1};
  int64_t n = E / ep * F * D;
  float *scratch = test_alloc(E * F * D, sizeof *scratch);
  moe m = moe_new(T, k, kind, world.rank), whole = m, again = m;
  hy_grid g;
  double sent;

  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  run(&whole, &tiny_one_rank);
  sent = g.meter->sent[HY_AXIS_EP];
  run(&m, &g);
  sent = g.meter->sent[HY_AXIS_EP] - sent;
  assert_true(sent == bytes(&m, &g));
  run(&again, &g);
  assert_memory_equal(m.y, again.y, (size_t)(T * D) * sizeof *m.y);
  assert_memory_equal(m.dx, again.dx, (size_t)(T * D) * sizeof *m.y);
  assert_memory_equal(m.dup, again.dup, (size_t)n * sizeof *m.y);
  near(m.y, whole.y, T * D, "y");
  near(m.dx, whole.dx, T * D, "dx");
  near(m.dw, whole.dw, T * k, "routing weights");
  hy_sum_f32(&world, whole.dup, scratch, E * F * D);
  hy_sum_f32(&world, whole.ddown, scratch, E * F * D);
  hy_sum_f32(&g.edp, m.dup, scratch, (size_t)n);
  hy_sum_f32(&g.edp, m.ddown, scratch, (size_t)n);
  near(m.dup, whole.dup + n * g.ep.rank, n, "up");
  near(m.ddown, whole.ddown + n * g.ep.rank, n, "down");
  hy_grid_free(&g);
  test_release();
}

static void
test_routings(void **state)
{
  (void)state;
  for (int ep = 1; ep <= world.size; ep *= 2)
    for (int64_t k = 1; k <= 5; k += 2)
      for (int kind = 0; kind < N_KINDS; kind++) {
        check(ep, 4 + world.rank, k, kind);
        check(ep, world.rank == 1 ? 0 : MOST, k, kind); /* one has none */
        check(ep, world.rank == 0 ? 1 : 0, k, kind);    /* one has any */
        check(ep, 0, k, kind);
      }
}

/* An even routing over few experts: what is planned for is what happens. */
static void
test_expected(void **state)
{
  hy_deck_grid d = {.tp = 1, .ep = world.size, .cp = 1, .pp = 1};
  hy_batch b = {.n_rows = 1, .seq_len = 5600, .n_tokens = 5600};
  hy_tensor w = {.n_dim = 2, .dim = {5600, 3, 1, 1}};
  hy_tensor x = leaf(2, 5600, D, 1, NULL);
  hy_route route = {.weight = &w};
  double all = 1, left = 1; /* of 8 experts 3: C(8 - own, 3) / C(8, 3) */
  int64_t own = E / world.size;
  hy_dispatched got;
  hy_grid g;
  hy_ctx c;

  (void)state;
  for (int64_t i = 0; i < 3; i++) {
    all *= (double)(E - i);
    left *= (double)(E - own - i > 0 ? E - own - i : 0);
  }
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  for (int worst = 0; worst < 2; worst++) {
    hy_ctx_init(&c, &hy_backend_plan, &g, 1, 4);
    c.batch = &b;
    c.worst = worst;
    got = hy_dispatch(&c, &x, &route, E);
    assert_int_equal(got.x->dim[0],
                     world.size == 1 || !worst
                         ? 5600 * 3
                         : 5600 * world.size * (own < 3 ? own : 3));
    if (world.size > 1)
      assert_int_equal(got.n_row,
                       worst ? 5600 * world.size
                             : llround(5600 * world.size * (1 - left / all)));
    hy_ctx_free(&c);
  }
  hy_grid_free(&g);
  test_release();
}

/* --- whole models -------------------------------------------------------- */

enum { ROWS = 4, LEN = 11 };

/* Errors are scaled by the parameter's largest gradient, or by 0.02 where that
 * is smaller: those of queries and keys are what is left of larger numbers
 * (6e-8 of 0.008 was seen). */
static double
grad_error(const tiny *x, const tiny *whole, const hy_grid *g)
{
  double worst = 0.0;

  for (int i = 0; i < x->m.plan.n_spec; i++) {
    const hy_param_ref *p = &x->m.params.ref[i], *q = &whole->m.params.ref[i];
    double diff = 0.0, top = 0.02;

    for (int64_t k = 0;
         p->spec->kind == HY_WEIGHT && k < hy_shard_size(&p->shard); k++) {
      double want = (double)q->t.grad[tiny_global(p->spec, g, k)];

      diff = fmax(diff, fabs((double)p->t.grad[k] - want));
      top = fmax(top, fabs(want));
    }
    worst = diff / top > worst || isnan(diff) ? diff / top : worst;
  }
  return worst;
}

typedef struct {
  const char *pattern;
  int tp, sp, cp, ep, n_rows;
  int plain; /* no latent width, groups of experts */
  int crowd; /* every token chooses the first experts */
} model_case;

static tiny *
model_new(const model_case *m)
{
  tiny *x = test_alloc(1, sizeof *x);

  tiny_cfg(&x->cfg, m->pattern);
  x->cfg.d_latent = m->plain ? 0 : x->cfg.d_latent;
  x->cfg.d_shared = 12;
  x->cfg.n_group = m->plain ? 4 : 1;
  x->cfg.topk_group = m->plain ? 2 : 1;
  tiny_open(x, &tiny_one_rank, 1, ROWS, LEN);
  tiny_weights(&x->m, 7);
  for (int i = 0; i < x->m.plan.n_spec && m->crowd; i++)
    if (x->m.plan.spec[i].kind == HY_STATISTIC)
      for (int e = 0; e < E; e++)
        hy_f32(&x->m.params.ref[i].t)[e] = e < x->cfg.top_k ? 9.0f : 0.0f;
  return x;
}

static void
check_model(model_case m)
{
  hy_deck_grid d = {.tp = m.tp, .sp = m.sp, .ep = m.ep, .cp = m.cp, .pp = 1};
  tiny *whole = model_new(&m), *x;
  float *scratch = test_alloc(HY_BUCKET, sizeof *scratch), margin = INFINITY;
  hy_batch b, mine;
  hy_cut_layout layout;
  hy_cut *cut = NULL;
  int64_t *count;
  hy_grid g;
  double error;

  if (world.size % (m.tp * m.cp) || world.size % m.ep) {
    tiny_free(whole);
    test_release();
    return;
  }
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  x = tiny_piece(whole, &g, ROWS, LEN);
  b = tiny_rows(&tiny_one_rank, m.n_rows, LEN, x->m.plan.n_depth);
  mine = tiny_rows(&g, m.n_rows, LEN, x->m.plan.n_depth);
  layout = hy_cut_layout_of(&g, 2);
  assert_int_equal(hy_cut_new(&cut, &layout, ROWS, LEN, x->m.plan.n_depth), 0);
  hy_cut_rows(cut, &mine, &mine);
  whole->c.margin = &margin;
  tiny_step(whole, &b);
  tiny_step(x, &mine);
  count = whole->count;
  hy_sum_i64(&world, x->count, x->m.plan.n_layer_all * E);
  assert_memory_equal(x->count, count,
                      (size_t)(x->m.plan.n_layer_all * E) * sizeof *count);
  hy_sum_f64(&world, &x->l.aux, 1);
  hy_reduce_grads(&x->m.params, &g, scratch);
  error = grad_error(x, whole, &g);
  if (world.rank == 0)
    printf("%s: tp %d%s, cp %d, ep %d, %d rows: gradients %.1e, balance loss "
           "%.1e, margin %.1e\n",
           m.pattern, m.tp, m.sp ? " sp" : "", m.cp, m.ep, m.n_rows, error,
           fabs(x->l.aux - whole->l.aux) / fmax(whole->l.aux, 1e-30),
           (double)margin);
  assert_true(error < 5e-6);
  assert_true(fabs(x->l.aux - whole->l.aux) <= 1e-6 * whole->l.aux);
  hy_cut_free(cut);
  tiny_free(x);
  tiny_free(whole);
  hy_grid_free(&g);
  test_release();
}

static void
test_models(void **state)
{
  static const model_case all[] = {
      {"E", 1, 0, 1, 2, ROWS, 0, 0},    {"E", 1, 0, 1, 4, ROWS, 1, 0},
      {"ME*E/*E", 1, 0, 1, 2, 3, 0, 0}, {"ME*E/*E", 1, 0, 1, 4, 1, 0, 0},
      {"EE", 1, 0, 1, 4, 3, 1, 0},      {"E", 2, 0, 1, 1, ROWS, 0, 0},
      {"E", 2, 0, 1, 2, 1, 1, 0},       {"-E-", 2, 0, 1, 4, ROWS, 0, 0},
      {"E-E", 4, 0, 1, 2, 3, 1, 0},     {"E", 4, 0, 1, 4, 1, 0, 0},
      {"E*E/*E", 2, 0, 1, 2, 3, 0, 0},  {"ME*E/*E", 2, 1, 1, 4, 1, 0, 0},
      {"-E-/E", 2, 1, 1, 2, 3, 1, 0},   {"E*E", 4, 1, 1, 4, 3, 0, 0},
      {"*E*E/*E", 1, 0, 2, 2, 3, 0, 0}, {"E", 1, 0, 4, 2, 1, 1, 0},
      {"*E*E/*E", 2, 1, 2, 4, 3, 0, 0}, {"E*E", 2, 0, 2, 2, 1, 1, 0},
      {"E*E", 1, 0, 1, 2, 0, 0, 0},     {"ME*E/*E", 1, 0, 1, 2, ROWS, 0, 1},
      {"ME*E/*E", 1, 0, 1, 4, 1, 0, 1}, {"E*E", 2, 1, 1, 4, ROWS, 0, 1},
  };

  (void)state;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    check_model(all[i]);
}

static const struct CMUnitTest test[] = {
    cmocka_unit_test(test_routings),
    cmocka_unit_test(test_expected),
    cmocka_unit_test(test_models),
};

TEST_MPI_MAIN(test)
