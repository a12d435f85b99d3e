/* test_own.c: every element of a model has one owner among all ranks of any
 * layout, and arrays of own ranges hold what each rank's share should be. */
#include "model/test_tiny.h"

/* Rank r of a layout: tp fastest, experts regroup the ranks of a stage. */
static hy_grid
grid_of(int r, int n_tp, int n_dp, int n_ep)
{
  hy_grid g = tiny_one_rank;
  int n = n_tp * n_dp;

  g.world = g.stage = (hy_comm){.rank = r, .size = n};
  g.tp = (hy_comm){.rank = r % n_tp, .size = n_tp};
  g.dp = g.dp_cp = (hy_comm){.rank = r / n_tp, .size = n_dp};
  g.ep = (hy_comm){.rank = r % n_ep, .size = n_ep};
  g.edp = (hy_comm){.rank = r / n_ep, .size = n / n_ep};
  return g;
}

static void
count_owned(const hy_params *p, unsigned char **seen)
{
  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    int64_t n_global = 0, n_local = 0;
    hy_pieces pieces;
    hy_piece run;

    hy_pieces_of(&pieces, r->spec, &r->shard);
    for (int64_t k = 0; hy_own_next(&pieces, &r->own, &k, &run);) {
      assert_true(run.local >= r->own_from && run.local + run.n <= r->own_to);
      n_global += run.n;
      for (int64_t j = 0; j < run.n; j++)
        seen[i][run.global + j]++;
    }
    for (int64_t k = 0; hy_own_next_local(&pieces, &r->own, &k, &run);)
      n_local += run.n;
    assert_true(n_local == n_global);
  }
}

/* Ranges of a rank: inside the arrays, one behind the other, whole lines. */
static void
check_ranges(const hy_params *p)
{
  size_t end = 0, sum = 0;

  for (int k = 0; k < p->n_group; k++) {
    const hy_group *g = &p->group[k];

    assert_true(g->at == end && g->cut[0] == 0);
    assert_true(g->cut[g->comm->size] == (int64_t)g->n);
    for (int r = 0; r < g->comm->size; r++)
      assert_true(g->cut[r] <= g->cut[r + 1] && g->cut[r] % 16 == 0);
    assert_true(g->own_at == sum);
    end += g->n;
    sum += (size_t)hy_group_n_own(g);
  }
  assert_true(end == p->n_weight && sum == p->n_own);
}

static void
check(const char *pattern, int n_tp, int n_dp, int n_ep)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  unsigned char **seen;
  hy_plan plan;

  tiny_cfg(cfg, pattern);
  assert_int_equal(hy_plan_new(&plan, cfg), 0);
  seen = test_alloc((size_t)plan.n_spec, sizeof *seen);
  for (int i = 0; i < plan.n_spec; i++)
    seen[i] = test_alloc((size_t)hy_spec_size(&plan.spec[i]), 1);
  for (int r = 0; r < n_tp * n_dp; r++) {
    hy_grid g = grid_of(r, n_tp, n_dp, n_ep);
    hy_params p;

    assert_int_equal(hy_params_new(&p, &plan, &g, 0), 0);
    check_ranges(&p);
    count_owned(&p, seen);
    hy_params_free(&p);
  }
  for (int i = 0; i < plan.n_spec; i++)
    for (int64_t j = 0; j < hy_spec_size(&plan.spec[i]); j++)
      if (seen[i][j] != 1)
        fail_msg("tp %d dp %d ep %d: %s[%lld] has %d owners", n_tp, n_dp, n_ep,
                 plan.spec[i].name, (long long)j, seen[i][j]);
  hy_plan_free(&plan);
  test_release();
}

static void
test_once(void **state)
{
  (void)state;
  for (int n_tp = 1; n_tp <= 4; n_tp *= 2) /* 4: kv heads repeat */
    for (int n_dp = 1; n_dp <= 8; n_dp++)
      for (int n_ep = 1; n_ep <= 8; n_ep *= 2)
        if (n_tp * n_dp % n_ep == 0)
          check("MEM*E-/*E", n_tp, n_dp, n_ep);
  check("-", 1, 64, 1); /* tensors smaller than the number of ranks */
}

/* First weights in arrays of own ranges are those of the whole ones. */
static void
test_held(void **state)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_plan plan;

  (void)state;
  tiny_cfg(cfg, "ME*-/*E");
  assert_int_equal(hy_plan_new(&plan, cfg), 0);
  for (int r = 0; r < 6; r++) {
    hy_grid g = grid_of(r, 2, 3, 2);
    hy_params whole, own;

    assert_int_equal(hy_params_new(&whole, &plan, &g, 0), 0);
    assert_int_equal(hy_params_new_zero(&own, &plan, &g, 3), 0);
    hy_params_init(&whole, 3);
    hy_params_init(&own, 3);
    for (int i = 0; i < plan.n_spec; i++) {
      hy_held a = hy_params_held_w(&whole, i), b = hy_params_held_w(&own, i);

      assert_true(a.from == 0 && a.to == hy_shard_size(&whole.ref[i].shard));
      if (b.from < b.to)
        assert_memory_equal(own.w + b.at, whole.w + a.at + (size_t)b.from,
                            (size_t)(b.to - b.from) * sizeof(float));
    }
    hy_params_free(&whole);
    hy_params_free(&own);
  }
  hy_plan_free(&plan);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_once),
      cmocka_unit_test(test_held),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
