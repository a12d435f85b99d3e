/* median.h: the middle of some measurements. */
#ifndef HYMN_BASE_MEDIAN_H
#define HYMN_BASE_MEDIAN_H

#include <stdint.h>

/** Median of n > 0 values, which it sorts; of an even number the mean of the
 *  two in the middle. */
double hy_median(double *x, int64_t n);

#endif
