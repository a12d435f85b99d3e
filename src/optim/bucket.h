/* bucket.h: gradients summed over the ranks on which they are only a part. */
#ifndef HYMN_OPTIM_BUCKET_H
#define HYMN_OPTIM_BUCKET_H

#include "model/params.h"

/* Floats that travel in one sum. */
enum { HY_BUCKET = 1 << 20 };

/** Sum each parameter's gradient over the axes in its spec's `partial`, in
 *  buckets of fixed content and in rank order, so that every rank has the same
 *  bits. \param scratch  HY_BUCKET floats. Collective over grid->world. */
void hy_reduce_grads(hy_params *p, const hy_grid *grid, float *scratch);

#endif
