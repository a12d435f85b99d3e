/* timer.h: time of each op, for benchmarks. */
#ifndef HYMN_OP_TIMER_H
#define HYMN_OP_TIMER_H

#include "op/tape.h"

enum { HY_MAX_TIMED = 64 };

/* Forward [0] and backward [1] of an op or a region. */
typedef struct {
  const hy_op *op;
  int64_t calls[2];
  double seconds[2], flops[2], bytes[2];
} hy_op_time;

struct hy_timer {
  int n;
  hy_op_time of[HY_MAX_TIMED];
};

/** Run a body and add its time and work to c->timer. */
void hy_timed_body(hy_ctx *c, hy_rec *r, void (*body)(hy_ctx *, hy_rec *),
                   int backward);

/** A line for each op: calls, milliseconds, TFLOP/s and GB/s, and their shares
 *  of the limits given; then the sum.
 *  \param product  FLOP/s of large products  \param copy  bytes/s of a copy,
 *  read and written counted  \param steps  that were timed */
void hy_timer_print(const hy_timer *t, double product, double copy,
                    int64_t steps);

#endif
