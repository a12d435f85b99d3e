/* schedule.h: in which order a pipeline stage works on the micro-batches of a
 * step: one forward, one backward (1F1B), after as many forwards as there are
 * stages behind it. Pure functions of the layout. */
#ifndef HYMN_MODEL_SCHEDULE_H
#define HYMN_MODEL_SCHEDULE_H

#include <stdint.h>

typedef struct {
  int backward;  /* 0: forward */
  int64_t micro; /* which micro-batch */
} hy_action;

/** Action k of the 2 n_micro of a stage, k = 0, 1, ...
 *  \param pp     stages in all
 *  \param stage  0 .. pp-1
 *  Source: Narayanan et al. 2021, arXiv:2006.09503 (PipeDream-Flush). */
hy_action hy_schedule_at(int pp, int stage, int64_t n_micro, int64_t k);

/** Micro-batches whose activations a stage holds at once, at most. At least
 *  1. */
int hy_schedule_in_flight(int pp, int stage, int64_t n_micro);

#endif
