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

/* What a rank owns of its shard: each element of the model is owned by exactly
 * one rank of the world, which counts it in norms and checksums and writes it
 * to files. */
typedef struct {
  int64_t from, to; /* local elements */
  unsigned skip;    /* parts among them that another tp rank owns, as bits */
} hy_own;

/** Owned elements of a shard, given those that this rank has among its
 *  replicas (the same slice on other dp, cp or edp ranks). Of tensors and parts
 *  that tp ranks repeat the first one owns all, of those that two stages hold
 *  the first stage. Not collective. */
hy_own hy_own_of(const hy_spec *spec, const hy_shard *shard,
                 const hy_grid *grid, int64_t from, int64_t to);

/** The next run that is owned, cut to what is; *i counts runs and starts at 0.
 *  \return 0 when there are no more. */
int hy_own_next(const hy_pieces *p, const hy_own *own, int64_t *i,
                hy_piece *run);

/** As hy_own_next for those who need no global place: neighbours in memory are
 *  one run (run->global is not set). */
int hy_own_next_local(const hy_pieces *p, const hy_own *own, int64_t *i,
                      hy_piece *run);

/** Tensors that a spec is in a weight folder (its experts, else 1), and the
 *  name of tensor e into out (HY_NAME_LEN bytes). */
int64_t hy_spec_n_tensor(const hy_spec *spec);
void hy_spec_tensor_name(char *out, const hy_spec *spec, int64_t e);

/** The name of the spec as one dataset: without ".%d". */
void hy_spec_stack_name(char *out, const hy_spec *spec);

#endif
