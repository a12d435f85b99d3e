/* params.h: the numbers behind the specs of a plan, on this rank. */
#ifndef HYMN_MODEL_PARAMS_H
#define HYMN_MODEL_PARAMS_H

#include "layer/plan.h"
#include "op/tensor.h"

typedef struct {
  const hy_spec *spec;
  hy_shard shard;
  hy_tensor t; /* local weights; t.grad is its gradient, NULL if none */
  size_t at;   /* first element in the flat arrays */
} hy_param_ref;

typedef struct {
  const hy_plan *plan;
  int n;
  hy_param_ref *ref; /* by spec index */
  size_t n_weight;   /* trained floats, the first of the flat arrays */
  size_t n_total;    /* with frozen and statistics */
  float *w;          /* (n_total) the fp32 master, and the model */
  float *g;          /* (n_weight) gradients; NULL for inference */
} hy_params;

/** Flat arrays for this rank's shards. with_grad: also gradients.
 *  0 or HY_ERES. Not collective. */
int hy_params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                  int with_grad);
/** The same layout without memory: addresses must not be touched. */
int hy_params_plan(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                   int with_grad);
void hy_params_free(hy_params *p);

/** First weights: a function of (seed, name, global index) only, so the same
 *  model on any layout. */
void hy_params_init(hy_params *p, uint64_t seed);

/** Parameters in all, and those behind the next token: backbone with top_k
 *  experts and output head, without the embedding table and prediction
 *  blocks. */
int64_t hy_plan_n_params(const hy_plan *plan);
int64_t hy_plan_n_active(const hy_plan *plan);

#endif
