/* grid.h: the ranks of a run as axes tp, cp, dp, pp and the expert regrouping.
 *
 * n_ranks = pp dp cp tp, tp fastest, pp slowest. Experts regroup the ranks of
 * one stage: ep edp = dp cp tp. */
#ifndef HYMN_GRID_GRID_H
#define HYMN_GRID_GRID_H

#include "deck/deck.h"
#include "grid/comm.h"

/* Axes as bits, for the sets "partial on" and "replicated on". */
enum { HY_TP = 1, HY_CP = 2, HY_DP = 4, HY_PP = 8, HY_EP = 16, HY_EDP = 32 };

typedef struct {
  hy_comm world;
  hy_comm tp, cp, dp, pp; /* ranks that differ in one coordinate only */
  hy_comm dp_cp;          /* the same tokens' worth of parameters */
  hy_comm ep, edp;        /* the expert regrouping inside a stage */
  hy_comm embed;          /* stages that share the embedding: first and last */
  hy_comm replica;        /* ranks that hold the same dense slice */
  int owned;              /* communicators to free */
} hy_grid;

/** Split parent into the communicators of the layout in d.
 *  An axis that does not divide the ranks: HY_EDECK with the numbers in the
 *  message; an axis > 1 that this version cannot run: HY_EDECK.
 *  Collective over parent; the same code on every rank. */
int hy_grid_new(hy_grid *g, MPI_Comm parent, const hy_deck_grid *d);
void hy_grid_free(hy_grid *g);

/** The layout of rank 0 of d->n_ranks (or of 1) ranks without communication,
 *  for --dry-run: sizes and ranks are set, communicators are MPI_COMM_NULL. */
int hy_grid_plan(hy_grid *g, const hy_deck_grid *d);

#endif
