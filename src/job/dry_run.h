/* dry_run.h: hymn --dry-run. */
#ifndef HYMN_JOB_DRY_RUN_H
#define HYMN_JOB_DRY_RUN_H

#include "deck/deck.h"

/** Check the deck and print on stdout what a run of it would be.
 *  \param n_ranks  started, where grid.n_ranks is not set
 *  Runs before MPI_Init. Not collective.
 *  \return 0 or the error that the run would end with */
int hy_dry_run(hy_deck *deck, int n_ranks);

#endif
