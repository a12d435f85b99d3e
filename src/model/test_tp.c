/* test_tp.c: what tensor parallelism costs and saves, against formulas.
 *
 * S = 4 T d (n-1)/n is what a rank sends to bring a slice of T tokens of width
 * d to the n - 1 others, or to add up slices. A sum over tp is 2 S. */
#include "model/test_tiny.h"
#include "op/op.h"

enum { N = 4, T = 256, D_MODEL = 32, VOCAB = 64 };

/* The program of one micro-batch of T tokens on tp rank 0 of N. */
static hy_ctx
walk(const char *pattern, int tp, int sp)
{
  hy_deck_grid d = {
      .tp = tp, .sp = sp, .ep = 1, .cp = 1, .pp = 1, .n_ranks = tp};
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_meter *meter = test_alloc(1, sizeof *meter);
  hy_model m;
  hy_grid g;
  hy_ctx plan;

  tiny_cfg(cfg, pattern);
  cfg->vocab = VOCAB;
  cfg->d_model = D_MODEL;
  cfg->d_ff = 64;
  cfg->mtp_depths = 0;
  cfg->d_shared = 0;
  cfg->d_latent = 0;
  cfg->aux_coef = 0; /* which sums counts */
  assert_int_equal(hy_grid_plan(&g, &d, 0, meter), 0);
  assert_int_equal(hy_model_plan(&m, cfg, &g, 1), 0);
  hy_workspace_plan(&plan, &m, &g, 1, 1, T, HY_WS_TRAIN);
  hy_model_free(&m);
  return plan;
}

static double
sent(const char *pattern, int sp)
{
  hy_ctx plan = walk(pattern, N, sp);
  double bytes = plan.sent[HY_AXIS_TP];

  hy_ctx_free(&plan);
  return bytes;
}

static const double s = 4.0 * T * D_MODEL * (N - 1) / N;

/* Of a layer: a sum forward and one backward. With sp each sum is a gather and
 * a sum of slices, and the input is gathered once more for backward. */
static void
test_sent(void **state)
{
  /* statistics of the head; the table gives a sum or, with sp, two slices; the
   * head takes a sum or, with sp, its input twice and the sum of slices */
  double stat = 4.0 * T * HY_CE_STAT * (N - 1);

  (void)state;
  for (int k = 0; k < 2; k++) {
    double ends[2] = {sent(k ? "*" : "-", 0) - 4 * s, 0};

    ends[1] = sent(k ? "*" : "-", 1) - 5 * s;
    assert_true(ends[0] == 4 * s + stat && ends[1] == 5 * s + stat);
    for (int n = 2; n <= 4; n++) {
      char pattern[8] = "****";

      memset(pattern, k ? '*' : '-', (size_t)n);
      pattern[n] = '\0';
      assert_true(sent(pattern, 0) == ends[0] + n * 4 * s);
      assert_true(sent(pattern, 1) == ends[1] + n * 5 * s);
    }
  }
  /* 4 ranks share 2 groups: the norm sums its squares over two, both ways */
  assert_true(sent("M", 0) == 4 * s + stat + 4 * s + 2 * 4.0 * T);
  /* experts on slices: back and forth by a gather; with sp nothing */
  assert_true(sent("E", 0) == 4 * s + stat + 2 * s);
  assert_true(sent("E", 1) == 5 * s + stat);
  test_release();
}

static size_t
kept(const char *pattern, int tp, int sp)
{
  hy_ctx plan = walk(pattern, tp, sp);
  size_t bytes = plan.act.peak;

  hy_ctx_free(&plan);
  return bytes;
}

/* What a layer leaves for backward. MLP: 3 T d of the residual stream (norm,
 * product, sum) and 2 T d_ff / n; sp divides the first as well. Each norm keeps
 * T numbers, cut likewise. */
static void
test_kept(void **state)
{
  size_t whole = 4 * (3 * T * D_MODEL + T), inner = 4 * 2 * T * 64;

  (void)state;
  assert_true(kept("--", 1, 0) - kept("-", 1, 0) == whole + inner);
  assert_true(kept("--", N, 0) - kept("-", N, 0) == whole + inner / N);
  assert_true(kept("--", N, 1) - kept("-", N, 1) == whole / N + inner / N);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_sent),
      cmocka_unit_test(test_kept),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
