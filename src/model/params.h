/* params.h: the numbers behind the specs of a plan, on this rank. */
#ifndef HYMN_MODEL_PARAMS_H
#define HYMN_MODEL_PARAMS_H

#include "layer/piece.h"
#include "op/backend.h"
#include "op/tensor.h"

/* Which of the parameters of a unit go together: those that tp ranks repeat,
 * those that they share out (and the table of the vocabulary), experts. */
enum { HY_GROUP_WHOLE, HY_GROUP_SPLIT, HY_GROUP_EXPERT };

/* Trained parameters of one unit and kind, side by side in memory: what is
 * gathered, reduced and updated together. The ranks that have the same slice of
 * them are its replicas; among these each owns one range. */
typedef struct {
  int unit, kind;
  const hy_comm *comm; /* the replicas: dp_cp, for experts edp */
  size_t at, n;        /* floats of the whole arrays */
  size_t room;         /* n of the rank that has most: the same on all ranks of
                          a stage */
  size_t own_at;       /* of the own range in the arrays of own ranges */
  int64_t *cut;        /* (comm->size + 1), from `at`: ranges of the replicas */
} hy_group;

typedef struct {
  const hy_spec *spec;
  hy_shard shard;
  hy_tensor t; /* local weights; t.grad is its gradient, NULL if none */
  int group;   /* -1: not trained */
  size_t at;   /* first element in the whole arrays; of what is not trained,
                  in p->w */
  hy_own own;  /* elements of the shard that this rank answers for */
  /* local elements that arrays of own ranges have, the first at own_at */
  int64_t own_from, own_to;
  size_t own_at;
} hy_param_ref;

/* Three kinds of flat arrays. Whole ones have all that a rank's layers use of
 * the trained tensors, group after group; arrays of own ranges have only what
 * the rank owns among its replicas. Behind either p->w has the tensors that
 * are not trained, always whole. */
typedef struct {
  const hy_plan *plan;
  int n;
  hy_param_ref *ref; /* by spec index */
  int n_group;
  hy_group *group;
  int zero;        /* 3: w and g are arrays of own ranges, and tensors have data
                      only while their unit is in use (optim/zero.h) */
  size_t n_weight; /* trained floats of a whole array */
  size_t n_own;    /* of an array of own ranges */
  size_t n_total;  /* of w: with frozen and statistics */
  const hy_backend *be;
  float *w;        /* the fp32 master; in backend memory, as all below */
  float *g;        /* gradients; NULL for inference */
  void *low;       /* matrices as the model reads them, laid out as w, in
                      format be->act; NULL where that is fp32: w itself */
} hy_params;

/* Local elements from .. to-1 of a parameter are at `at` of a flat array. */
typedef struct {
  int64_t from, to;
  size_t at;
} hy_held;

/** What arrays have of parameter i. \param own  1: arrays of own ranges */
hy_held hy_params_held(const hy_params *p, int i, int own);
/** The same of p->w and, where trained, p->g. */
hy_held hy_params_held_w(const hy_params *p, int i);

/** Flat arrays for this rank's shards. with_grad: also gradients. grid has to
 *  outlive them. 0 or HY_ERES. Not collective. */
int hy_params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                  int with_grad);
/** With gradients, for optim.zero = zero. */
int hy_params_new_zero(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                       int zero);
/** The same layout without memory: addresses must not be touched. */
int hy_params_plan(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                   int with_grad);
int hy_params_plan_zero(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                        int zero);
void hy_params_free(hy_params *p);

/** Own range of the rank in a group, from group->at. */
static inline int64_t
hy_group_from(const hy_group *g)
{
  return g->cut[g->comm->rank];
}
static inline int64_t
hy_group_n_own(const hy_group *g)
{
  return g->cut[g->comm->rank + 1] - g->cut[g->comm->rank];
}

/** First weights: a function of (seed, name, global index) only, so the same
 *  model on any layout. */
void hy_params_init(hy_params *p, uint64_t seed);

#endif
