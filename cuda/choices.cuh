/* choices.cuh: which choices a row has, and which row a choice is of. */
#ifndef HYMN_CUDA_CHOICES_CUH
#define HYMN_CUDA_CHOICES_CUH

#include "launch.h"
#include "permute.h"

/* First choice of a row; of the row behind the last: the number of choices. */
__device__ static inline int64_t
choices_first(const cu_choices &c, int64_t row)
{
  return c.list ? c.list[row] : row * c.top_k;
}

/* The row of choice i, found by a whole warp: the last whose list begins at i
 * or before, each step among 32 rows. */
__device__ static inline int64_t
choices_row(const cu_choices &c, int64_t i)
{
  int64_t first = 0, end = c.n_row; /* list[first] <= i < list[end] */

  if (!c.list)
    return i / c.top_k;
  while (end - first > 1) {
    int64_t step = (end - first + 31) / 32;
    int64_t at = first + step * (threadIdx.x % 32);
    unsigned low = __ballot_sync(~0u, at < end && c.list[at] <= i);

    /* the lists never go down: the lanes that say yes are the first ones */
    first += step * (__popc(low) - 1);
    end = first + step < end ? first + step : end;
  }
  return first;
}

#endif
