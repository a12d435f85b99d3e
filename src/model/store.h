/* store.h: parameters by unit, for replicas that share the work of the
 * optimizer: gradients are reduced to their owners while backward runs, and
 * with zero 3 weights are gathered before a unit is used and dropped after.
 *
 * Ranks that have replicas (grid.dp_cp, for experts grid.edp) call everything
 * here in the same order. With one replica of everything nothing is sent. */
#ifndef HYMN_MODEL_STORE_H
#define HYMN_MODEL_STORE_H

#include "model/params.h"
#include "op/tape.h"

/* A buffer for the weights or gradients of a unit, or for a sum under way. */
typedef struct {
  void *x;      /* in backend memory */
  size_t n;     /* bytes */
  int unit;     /* whose weights it holds; -1: nothing that is kept */
  int users;    /* 0: may be taken */
  int ahead;    /* gathered before it was asked for */
  int64_t when; /* last given back */
  hy_pending wait;
} hy_store_bin;

typedef struct {
  /* those with replicas, each in fp32 and in the format of layers */
  int n_group, group[2 * HY_N_GROUP_KIND];
  size_t n_w, n_g, n_scratch; /* bytes of their weights and gradients, and of a
                                 sum under way */
  int n_ref, *ref;            /* their parameters */
  hy_store_bin *w, *g;        /* zero 3: weights and gradients in use */
  int64_t n_done;             /* micro-batches whose gradients are complete */
} hy_store_unit;

typedef struct {
  hy_params *p;
  const hy_grid *grid;
  int dry; /* grid only counts, there is no memory behind p */
  hy_fetch fetch;
  int n_unit;
  hy_store_unit *unit; /* by HY_UNIT_* */
  int n_bin;
  hy_store_bin **bin;
  int64_t clock, n_micro;
  unsigned char *fresh; /* by group: nothing is in the own range of g yet */
  struct {              /* the sum under way */
    int unit;           /* -1: none */
    hy_store_bin *scratch;
    hy_pending wait;
  } sum;
  /* units in the order they were asked for in the last step and the last
   * validation: what comes next is gathered ahead */
  struct {
    int n, cap, *unit;
  } log[2];
  int which, at;
} hy_store;

/** For the parameters p of this rank; both outlive u. \param dry  grid is one
 *  of hy_grid_dry or hy_grid_plan: count and measure only. Not collective. */
void hy_store_new(hy_store *u, hy_params *p, const hy_grid *grid, int dry);
void hy_store_free(hy_store *u);

/** 1 if any parameter has replicas: only then a context needs u->fetch. */
int hy_store_active(const hy_store *u);

/** Before the micro-batches of a step (training), or of a validation. The
 *  gradients of the last step are forgotten. */
void hy_store_begin(hy_store *u, int64_t n_micro, int training);

/** After them: own ranges of p->g (zero 3: all of it) have the sums over the
 *  replicas, in rank order. A parameter that no backward has reached has the
 *  gradient 0. Collective. */
void hy_store_finish(hy_store *u);

/** Every rank's own ranges of p->g, a whole array, to all its replicas.
 *  Collective. */
void hy_store_share_grads(hy_store *u);

/** The same of what the model reads, after their owners have renewed it.
 *  Collective. */
void hy_store_share_weights(hy_store *u);

/** Bytes of the buffers so far. */
size_t hy_store_bytes(const hy_store *u);

#endif
