/* bench_data.h: the parts of the job bench_data. */
#ifndef HYMN_JOB_BENCH_DATA_H
#define HYMN_JOB_BENCH_DATA_H

#include "deck/deck.h"
#include "grid/grid.h"

/** Time the tokenizers of bench.tokenizers (or prepare.tokenizer) on the texts
 *  of prepare.input, one thread; a line each. Not collective.
 *  \return 0, HY_EFILE, HY_EDATA. */
int hy_bench_encode(const hy_deck *d);

/** Time the loader beside training steps on the packed file data.train.
 *  Collective. \return as hy_train_setup. */
int hy_bench_loader(hy_deck *d, const hy_grid *grid);

#endif
