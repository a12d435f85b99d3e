/* region.h: where tokens or features change hands between ranks. Layers call
 * these and know no rank; each is also a record, so its adjoint runs in
 * backward in the same order on every rank. Without that axis a region is
 * nothing. Collective over the named communicator. */
#ifndef HYMN_OP_REGION_H
#define HYMN_OP_REGION_H

#include "op/op.h"

/** Slices of the T = batch->n_tokens tokens over grid->tp: rank r has rows
 *  hy_token_first(c, r) .. hy_token_first(c, r + 1) - 1, T r / size; none where
 *  T is small. With grid->sp the residual stream is such a slice. */
int64_t hy_token_first(const hy_ctx *c, int r);
/** The token that row 0 of a tensor of so many rows is: 0 where it has all
 *  tokens, else the first of this rank's slice. For columns of the batch. */
int64_t hy_token_at(const hy_ctx *c, int64_t rows);

/** Rows of the residual stream of this rank, of n_tokens local tokens, in
 *  training. */
int64_t hy_stream_rows(const hy_grid *grid, int64_t n_tokens);

/** Into a part of the layer where each tp rank has all tokens and its own
 *  features. Forward the same tokens (sp: those of all ranks), backward the
 *  sum of the ranks' gradients (sp: of the own slice). grid->tp. */
hy_tensor *hy_enter_tp(hy_ctx *c, hy_tensor *x);

/** Out of it: forward the sum of the ranks' partial results (sp: of the own
 *  slice), backward the same gradient to each (sp: those of all ranks).
 *  x is replaced. grid->tp. */
hy_tensor *hy_leave_tp(hy_ctx *c, hy_tensor *x);

/** Into a part where each tp rank has all features of its slice of the tokens,
 *  and out of it. Forward the own rows, backward those of all ranks; out of it
 *  the other way round. Nothing with sp: the tokens are cut already.
 *  grid->tp. */
hy_tensor *hy_slice_tp(hy_ctx *c, hy_tensor *x);
hy_tensor *hy_unslice_tp(hy_ctx *c, hy_tensor *x);

/** Sum over the f neighbouring tp ranks that share a group of features, on each
 *  of them; backward likewise. x is replaced. A part of grid->tp. */
hy_tensor *hy_sum_near(hy_ctx *c, hy_tensor *x, int f);

/** hy_ce_stat of the whole vocabulary, from the logits of each tp rank; NULL
 *  where one rank has them all. grid->tp. */
hy_tensor *hy_share_stat(hy_ctx *c, hy_tensor *logits, const int32_t *target,
                         const float *weight, int64_t first);

/** The columns of all tp ranks side by side, rank r's being n r / size ..
 *  n (r + 1) / size - 1 of n. Inference only. grid->tp. */
hy_tensor *hy_gather_cols(hy_ctx *c, hy_tensor *x, int64_t n);

/** Begin to find which rows of a route go where, early: the host has to know it
 *  for hy_dispatch, and the backend has time for what is asked of it between the
 *  two. Otherwise hy_dispatch begins with it. Not collective. */
void hy_announce(hy_ctx *c, hy_route *route, int64_t n_experts);

/** Tokens to the experts they chose, and back with their weights. With ep a
 *  token's row goes once to each rank that holds some of its experts; that rank
 *  returns the weighted sum of them, and the sums are added in rank order.
 *  \param x  (T, D), on each rank its own tokens, any number of them
 *  \return .x: rows for the experts of this rank; the rest is for hy_combine.
 *  A dry backend takes the sizes that an even routing is expected to give, or
 *  with c->worst the largest that any routing can. grid->ep. */
hy_dispatched hy_dispatch(hy_ctx *c, hy_tensor *x, const hy_route *route,
                          int64_t n_experts);
hy_tensor *hy_combine(hy_ctx *c, hy_tensor *rows, const hy_dispatched *d);

/** Counts of the documents that are cut over ranks, for hy_seq_aux.
 *  grid->seq. */
typedef struct {
  hy_tensor *count;   /* hy_seq_count, summed; NULL: no document is cut */
  const int32_t *doc; /* (T) */
} hy_cut_docs;
hy_cut_docs hy_sum_docs(hy_ctx *c, hy_tensor *logits, int64_t top_k);

/** Inputs of the convolution before the first token: from the cache in
 *  generation; where cp cuts the rows, the n_taps-1 last of the piece before
 *  each span, whose length is at least that; else NULL (documents start from
 *  nothing). grid->cp. */
hy_tensor *hy_carry_conv(hy_ctx *c, hy_tensor *x, int64_t n_taps);

/** State of the scan before the first token: from the cache in generation;
 *  where cp cuts the rows, of each span, from what all pieces before it do to a
 *  state (hy_ssd_state); else NULL. Arguments as of hy_ssd. Bytes sent do not
 *  depend on the length of a row: ceil(log2(2 cp)) rounds of at most two
 *  messages. grid->cp. */
hy_tensor *hy_carry_state(hy_ctx *c, hy_tensor *x, hy_tensor *dt, hy_tensor *b,
                          hy_tensor *a_log, int64_t n_groups);

/** Attention of own queries over all tokens before them in their documents,
 *  wherever these lie: in the cache in generation, on other ranks when cp cuts
 *  rows (own tokens first, then keys and values come round and are merged
 *  through log-sum-exp). Shapes as of hy_attention. grid->cp. */
hy_tensor *hy_ring_kv(hy_ctx *c, hy_tensor *q, hy_tensor *k, hy_tensor *v,
                      int64_t n_heads, int64_t n_kv_heads);

#endif
