/* train_loop.h: the loop that every training job shares: batches, steps,
 * lines, validation, checkpoints, the summary. */
#ifndef HYMN_JOB_TRAIN_LOOP_H
#define HYMN_JOB_TRAIN_LOOP_H

#include "deck/deck.h"
#include "grid/grid.h"

/** Train as the deck says, from first weights, model.from or a checkpoint, and
 *  leave history, checkpoints and plot in job.dir. Collective over
 *  grid->world. \return an exit code, the same on every rank. */
int hy_train_run(hy_deck *deck, const hy_grid *grid);

#endif
