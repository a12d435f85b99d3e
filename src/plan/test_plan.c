/* test_plan.c: links by rank distance, the time of a step. */
#include "plan/estimate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
near_to(double a, double b)
{
  double d = a > b ? a - b : b - a;

  if (d > 1e-9 * (b > 0 ? b : 1))
    fail_msg("%.17g is not %.17g", a, b);
}

static void
test_machines(void **state)
{
  hy_machine m, two;

  (void)state;
  assert_int_equal(hy_machine_find(&m, "none", 1), 0);
  assert_int_equal(hy_machine_find(&m, "h100x8", 4), 1);
  near_to(m.bf16, 989e12);
  assert_int_equal(hy_machine_find(&m, "cpu", 1), 1);
  assert_int_equal(hy_machine_find(&two, "cpu", 2), 1);
  near_to(two.fp32, 2 * m.fp32);
}

/* Partners inside a node of 8 and outside it. */
static void
test_send(void **state)
{
  static const struct {
    hy_deck_grid d;
    int64_t n_dp;
    int axis;
    double far; /* share of the partners */
  } t[] = {
      {{.tp = 8, .cp = 1, .pp = 1, .ep = 1}, 4, HY_AXIS_TP, 0},
      {{.tp = 8, .cp = 1, .pp = 1, .ep = 1}, 4, HY_AXIS_DP, 1},
      {{.tp = 2, .cp = 1, .pp = 1, .ep = 1}, 4, HY_AXIS_DP, 0},
      {{.tp = 1, .cp = 1, .pp = 1, .ep = 16}, 16, HY_AXIS_EP, 8.0 / 15},
      {{.tp = 2, .cp = 8, .pp = 1, .ep = 1}, 1, HY_AXIS_CP, 4.0 / 7},
      {{.tp = 8, .cp = 1, .pp = 4, .ep = 1}, 1, HY_AXIS_PP, 1},
      {{.tp = 2, .cp = 1, .pp = 4, .ep = 1}, 1, HY_AXIS_PP, 0},
  };
  hy_machine m;

  (void)state;
  hy_machine_find(&m, "h100x8", 1);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    near_to(hy_machine_send(&m, &t[i].d, t[i].n_dp, t[i].axis, 1e9, 0),
            1e9 * (1 - t[i].far) / (0.8 * m.near_rate) +
                1e9 * t[i].far / (0.8 * m.far_rate));
}

/* An op bound by FLOPs, one bound by memory, one stage more. */
static void
test_step(void **state)
{
  hy_deck_grid d = {.tp = 1, .cp = 1, .pp = 1, .ep = 1};
  hy_forecast f = {.n_micro = 4, .n_own = 1000};
  hy_machine m;
  hy_estimate e;
  double one;

  (void)state;
  hy_machine_find(&m, "h100x8", 1);
  f.work[10] = (hy_work){1e15, 1e12 / 2};
  f.work[0] = (hy_work){1e6, 1e12};
  one = 1e15 / (HY_SHARE_FLOPS * m.fp32) + 1e12 / (HY_SHARE_MEM * m.mem_rate);
  e = hy_estimate_step(&f, &d, 1, &m, 0);
  near_to(e.compute, 4 * one);
  near_to(e.bubble, 0);
  near_to(e.sum, e.compute + e.update);
  d.pp = 3;
  e = hy_estimate_step(&f, &d, 1, &m, 0);
  near_to(e.bubble, 2 * one);
  f.sent[HY_AXIS_TP] = 1e12;
  f.sent[HY_AXIS_DP] = 1e12;
  e = hy_estimate_step(&f, &d, 1, &m, 1);
  near_to(e.send[HY_AXIS_DP], 2 * e.send[HY_AXIS_TP]); /* stays fp32 */
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_machines),
                                     cmocka_unit_test(test_send),
                                     cmocka_unit_test(test_step)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
