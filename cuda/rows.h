/* rows.h: which rows of a batch see each other, as kernels take it: documents
 * and the spans that cp cut, or the segments of a generation. All arrays are in
 * the GPU's memory. */
#ifndef HYMN_CUDA_ROWS_H
#define HYMN_CUDA_ROWS_H

#include "cu.h"

/* As hy_span of op/batch.h. */
typedef struct {
  int64_t at, n;
  int32_t row, piece;
  int64_t before;
} cu_span;

typedef struct {
  int64_t n_tokens;
  const int32_t *seq_start; /* NULL with segments */
  int64_t n_span;           /* 0: nothing lies before the rows */
  const cu_span *span;
  int n_seg;
  const int64_t *seg_start; /* (n_seg + 1) */
  const int32_t *slot;      /* (n_seg) */
} cu_rows;

#endif
