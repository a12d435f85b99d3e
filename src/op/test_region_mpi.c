/* test_region_mpi.c: loss and gradients of one rank from any number of them.
 * Every parameter is listed with the axes on which its gradient is a part. */
#include "model/test_tiny.h"
#include "optim/bucket.h"
#include "grid/test_mpi.h"

enum { ROWS = 4, LEN = 11 };

static hy_comm world; /* set once in main */

static const char *
axes(const hy_spec *s)
{
  return s->partial & HY_EDP ? "edp" : "dp cp";
}

/* The table. Errors are scaled by the parameter's largest gradient. */
static void
compare(const tiny *x, const tiny *whole, const hy_grid *g, double bound)
{
  double worst = 0.0;

  for (int i = 0; i < x->m.plan.n_spec; i++) {
    const hy_param_ref *p = &x->m.params.ref[i], *q = &whole->m.params.ref[i];
    double diff = 0.0, top = 1e-9, error;

    if (p->spec->kind != HY_WEIGHT)
      continue;
    for (int64_t k = 0; k < hy_shard_size(&p->shard); k++) {
      double want = (double)q->t.grad[tiny_global(p->spec, g, k)];

      diff = fmax(diff, fabs((double)p->t.grad[k] - want));
    }
    for (int64_t k = 0; k < hy_spec_size(p->spec); k++)
      top = fmax(top, fabs((double)q->t.grad[k]));
    error = diff / top;
    if (world.rank == 0)
      printf("%-42s partial on %-5s %s error %.1e\n", p->spec->name,
             axes(p->spec), p->spec->split < 0 ? "whole" : "cut  ", error);
    worst = error > worst || isnan(error) ? error : worst;
  }
  assert_true(worst < bound);
}

static void
check(const char *pattern, int tp, int64_t n_rows, double bound)
{
  hy_deck_grid d = {.tp = tp, .ep = 1, .cp = 1, .pp = 1};
  tiny *whole = tiny_new(pattern, 1, ROWS, LEN), *x;
  float *scratch = test_alloc(HY_BUCKET, sizeof *scratch);
  hy_batch b, mine;
  hy_grid g;
  double sum[2], sent;

  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  x = tiny_piece(whole, &g, ROWS, LEN);
  b = tiny_rows(&tiny_one_rank, n_rows, LEN, x->m.plan.n_depth);
  mine = tiny_rows(&g, n_rows, LEN, x->m.plan.n_depth);
  tiny_step(whole, &b);
  sent = g.meter->sent[HY_AXIS_TP];
  tiny_step(x, &mine);
  sent = g.meter->sent[HY_AXIS_TP] - sent; /* as planned for ROWS rows */
  assert_true(fabs(sent * ROWS - x->c.sent[HY_AXIS_TP] * (double)mine.n_rows) <=
              1e-9 * sent);
  sum[0] = x->l.ce;
  sum[1] = x->l.mtp[0] + x->l.aux;
  hy_sum_f64(&g.dp_cp, sum, 2);
  hy_reduce_grads(&x->m.params, &g, scratch);
  if (world.rank == 0)
    printf("%s: tp %d, dp %d, %lld rows\n", pattern, tp, g.dp.size,
           (long long)n_rows);
  assert_true(fabs(sum[0] / whole->l.ce - 1) < 1e-6);
  assert_true(fabs(sum[1] - whole->l.mtp[0] - whole->l.aux) <=
              1e-6 * (whole->l.mtp[0] + whole->l.aux));
  compare(x, whole, &g, bound);
  tiny_free(x);
  tiny_free(whole);
  hy_grid_free(&g);
  test_release();
}

/* Features cut over two ranks; with four, rows over two as well. */
static void
test_tp(void **state)
{
  (void)state;
  check("--", world.size > 1 ? 2 : 1, ROWS, 1e-6);
  if (world.size == 4) {
    check("--", 4, ROWS, 1e-6);
    check("--/-", 2, 3, 1e-6); /* unequal numbers of rows */
  }
}

/* Rows over all ranks, also fewer rows than ranks. 2.5e-6 was seen. */
static void
test_dp(void **state)
{
  (void)state;
  check("ME*-/*E", 1, ROWS, 5e-6);
  check("ME*-/*E", 1, 3, 5e-6);
  check("ME*-/*E", 1, 1, 5e-6);
}

/* What the ranks of a replica have after the sum is the same bits. */
static void
test_bits(void **state)
{
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  tiny *x = tiny_new("ME*-", 1, ROWS, LEN);
  float *scratch = test_alloc(HY_BUCKET, sizeof *scratch), *of_first;
  hy_params *p = &x->m.params;
  hy_batch b;
  hy_grid g;

  (void)state;
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  b = tiny_rows(&g, ROWS, LEN, 0);
  tiny_step(x, &b);
  hy_reduce_grads(p, &g, scratch);
  of_first = tiny_grads(x);
  hy_bcast(&world, of_first, p->n_weight * sizeof *of_first, 0);
  assert_memory_equal(p->g, of_first, p->n_weight * sizeof *of_first);
  tiny_free(x);
  hy_grid_free(&g);
  test_release();
}

/* More gradients than travel in one sum, with unused room between them. */
static void
test_buckets(void **state)
{
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  float *scratch = test_alloc(HY_BUCKET, sizeof *scratch);
  float sum = (float)(world.size * (world.size + 1) / 2);
  hy_plan plan;
  hy_params p;
  hy_grid g;

  (void)state;
  tiny_cfg(cfg, "E-");
  cfg->vocab = 80001;
  cfg->d_model = 15;
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  assert_int_equal(hy_plan_new(&plan, cfg), 0);
  assert_int_equal(hy_params_new(&p, &plan, &g, 1), 0);
  assert_true(p.n_weight > 2 * HY_BUCKET);
  for (size_t i = 0; i < p.n_weight; i++)
    p.g[i] = (float)((world.rank + 1) * (int)(i % 1000));
  hy_reduce_grads(&p, &g, scratch);
  for (int i = 0; i < p.n; i++)
    for (int64_t j = 0; p.ref[i].t.grad && j < hy_spec_size(p.ref[i].spec); j++)
      if (p.ref[i].t.grad[j] != sum * (float)((p.ref[i].at + (size_t)j) % 1000))
        fail_msg("%s[%lld]", p.ref[i].spec->name, (long long)j);
  hy_params_free(&p);
  hy_plan_free(&plan);
  hy_grid_free(&g);
  test_release();
}

static const struct CMUnitTest test[] = {
    cmocka_unit_test(test_tp),
    cmocka_unit_test(test_dp),
    cmocka_unit_test(test_bits),
    cmocka_unit_test(test_buckets),
};

TEST_MPI_MAIN(test)
