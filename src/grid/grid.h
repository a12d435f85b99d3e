/* grid.h: the ranks of a run as axes tp, cp, dp, pp and the expert regrouping.
 *
 * n_ranks = pp dp cp tp, tp fastest, pp slowest. Experts regroup the ranks of
 * one stage: ep edp = dp cp tp. */
#ifndef HYMN_GRID_GRID_H
#define HYMN_GRID_GRID_H

#include "deck/deck.h"
#include "grid/comm.h"

/* Axes as bits, for the sets "partial on" and "replicated on". HY_SP: on tp,
 * but only when grid.sp is set (parameters used where tokens are cut). */
enum {
  HY_TP = 1,
  HY_CP = 2,
  HY_DP = 4,
  HY_PP = 8,
  HY_EP = 16,
  HY_EDP = 32,
  HY_SP = 64
};

enum { HY_MAX_DIVISOR = 32 };

typedef struct {
  hy_comm world;
  hy_comm tp, cp, dp, pp; /* ranks that differ in one coordinate only */
  hy_comm dp_cp;          /* the same slice of the dense parameters */
  hy_comm seq;            /* tp and cp: ranks that share the same rows */
  hy_comm stage;          /* dp, cp and tp: one pipeline stage */
  hy_comm ep, edp;        /* the expert regrouping inside a stage */
  hy_comm embed;          /* stages that share the embedding: first and last */
  hy_ints pp_cut;         /* layers of each stage; empty: by cost */
  int64_t row_len;        /* tokens of a row for that cost; 0: not known */
  int sp;                 /* tokens are cut over tp between the regions */
  /* neighbours of f tp ranks, by divisor f of tp with 1 < f: those that hold
   * the same head or group when tp has more ranks than there are heads */
  int n_near;
  hy_comm near[HY_MAX_DIVISOR];
  const struct hy_backend *backend; /* what this rank computes on
                                       (op/backend.h); NULL: the CPU */
  hy_meter *meter;          /* of every communicator above */
  struct hy_watcher *watch; /* of this rank, NULL without (grid/watch.h) */
  int owned;                /* communicators and meter to free */
} hy_grid;

/** Split parent into the communicators of the layout in d.
 *  An axis that does not divide the ranks: HY_EDECK with the numbers in the
 *  message. Collective over parent; the same code on every rank. */
int hy_grid_new(hy_grid *g, MPI_Comm parent, const hy_deck_grid *d);
void hy_grid_free(hy_grid *g);

/** The layout of the first rank of stage `stage` of d->n_ranks (or of 1) ranks
 *  without communication, for --dry-run: sizes and ranks are set, the
 *  communicators are dry. The caller's meter, may be NULL. */
int hy_grid_plan(hy_grid *g, const hy_deck_grid *d, int stage, hy_meter *meter);
/** The same of cp rank `cp` there: what cp ranks send differs. */
int hy_grid_plan_cp(hy_grid *g, const hy_deck_grid *d, int stage, int cp,
                    hy_meter *meter);

/** Every communicator of g, one after another; NULL behind the last. */
hy_comm *hy_grid_comm(hy_grid *g, int i);

/** A copy of g whose communicators only count, on meter: for walking the
 *  program of this rank before it runs. Nothing to free. */
void hy_grid_dry(hy_grid *copy, const hy_grid *g, hy_meter *meter);

/** A copy of g for tensors of the CPU backend, whatever g computes on. Nothing
 *  to free. */
void hy_grid_host(hy_grid *copy, const hy_grid *g);

/** The f neighbouring tp ranks of this one; f divides tp. f = 1: alone. */
hy_comm hy_grid_near(const hy_grid *g, int f);

#endif
