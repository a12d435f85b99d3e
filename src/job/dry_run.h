/* dry_run.h: hymn --dry-run. */
#ifndef HYMN_JOB_DRY_RUN_H
#define HYMN_JOB_DRY_RUN_H

#include "deck/deck.h"
#include "grid/grid.h"

/** Check the deck and print on stdout what a run of it would be.
 *  \param grid  planned, without communicators (hy_grid_plan)
 *  Runs before MPI_Init. Not collective.
 *  \return 0 or the error that the run would end with */
int hy_dry_run(hy_deck *deck, const hy_grid *grid);

#endif
