#include "base/median.h"

#include <stdlib.h>

static int
by_value(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return x < y ? -1 : x > y;
}

double
hy_median(double *x, int64_t n)
{
  qsort(x, (size_t)n, sizeof *x, by_value);
  return (x[(n - 1) / 2] + x[n / 2]) / 2;
}
