/* Shares: exact, and the same at any place as when counted from the start. */
#include "data/shares.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void
walk(const double *weight, int n, int64_t from, int64_t len)
{
  hy_shares *s = hy_shares_new(weight, n);
  int64_t seen[16], at;
  double sum = 0;

  assert_non_null(s);
  for (int j = 0; j < n; j++) {
    sum += weight[j];
    seen[j] = hy_shares_count(s, j, from);
  }
  for (int64_t i = from; i < from + len; i++) {
    int j = hy_shares_at(s, i, &at);

    assert_in_range(j, 0, n - 1);
    assert_true(weight[j] > 0);
    assert_int_equal(at, seen[j]++);
    for (int k = 0; k < n; k++) {
      long double want = (long double)weight[k] / (long double)sum * (i + 1);

      assert_int_equal(hy_shares_count(s, k, i + 1), seen[k]);
      assert_true(fabsl((long double)seen[k] - want) <
                  2 + 1e-12L * (long double)i);
    }
  }
  hy_shares_free(s);
}

static void
test_shares(void **state)
{
  static const double weight[][8] = {
      {1},
      {0.6, 0.4},
      {0.1, 0.2, 0.3, 0.4},
      {1, 0, 0, 5},
      {1e-6, 1, 1e3},
      {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125},
      {1.0 / 3, 1.0 / 7, 0.7, 11.0 / 13},
      {97, 1, 1, 1},
      {1e300, 2e300, 3e300},
      {1e-318, 0, 3e-318}, /* below the least normal number */
  };

  (void)state;
  for (size_t w = 0; w < sizeof weight / sizeof *weight; w++) {
    int n = 8;

    while (n > 1 && weight[w][n - 1] == 0)
      n--;
    walk(weight[w], n, 0, 2000);
    if (w < 8)
      walk(weight[w], n, 999999999999, 300);
  }
  assert_null(hy_shares_new((double[]){1, 1e-300}, 2));
}

/* Decimal weights are exact: after 10 samples of 0.6 and 0.4 there are 6 and
 * 4, and as many times 10 as can be counted change nothing. */
static void
test_exact(void **state)
{
  hy_shares *s = hy_shares_new((double[]){0.6, 0.4}, 2);

  (void)state;
  for (int64_t n = 10; n < INT64_MAX / 20; n *= 10) {
    assert_int_equal(hy_shares_count(s, 0, n), n / 10 * 6);
    assert_int_equal(hy_shares_count(s, 1, n), n / 10 * 4);
  }
  hy_shares_free(s);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares),
                                     cmocka_unit_test(test_exact)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
