/* estimate.h: the time of a step on a machine, from a forecast. */
#ifndef HYMN_PLAN_ESTIMATE_H
#define HYMN_PLAN_ESTIMATE_H

#include "plan/forecast.h"
#include "plan/machine.h"

/* Shares of the peaks that an estimate assumes. */
#define HY_SHARE_FLOPS 0.6 /* of the peak of matrix products */
#define HY_SHARE_MEM 0.8   /* of the memory's rate */

/* Seconds of a step. */
typedef struct {
  double compute;         /* of the micro-batches */
  double send[HY_N_AXES]; /* nothing overlaps */
  double bubble;          /* stages that wait for the first micro-batches */
  double update;          /* optimizer */
  double sum;
} hy_estimate;

/** Time of a step of the stage of f: each op takes the longer of its FLOPs and
 *  its bytes, backward moves twice the bytes of forward. With bf16 products
 *  run at that peak, activations and what tp, cp, ep and pp send have half the
 *  bytes; gradients and the update stay fp32. */
hy_estimate hy_estimate_step(const hy_forecast *f, const hy_deck_grid *d,
                             int64_t n_dp, const hy_machine *m, int bf16);

#endif
