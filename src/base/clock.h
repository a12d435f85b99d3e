/* clock.h: seconds for measuring. */
#ifndef HYMN_BASE_CLOCK_H
#define HYMN_BASE_CLOCK_H

#include <time.h>

/** Seconds of a clock that never jumps; only differences mean something. */
static inline double
hy_now(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
