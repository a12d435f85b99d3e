/* room.h: whether a run fits where it is about to start. */
#ifndef HYMN_PLAN_ROOM_H
#define HYMN_PLAN_ROOM_H

#include "deck/deck.h"
#include "grid/grid.h"

/** 0, or HY_ERES: what this rank needs by forecast is more than its GPU, or its
 *  machine, has; says how much is missing and which keys help. Before anything
 *  is allocated. Not collective. */
int hy_room_check(const hy_deck *d, const hy_grid *grid, int64_t seq_len,
                  int n_threads);

#endif
