/* region.h: where tokens or features change hands between ranks. Layers call
 * these and know no rank; each is also a record, so its adjoint runs in
 * backward in the same order on every rank. Without that axis a region is
 * nothing. Collective over the named communicator. */
#ifndef HYMN_OP_REGION_H
#define HYMN_OP_REGION_H

#include "op/op.h"

/** Into a part of the layer where each tp rank has its own features: forward
 *  the same tokens, backward the sum of the ranks' gradients. grid->tp. */
hy_tensor *hy_enter_tp(hy_ctx *c, hy_tensor *x);

/** Out of it: forward the sum of the ranks' partial results, backward the
 *  same gradient to each. x is replaced. grid->tp. */
hy_tensor *hy_leave_tp(hy_ctx *c, hy_tensor *x);

/** Tokens to the experts they chose, and back with their weights. grid->ep. */
hy_dispatched hy_dispatch(hy_ctx *c, hy_tensor *x, const hy_route *route,
                          int64_t n_experts);
hy_tensor *hy_combine(hy_ctx *c, hy_tensor *rows, const hy_dispatched *d,
                      hy_tensor *weight);

/** Inputs of the convolution before the first token: from the cache in
 *  generation, else NULL (documents start from nothing). grid->cp. */
hy_tensor *hy_carry_conv(hy_ctx *c, hy_tensor *x);

/** State of the scan before the first token: from the cache in generation,
 *  else NULL. grid->cp. */
hy_tensor *hy_carry_state(hy_ctx *c);

/** Keys and values before the first token: the caches in generation, else
 *  NULL. grid->cp. */
void hy_ring_kv(hy_ctx *c, hy_tensor **kc, hy_tensor **vc);

#endif
