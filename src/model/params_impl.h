/* params_impl.h: where parameters lie, between layout.c and params.c. */
#ifndef HYMN_MODEL_PARAMS_IMPL_H
#define HYMN_MODEL_PARAMS_IMPL_H

#include "model/params.h"

/** Everything of p but memory. \param how  optim.zero, perhaps | HY_OFFLOAD */
void hy_params_lay_out(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                       int how);

/** Tensors of p point into its arrays. With zero 3 those of groups with
 *  replicas point nowhere. */
void hy_params_point(hy_params *p);

/** Give back its arrays. */
void hy_params_drop(hy_params *p);

#endif
