/* bucket.h: gradients summed over the ranks on which they are only a part. */
#ifndef HYMN_OPTIM_BUCKET_H
#define HYMN_OPTIM_BUCKET_H

#include "model/params.h"

/* Floats that travel in one sum. */
enum { HY_BUCKET = 1 << 20 };

/* What of a gradient an array has: all of it, the own range at its place, the
 * own range alone. */
enum { HY_SUM_WHOLE, HY_SUM_OWN_AT_PLACE, HY_SUM_OWN };

/** Sum each parameter's gradient over the axes in its spec's `partial`, in
 *  buckets of fixed content and in rank order, so that every rank has the same
 *  bits. \param scratch  HY_BUCKET floats. Collective over grid->world. */
void hy_reduce_grads(hy_params *p, const hy_grid *grid, float *scratch);

/** The part of it that is not among replicas: over tp (HY_TP; HY_SP with
 *  grid.sp), over the tp ranks that repeat a head or group, over the stages
 *  that share the embedding.
 *  \param what  HY_SUM_*: what is summed of p->g */
void hy_reduce_partial(hy_params *p, const hy_grid *grid, int what,
                       float *scratch);

#endif
