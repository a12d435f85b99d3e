/* params_impl.h: where parameters lie, between layout.c and params.c. */
#ifndef HYMN_MODEL_PARAMS_IMPL_H
#define HYMN_MODEL_PARAMS_IMPL_H

#include "model/params.h"

/** Everything of p but memory. */
void hy_params_lay_out(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                       int zero);

/** Tensors of p point into w and g (NULL: no gradients). With zero 3 those of
 *  groups with replicas point nowhere. */
void hy_params_point(hy_params *p, float *w, float *g);

#endif
