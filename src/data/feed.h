/* feed.h: the rows of a rank, step by step, read ahead by a thread.
 *
 * The thread goes through choices and micro-batches in the order in which a
 * training asks for them and stays at most `ahead` micro-batches in front; what
 * it has not begun when it is asked for, the caller does itself.
 * Asking for anything else is allowed: it starts over from there. What comes
 * is the same with and without the thread. */
#ifndef HYMN_DATA_FEED_H
#define HYMN_DATA_FEED_H

#include "data/pick.h"

typedef struct hy_feed hy_feed; /* fields in feed.c */

/** \param picker  used by the feed alone from now on
 *  \param ahead   micro-batches to read ahead; 0: no thread */
hy_feed *hy_feed_new(hy_picker *picker, int64_t global_batch, int ahead);
void hy_feed_free(hy_feed *f);

/** The choice of a step, samples step * global_batch ...; held until the next
 *  call of these two. Not collective. \return 0, HY_EDATA */
int hy_feed_step(hy_feed *f, int64_t step, const hy_pick **pick);
/** The same for samples first .. first+n-1, rows in the order of their files;
 *  these are not read ahead. */
int hy_feed_rows(hy_feed *f, int64_t first, int64_t n, const hy_pick **pick);

/** Columns of micro-batch i of the present choice, held until the next call of
 *  the feed. \return 0, HY_EDATA */
int hy_feed_micro(hy_feed *f, int64_t i, hy_batch *b);

#endif
