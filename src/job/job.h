/* job.h: a job is a name, a line of help and a function. */
#ifndef HYMN_JOB_JOB_H
#define HYMN_JOB_JOB_H

#include "deck/deck.h"
#include "grid/grid.h"

typedef struct {
  const char *name, *help;
  int patient; /* ranks may wait for one another for hours */
  int heeds;   /* saves on a signal and returns HY_ESIGNAL */
  int computes; /* runs a model: on the device of the deck */
  /** Run to the end. The deck is the same on every rank; it may be resolved
   *  further (config.json). Collective over grid->world.
   *  \return an exit code, the same on every rank. */
  int (*run)(hy_deck *deck, const hy_grid *grid);
} hy_job;

/* hy_job_pretrain, ...: one object a job, each in its own file */
#define HY_JOB(name) extern const hy_job hy_job_##name;
#include "job/jobs.def"
#undef HY_JOB

/** The job of this name, NULL if there is none. */
const hy_job *hy_job_find(const char *name);

#endif
