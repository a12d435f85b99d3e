/* watch.h: a thread beside each rank that takes signals, sees ranks of its
 * node that have died, and ends a run in which a rank has stopped calling.
 *
 * The thread makes no MPI call but the last, MPI_Abort. Ranks of one node know
 * each other through a page of shared memory. A run that waits longer than the
 * limit leaves DIR/ranks.txt, a line for each rank: host, process, step, number
 * and name of its latest collective call, and whether it waits in it. */
#ifndef HYMN_GRID_WATCH_H
#define HYMN_GRID_WATCH_H

#include "grid/grid.h"

typedef struct hy_watcher hy_watcher; /* fields in watch_impl.h */

/** Keep SIGTERM and SIGUSR1 from this thread and those it starts: the watching
 *  thread takes them. Call it before MPI starts threads. Not collective. */
void hy_watcher_block(void);

/** Start watching this rank and its neighbours.
 *  \param dir     the run directory; looked at when something is to be
 *                 written, never made before that
 *  \param minutes a call that waits longer ends the run with HY_ERES;
 *                 0: never
 *  \param heeds   signals do not end the program; hy_watcher_signal tells of
 *                 them
 *  Collective over grid->world. Cannot fail: what the system does not give
 *  (shared memory, a thread) is not watched. */
hy_watcher *hy_watcher_new(const hy_grid *grid, const char *dir, double minutes,
                           int heeds);

/** This rank goes on to its end in order; w may be NULL. Not collective. */
void hy_watcher_free(hy_watcher *w);

/** The first signal that has come, 0 if none; w may be NULL. Other ranks may
 *  not have got it. Not collective. */
int hy_watcher_signal(const hy_watcher *w);

#endif
