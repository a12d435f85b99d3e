/* pick.h: of the rows of a global batch those of one rank, cut in
 * micro-batches; reading them.
 *
 * In order, or dealt by cost: the rows of the batch go, the dearest first, to
 * the rank that has the least to do and still takes rows, then on that rank in
 * the same way to its micro-batches, of which the dearest comes first on all
 * ranks. (Graham 1969: at most 4/3 of the best deal.) */
#ifndef HYMN_DATA_PICK_H
#define HYMN_DATA_PICK_H

#include "data/blend.h"
#include "op/batch.h"

typedef struct hy_picker hy_picker; /* fields in pick.c */

#define HY_PICK_UNIT 1048576.0 /* weights are summed in units of 2^-20 */

/* Sums over the rows of a rank; the sources' real tokens follow. */
enum {
  HY_PICK_AHEAD, /* weights by depth, in units */
  HY_PICK_WEIGHT = HY_AHEAD_MAX,
  HY_PICK_DOCS,
  HY_PICK_REAL,
  HY_PICK_SOURCE
};

/* A choice of rows. */
typedef struct {
  int64_t first, n_all; /* samples of all ranks */
  int in_order;         /* rows in the order of their files */
  int64_t n, n_micro;   /* own rows; micro-batches, the same on all ranks */
  int64_t *sample;      /* own, those of a micro-batch one after another */
  int64_t *micro;       /* (n_micro + 1) first place in it of each */
  int64_t *sum;         /* HY_PICK_... over own rows */
  int64_t room;         /* samples that fit the arrays */
} hy_pick;

typedef struct {
  int rank, size; /* who share a global batch */
  int64_t global_batch, micro_batch;
  int n_ahead;
  int balance;
  double per_token, per_pair; /* cost of a row's tokens and of its pairs */
} hy_pick_keys;

/** What picks and reads for one rank; keeps blend, which others do not use
 *  meanwhile. No call here is collective or calls MPI. */
hy_picker *hy_picker_new(hy_blend *blend, const hy_pick_keys *keys);
void hy_picker_free(hy_picker *p);
/** What rows cost, where they are dealt by cost. */
void hy_picker_cost(hy_picker *p, double per_token, double per_pair);

/** Samples first .. first+n-1: own share and sums, reading all own rows.
 *  Takes memory only for more rows than ever before.
 *  \return 0, HY_EDATA (a bad row) */
int hy_picker_pick(hy_picker *p, hy_pick *out, int64_t first, int64_t n,
                   int in_order);
void hy_pick_free(hy_pick *pick);

/** Columns for a micro-batch. */
void hy_picker_room(const hy_picker *p, hy_batch *b);
/** Read micro-batch i of a choice into such columns, ahead[] too; 0 rows where
 *  this rank has none left. \return 0, HY_EDATA */
int hy_picker_read(hy_picker *p, const hy_pick *pick, int64_t i, hy_batch *b);

#endif
