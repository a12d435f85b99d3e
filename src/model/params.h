/* params.h: the numbers behind the specs of a plan, on this rank. */
#ifndef HYMN_MODEL_PARAMS_H
#define HYMN_MODEL_PARAMS_H

#include "layer/piece.h"
#include "op/backend.h"
#include "op/tensor.h"

/* Which of the parameters of a unit go together: those that tp ranks repeat,
 * those that they share out (and the table of the vocabulary), experts. */
enum { HY_GROUP_WHOLE, HY_GROUP_SPLIT, HY_GROUP_EXPERT, HY_N_GROUP_KIND };

/* Trained parameters of one unit, kind and format, side by side in memory: what
 * is gathered, reduced and updated together. The ranks that have the same slice
 * of them are its replicas; among these each owns one range. */
typedef struct {
  int unit, kind;
  hy_fmt fmt;          /* in which the model reads them */
  const hy_comm *comm; /* the replicas: dp_cp, for experts edp */
  size_t at, n;        /* floats of the whole arrays */
  size_t room;         /* n of the rank that has most: the same on all ranks of
                          a stage */
  size_t own_at;       /* of the own range in the arrays of own ranges */
  size_t low_at;       /* byte of p->low; HY_NO_LOW: not there */
  int64_t *cut;        /* (comm->size + 1), from `at`: ranges of the replicas */
} hy_group;

#define HY_NO_LOW SIZE_MAX

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

/* Flat arrays. Whole ones have all that a rank's layers use of the trained
 * tensors, group after group; arrays of own ranges have only what the rank owns
 * among its replicas.
 *
 * The fp32 master w is what is updated and saved. Where the model reads the
 * same numbers it is also the model. Where it reads others (bf16) or cannot
 * reach them (the master in memory of the host), `low` has them: all that
 * layers use, group after group in the format of each. With zero 3 a group
 * with replicas is in neither: its unit is gathered while it is in use
 * (model/store.h). */
typedef struct {
  const hy_plan *plan;
  int n;
  hy_param_ref *ref; /* by spec index */
  int n_group;
  hy_group *group;
  int zero;        /* of optim.zero; 0 where nothing has replicas */
  int offload;     /* w is in memory of the host, as moments will be */
  int own_w;       /* w is an array of own ranges */
  int planned;     /* no memory behind the arrays */
  size_t n_weight; /* trained floats of a whole array */
  size_t n_own;    /* of an array of own ranges */
  size_t n_master; /* trained floats of w */
  size_t n_total;  /* of w: with frozen and statistics, which follow */
  size_t n_low;    /* bytes of low */
  const hy_backend *be;
  float *w;    /* in backend memory, as all below, but for offload */
  float *rest; /* what is not trained, always whole: the end of w, with offload
                  an array of its own */
  float *g;    /* gradients: whole, with zero 3 own ranges; NULL: inference */
  void *low;   /* NULL: the model reads w */
  int stale;   /* replicas have renewed own ranges of low that the others have
                  not seen (hy_store_begin) */
} hy_params;

/* The arrays of a rank that files and comparisons know. */
enum { HY_PART_W, HY_PART_M, HY_PART_V, HY_PART_G, HY_N_PART };

/* Local elements from .. to-1 of a parameter are at `at` of a flat array. */
typedef struct {
  int64_t from, to;
  size_t at;
} hy_held;

/** What arrays have of parameter i. \param own  1: arrays of own ranges */
hy_held hy_params_held(const hy_params *p, int i, int own);
/** The same of an array HY_PART_* of this rank: w, moments, gradients; not
 *  trained: of w alone. */
hy_held hy_params_part(const hy_params *p, int part, int i);
/** Of p->w. */
hy_held hy_params_held_w(const hy_params *p, int i);

/* Beside optim.zero in the last parameter of the calls below: the master stays
 * in memory of the host. Nothing changes where that is the backend's own. */
enum { HY_OFFLOAD = 16 };

/** That parameter, as &optim says. */
static inline int
hy_params_how(const hy_deck_optim *d)
{
  return (int)d->zero | (d->offload ? HY_OFFLOAD : 0);
}

/** Flat arrays for this rank's shards. with_grad: also gradients. grid has to
 *  outlive them. 0 or HY_ERES. Not collective. */
int hy_params_new(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                  int with_grad);
/** With gradients, for optim.zero = zero, perhaps | HY_OFFLOAD. */
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

/** In p->low: the own range of a group; local element j of parameter i, of
 *  those that it has. */
void *hy_group_low(const hy_params *p, const hy_group *g);
void *hy_params_low(const hy_params *p, int i, int64_t j);

/** First weights: a function of (seed, name, global index) only, so the same
 *  model on any layout. Not collective. */
void hy_params_init(hy_params *p, uint64_t seed);

/** The master has changed: renew what the model reads from what of it is here.
 *  Not collective. */
void hy_params_renew(hy_params *p);

#endif
