/* rows.cuh: looks up documents. */
#ifndef HYMN_CUDA_ROWS_CUH
#define HYMN_CUDA_ROWS_CUH

#include "launch.h"
#include "rows.h"

/* The document, or segment, of a row. */
typedef struct {
  int64_t first; /* its first row */
  int64_t item;  /* span or slot of the cache that has what lies before that,
                    -1: nothing does */
  int64_t seen;  /* tokens that lie before it */
} cu_doc;

/* The last i < n with key(i) <= t; n >= 1 and key(0) <= t. */
template <class F>
__device__ static inline int64_t
cu_search(int64_t n, int64_t t, F key)
{
  int64_t lo = 0, hi = n;

  while (hi - lo > 1) {
    int64_t mid = (lo + hi) / 2;

    if (key(mid) <= t)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

/* The segment of row t. */
__device__ static inline int64_t
cu_segment(const cu_rows &r, int64_t t)
{
  return cu_search(r.n_seg, t, [&](int64_t i) { return r.seg_start[i]; });
}

/* The first row of t's document. */
__device__ static inline int64_t
cu_first(const cu_rows &r, int64_t t)
{
  return r.seq_start ? r.seq_start[t] : r.seg_start[cu_segment(r, t)];
}

/* What lies before row `first`, the first of a document. */
__device__ static inline cu_doc
cu_doc_at(const cu_rows &r, int64_t first)
{
  int64_t i;

  if (!r.seq_start)
    return {first, r.slot[cu_segment(r, first)], INT64_MAX};
  if (r.n_span == 0)
    return {first, -1, 0};
  i = cu_search(r.n_span, first, [&](int64_t j) { return r.span[j].at; });
  if (r.span[i].at != first || r.span[i].before <= 0)
    return {first, -1, 0};
  return {first, i, r.span[i].before};
}

#endif
