/* dry_print.h: the tables of a dry run. */
#ifndef HYMN_JOB_DRY_PRINT_H
#define HYMN_JOB_DRY_PRINT_H

#include "plan/estimate.h"

typedef struct {
  hy_deck *deck; /* resolved, with grid.n_ranks set */
  int64_t seq_len, n_dp;
  int n_threads;
  hy_forecast *stage; /* (pp) */
  int largest;        /* the stage that needs most memory */
} hy_dry;

/** 41.2 GiB, into out; returns out. */
const char *hy_dry_amount(double bytes, char out[32]);
/** A line: what, bytes, the same in a readable unit. */
void hy_dry_row(const char *what, double bytes);

/** Layers and parameters. */
void hy_dry_model(const hy_plan *p);
/** Memory of a rank by kind. */
void hy_dry_memory(const hy_dry *r);
/** FLOPs and bytes of a step. */
void hy_dry_step(const hy_dry *r);
/** Checkpoints against the free space where job.dir will lie. */
void hy_dry_disk(const hy_deck *d, const hy_plan *p);
/** Time of a step and of the run on grid.machine. */
void hy_dry_time(const hy_dry *r);
/** Where a rank does not fit into grid.machine: which keys help. */
void hy_dry_advice(const hy_dry *r);

#endif
