/* threads.h: how many threads a rank runs. */
#ifndef HYMN_GRID_THREADS_H
#define HYMN_GRID_THREADS_H

#include "deck/deck.h"
#include "grid/grid.h"

/** job.n_threads; when that is 0 OMP_NUM_THREADS, and without it the cores
 *  that the ranks of this node may use, divided by their number; at least 1.
 *  Collective over grid->world; cannot fail. */
int hy_threads_of(const hy_deck *deck, const hy_grid *grid);

#endif
