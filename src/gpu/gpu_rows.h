/* gpu_rows.h: documents, spans and segments of a record, as kernels take
 * them. */
#ifndef HYMN_GPU_GPU_ROWS_H
#define HYMN_GPU_GPU_ROWS_H

#include "cuda/rows.h"
#include "gpu/gpu.h"

#include <stddef.h>

_Static_assert(sizeof(cu_span) == sizeof(hy_span) &&
                   offsetof(cu_span, at) == offsetof(hy_span, at) &&
                   offsetof(cu_span, n) == offsetof(hy_span, n) &&
                   offsetof(cu_span, before) == offsetof(hy_span, before),
               "cu_span is hy_span");

static inline cu_rows
gpu_rows(const hy_rec *r)
{
  const hy_segments *seg = r->attr.seg;

  if (seg)
    return (cu_rows){.n_tokens = r->in[0]->dim[0],
                     .n_seg = seg->n_seg,
                     .seg_start = seg->start,
                     .slot = seg->slot};
  return (cu_rows){.n_tokens = r->in[0]->dim[0],
                   .seq_start = r->attr.seq_start,
                   .n_span = r->attr.n_span,
                   .span = (const cu_span *)r->attr.span};
}

#endif
