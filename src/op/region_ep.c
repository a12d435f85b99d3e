/* region_ep.c: tokens go to the ranks of their experts and back. */
#include "op/region.h"

hy_dispatched
hy_dispatch(hy_ctx *c, hy_tensor *x, const hy_route *route, int64_t n_experts)
{
  return hy_permute(c, x, route, n_experts);
}

hy_tensor *
hy_combine(hy_ctx *c, hy_tensor *rows, const hy_dispatched *d,
           hy_tensor *weight)
{
  return hy_unpermute(c, rows, d, weight);
}
