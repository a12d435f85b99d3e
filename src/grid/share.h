/* share.h: one deck on all ranks. */
#ifndef HYMN_GRID_SHARE_H
#define HYMN_GRID_SHARE_H

#include "deck/deck.h"
#include "grid/comm.h"

/** Give the deck of rank 0, its sources and its path to the other ranks.
 *  \param d  initialised; replaced on all ranks but 0
 *  Collective. \return 0 or, if the text of a deck does not read back,
 *  HY_EDECK, the same on every rank. */
int hy_deck_share(hy_deck *d, const hy_comm *comm);

#endif
