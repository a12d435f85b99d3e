/* data/cut.h: the columns of one rank of grid.seq from whole rows.
 *
 * Every rank of grid.seq reads the same whole rows. cp cuts a row in 2 cp
 * pieces, at[p] = floor(seq_len p / (2 cp)), of which rank r has r and
 * 2 cp - 1 - r; the local tokens of all rows may be cut further in slices over
 * tp, rank q having tokens floor(T q / tp) .. floor(T (q+1) / tp) - 1. */
#ifndef HYMN_DATA_CUT_H
#define HYMN_DATA_CUT_H

#include "grid/grid.h"
#include "op/batch.h"

typedef struct hy_cut hy_cut; /* memory; fields in cut.c */

/* Who shares the rows, and which of them this is. */
typedef struct {
  int cp, rank; /* size of grid.cp, rank in it */
  int tp;       /* size of grid.tp */
  int least;    /* tokens that a piece must have: a rank looks no farther back
                   than into the piece before */
} hy_cut_layout;

/** \param d_conv  taps of the model's convolution */
hy_cut_layout hy_cut_layout_of(const hy_grid *grid, int64_t d_conv);

/** Room for at most n_rows rows of seq_len tokens with n_ahead depths.
 *  \return 0 or HY_EDECK (rows too short for grid.cp); then *c is NULL. */
int hy_cut_new(hy_cut **c, const hy_cut_layout *layout, int64_t n_rows,
               int64_t seq_len, int n_ahead);
void hy_cut_free(hy_cut *c);

/** Point *mine at this rank's tokens of the rows in *all, whose ahead[] is
 *  filled; denominators are taken over. Columns that are not cut are those of
 *  *all, the others hold until the next call. Allocates nothing. all and mine
 *  may be the same. Not collective. */
void hy_cut_rows(hy_cut *c, const hy_batch *all, hy_batch *mine);

#endif
