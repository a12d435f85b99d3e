/* piece.h: the runs of consecutive elements that a rank's shard has in the
 * global tensor; what weight folders, checkpoints and checksums walk. */
#ifndef HYMN_LAYER_PIECE_H
#define HYMN_LAYER_PIECE_H

#include "layer/plan.h"

typedef struct {
  int64_t n;     /* runs */
  int64_t outer; /* product of the dimensions before the cut one */
  int64_t inner; /* and after it */
  int64_t global_len, local_len; /* sizes of the cut dimension */
  int n_part;
  int64_t global[HY_MAX_PART], local[HY_MAX_PART], count[HY_MAX_PART];
} hy_pieces;

/* One run: elements [global, global + n) are at [local, local + n). */
typedef struct {
  int64_t global, local, n;
} hy_piece;

/** Runs of this shard, in rising order of both places. */
void hy_pieces_of(hy_pieces *p, const hy_spec *spec, const hy_shard *shard);
hy_piece hy_piece_at(const hy_pieces *p, int64_t i);

/** 0, or HY_EDECK when the ranks of an axis cannot share out a parameter,
 *  with the numbers and the deck key. Not collective. */
int hy_pieces_check(const hy_plan *plan, const hy_grid *grid);

/** 1 on the one rank (of those with the same slice) that saves it. */
int hy_piece_mine(const hy_spec *spec, const hy_grid *grid);

/** Tensors that a spec is in a weight folder (its experts, else 1), and the
 *  name of tensor e into out (HY_NAME_LEN bytes). */
int64_t hy_spec_n_tensor(const hy_spec *spec);
void hy_spec_tensor_name(char *out, const hy_spec *spec, int64_t e);

/** The name of the spec as one dataset: without ".%d". */
void hy_spec_stack_name(char *out, const hy_spec *spec);

#endif
