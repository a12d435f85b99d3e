/* stage.h: which layers each pipeline stage holds. */
#ifndef HYMN_MODEL_STAGE_H
#define HYMN_MODEL_STAGE_H

#include "layer/plan.h"

/** Cut the layers of plan into grid->pp.size stages: as grid->pp_cut says, or
 *  so that the stage with the most forward FLOPs has as few as can be (head
 *  and prediction blocks count on the last stage), for rows of grid->row_len
 *  tokens. The same on every rank. \return 0, HY_EDECK. Not collective. */
int hy_stage_cut(hy_plan *plan, const hy_grid *grid);

/** Contiguous groups, each of at least one item, whose largest sum is least;
 *  of those the most even.
 *  \param cost   (n)
 *  \param first  [out] (n_group + 1); group g is first[g] .. first[g+1]-1 */
void hy_stage_balance(const double *cost, int n, int n_group, int *first);

#endif
