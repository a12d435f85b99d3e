/* train_meter.h: what training steps send and wait for, by axis. */
#ifndef HYMN_JOB_TRAIN_METER_H
#define HYMN_JOB_TRAIN_METER_H

#include "grid/grid.h"

typedef struct {
  int64_t n_step;
  hy_meter mark;            /* of the grid when the step began */
  double sent[HY_N_AXES];   /* bytes, all steps */
  double waited[HY_N_AXES]; /* seconds inside collectives, all steps */
} hy_step_meter;

/** Around a step. Not collective. */
void hy_step_meter_begin(hy_step_meter *m, const hy_grid *grid);
void hy_step_meter_end(hy_step_meter *m, const hy_grid *grid);

/** One line on rank 0: mean bytes sent in a step by axis, of the rank that
 *  sends most on it; nothing on one rank. Collective over grid->world. */
void hy_step_meter_print_sent(const hy_step_meter *m, const hy_grid *grid);

/** One line on rank 0: mean seconds of a step inside collectives by axis, of
 *  rank 0. */
void hy_step_meter_print_waited(const hy_step_meter *m, const hy_grid *grid);

/** One line on rank 0: what the processes have taken in memory, at their peak,
 *  behind the base (bytes) of the libraries; on GPUs of theirs. Collective. */
void hy_print_taken(size_t base, const hy_grid *grid);

#endif
