/* compare_reference.h: the device of a run against the CPU path. */
#ifndef HYMN_JOB_COMPARE_REFERENCE_H
#define HYMN_JOB_COMPARE_REFERENCE_H

#include "deck/deck.h"
#include "grid/grid.h"
#include "verify/bag.h"

/** One forward and backward pass of the model of model.from on the same tokens,
 *  in fp32 on the CPU and as the deck says; every tensor on its way and every
 *  gradient is compared, in the order of the layers. In bf16 routers take the
 *  experts that those of the CPU chose: one token that goes elsewhere changes
 *  the gradient of an expert by as much as it is. Rank 0 has the verdict.
 *  Collective over grid->world. \return 0, HY_EDECK, HY_EFILE, HY_EDATA,
 *  HY_ERES, the same on every rank. */
int hy_compare_reference(hy_deck *d, const hy_grid *grid, hy_verdict *v);

#endif
