/* health.h: hymn --check: whether a run can be trusted to these nodes. */
#ifndef HYMN_JOB_HEALTH_H
#define HYMN_JOB_HEALTH_H

#include "deck/deck.h"
#include "grid/grid.h"

/** Look at nodes, MPI, the device of the deck and the file system of job.dir;
 *  a line for each on rank 0, `ok` or `FAILED` in front. Writes 16 MiB a rank
 *  into job.dir and takes them away again. Collective over grid->world.
 *  \return 0, or HY_ERES when something failed, the same on every rank. */
int hy_health(const hy_deck *d, hy_grid *grid);

#endif
