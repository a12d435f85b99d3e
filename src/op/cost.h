/* cost.h: FLOPs and bytes of each op, from its record's shapes alone: the one
 * truth of logs, benchmarks and the planner. */
#ifndef HYMN_OP_COST_H
#define HYMN_OP_COST_H

#include "op/tape.h"

#define HY_OP(n) hy_cost hy_##n##_cost(const hy_rec *r);
#include "op/ops.def"
#undef HY_OP

#endif
