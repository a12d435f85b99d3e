/* op.h: what layers call. Each function makes one record of the op of its
 * name; backward adds to the gradients of its inputs. Not collective.
 *
 * T = n_tokens of the batch; rows of a batch are flattened one after another,
 * and seq_start alone says which tokens see each other: t sees u iff
 * seq_start[t] <= u <= t. Row borders are document borders like any other. */
#ifndef HYMN_OP_OP_H
#define HYMN_OP_OP_H

#include "op/tape.h"

enum {
#define HY_OP(n) HY_OP_##n,
#include "op/ops.def"
#undef HY_OP
  HY_N_OPS
};

/** y = x w'.  \param x (T, K)  \param w (N, K)  \return (T, N) */
hy_tensor *hy_linear(hy_ctx *c, hy_tensor *x, hy_tensor *w);

/** y[r] = x[r] w[e]' for the rows r of expert e.
 *  \param x      (R, K), rows sorted by expert
 *  \param w      (n_experts, N, K)
 *  \param offset (n_experts + 1): rows offset[e] .. offset[e+1]-1 are e's; an
 *                expert may have none.  \return (R, N) */
hy_tensor *hy_grouped_linear(hy_ctx *c, hy_tensor *x, hy_tensor *w,
                             const int32_t *offset);

/** Rows id[0..n-1] of a table of which w has the rows first, first + 1, ...;
 *  other ids give zero.  \param w (rows, D)  \return (n, D) */
hy_tensor *hy_embedding(hy_ctx *c, const int32_t *id, int64_t n, hy_tensor *w,
                        int64_t first);

/** x / rms(x) * w over each row.
 *  Source: Zhang and Sennrich 2019, arXiv:1910.07467. */
hy_tensor *hy_rmsnorm(hy_ctx *c, hy_tensor *x, hy_tensor *w, float eps);

/** RMS norm of y silu(z), each of n_groups equal parts of a row by itself.
 *  \param y, z (T, D)  \param w (D)
 *  Source: the norm before out_proj of Mamba-2, arXiv:2405.21060, section 7. */
hy_tensor *hy_gated_rmsnorm(hy_ctx *c, hy_tensor *y, hy_tensor *z, hy_tensor *w,
                            int64_t n_groups, float eps);

/** The parts of hy_gated_rmsnorm for a group that is wider than the features at
 *  hand: y silu(z); the sum of squares of each row (T, 1); and x w /
 *  sqrt(s / n + eps) with the sum s over all n features of the group. */
hy_tensor *hy_gate(hy_ctx *c, hy_tensor *y, hy_tensor *z);
hy_tensor *hy_sum_squares(hy_ctx *c, hy_tensor *x);
hy_tensor *hy_scaled_norm(hy_ctx *c, hy_tensor *x, hy_tensor *s, hy_tensor *w,
                          int64_t n, float eps);

/** Causal depthwise convolution: y[t,i] = b[i] + sum_j w[i,n-1-j] x[t-j,i]
 *  over the taps j with t-j >= seq_start[t].
 *  \param x (T, C)  \param w (C, n_taps), last tap is the token itself
 *  \param taps the inputs before, oldest first: with segments the cache
 *         (n_slots, n_taps-1, C), read and renewed; else the halo of each span
 *         (n_span (n_taps-1), C), with gradient, of whose rows the document at
 *         the span's begin sees the last span.before; NULL: nothing before */
hy_tensor *hy_conv1d(hy_ctx *c, hy_tensor *x, hy_tensor *w, hy_tensor *b,
                     hy_tensor *taps);

hy_tensor *hy_silu(hy_ctx *c, hy_tensor *x);  /**< x sigmoid(x) */
hy_tensor *hy_relu2(hy_ctx *c, hy_tensor *x); /**< max(x, 0)^2 */

/** log(1 + exp(x + b)), the time step of Mamba. \param x (T, H) \param b (H) */
hy_tensor *hy_softplus(hy_ctx *c, hy_tensor *x, hy_tensor *b);

/** Mamba-2 scan, head h of group g:
 *    s[t] = exp(dt[t] a) s[t-1] + dt[t] x[t] b[t]',  a = -exp(a_log)
 *    y[t] = s[t] c[t] + d x[t],  s = 0 before each document.
 *  Forward and backward as products of chunks.
 *  \param x (T, n_heads d_head)  \param dt (T, n_heads), > 0
 *  \param b, cc (T, n_groups d_state)  \param a_log, d (n_heads)
 *  \param s0 states before: with segments the cache (n_slots, n_heads, d_head,
 *         d_state), read and renewed; else of each span (n_span, n_heads d_head
 *         d_state), with gradient, read where span.before > 0; NULL: zero
 *  Source: Dao and Gu 2024, arXiv:2405.21060, section 6. */
hy_tensor *hy_ssd(hy_ctx *c, hy_tensor *x, hy_tensor *dt, hy_tensor *b,
                  hy_tensor *cc, hy_tensor *a_log, hy_tensor *d,
                  int64_t n_groups, hy_tensor *s0);

/** What each span does to the state of the scan: the state s_own that its last
 *  document leaves when it starts from zero, and the decay that a state from
 *  before the span has suffered at its end: the product of exp(dt a) over the
 *  span, 0 if that document starts inside it.
 *  \param x, dt, b, a_log as in hy_ssd
 *  \return (n_span, n_heads d_head d_state + n_heads): s_own, then decays
 *  Source: Dao and Gu 2024, arXiv:2405.21060, section 6. */
hy_tensor *hy_ssd_state(hy_ctx *c, hy_tensor *x, hy_tensor *dt, hy_tensor *b,
                        hy_tensor *a_log, int64_t n_groups);

/** Causal softmax attention inside documents, scale 1/sqrt(d_head), never
 *  storing the scores of more than a tile.
 *  \param q (T, n_heads d)  \param k, v (T, n_kv_heads d); query head h uses
 *         key head h / (n_heads / n_kv_heads)
 *  \param kc, vc caches (n_slots, max_len, n_kv_heads d); with segments the
 *         new keys and values are appended and all past ones seen
 *  \param lse [out] (T, n_heads) log-sum-exp of the scores, which backward
 *         reads. Whoever merges more keys into the output (the op
 *         attention_block: in q, k, v, all of whose keys every query sees;
 *         out[0], save[0] changed in place) keeps it true
 *  Source: Dao et al. 2022, arXiv:2205.14135. */
hy_tensor *hy_attention(hy_ctx *c, hy_tensor *q, hy_tensor *k, hy_tensor *v,
                        int64_t n_heads, int64_t n_kv_heads, hy_tensor *kc,
                        hy_tensor *vc, hy_tensor **lse);

hy_tensor *hy_add(hy_ctx *c, hy_tensor *x, hy_tensor *y);
/** [x y] along the features. */
hy_tensor *hy_concat(hy_ctx *c, hy_tensor *x, hy_tensor *y);

typedef struct {
  hy_tensor *weight;    /* (T, top_k), with gradient */
  const int32_t *idx;   /* (T, top_k), ascending experts */
  const int32_t *count; /* (n_experts) tokens sent, padding left out */
  const float *margin;  /* (1): smallest distance of a choice from another one,
                           over tokens that are not padding */
  /* Rows with choices in any number: those of row r are list[r] ..
   * list[r+1]-1 of    * idx (n) and weight (n, 1). NULL: top_k for each, as
   * above. */
  const int32_t *list;
  struct hy_travel *travel; /* set by hy_announce */
} hy_route;

/** Sigmoid router. Experts are chosen by score + bias (limited to the best
 *  topk_group of n_group groups, ranked by the sum of their two best), the
 *  weight is the plain score, divided by the sum of the chosen + 1e-20 if
 *  norm, times scaling. Ties go to the lower expert. The margin is that between
 *  the last score + bias chosen and the best one left, and the same for groups.
 *  \param logits (T, n_experts), fp32  \param bias (n_experts), no gradient
 *  Source: DeepSeek-V3, arXiv:2412.19437, section 2.1.2. */
hy_route hy_router(hy_ctx *c, hy_tensor *logits, hy_tensor *bias, int64_t top_k,
                   int64_t n_group, int64_t topk_group, int norm,
                   float scaling);

typedef struct hy_travel hy_travel; /* which rows travel; region_ep.c */

/** The choices of the next router of a piece that runs again (op/replay.h), or
 *  what c->choose gives; NULL: it has to choose. */
const int32_t *hy_again_choice(hy_ctx *c, int64_t rows, int64_t top_k);

typedef struct {
  hy_tensor *x;            /* (choices, D), rows sorted by expert */
  const int32_t *offset;   /* (n_experts + 1) */
  const int32_t *pos;      /* row of x of each choice */
  const int32_t *list;     /* (n_row + 1), as in hy_route */
  int64_t n_row;           /* rows that were copied */
  int64_t n_token;         /* own tokens */
  hy_tensor *weight;       /* of each choice, as in hy_route */
  const hy_travel *travel; /* NULL: the rows are this rank's own */
} hy_dispatched;

/** Copy each row of x to the experts it chose (op permute). */
hy_dispatched hy_permute(hy_ctx *c, hy_tensor *x, const hy_route *route,
                         int64_t n_experts);
/** y[t] = sum over its choices i of weight[i] rows[pos[i]].
 *  \return (n_row, D) */
hy_tensor *hy_unpermute(hy_ctx *c, hy_tensor *rows, const hy_dispatched *d,
                        hy_tensor *weight);

/** Sequence-wise balance loss, added to *value:
 *    coef E/(K n^2) sum_e count_e sum_t P[t,e], summed over documents of n
 *    real tokens and divided by the batch's n_docs;
 *  P = scores / their sum over experts, count from the top-k of the plain
 *  scores. Padding counts nowhere. Of documents that are cut (batch->doc),
 *  count and n are summed over the ranks, sum_t P over own tokens only: *value
 *  is this rank's part. Collective over grid->seq if it has several ranks.
 *  Source: DeepSeek-V3, arXiv:2412.19437, section 2.1.2 (equations 17-20). */
void hy_seq_aux(hy_ctx *c, hy_tensor *logits, int64_t top_k, float coef,
                double *value);

/** Of each cut document d: how often the tokens here have each expert in the
 *  top-k of their plain scores, and in the last column how many tokens they
 *  are, padding left out.
 *  \param doc  (T) number of the document of each token, -1: not cut
 *  \return (n_docs, n_experts + 1), without gradient */
hy_tensor *hy_seq_count(hy_ctx *c, hy_tensor *logits, int64_t top_k,
                        const int32_t *doc, int64_t n_docs);

/** What a part of the vocabulary knows of the cross-entropy: row t is the
 *  largest logit, the sum of exp(logit - largest) as two floats that add up,
 *  and the logit of the target, 0 if that is not here. Rows of weight 0 are not
 *  read. No gradient.
 *  \param logits (T, n), of the ids first .. first+n-1; n may be 0
 *  \return (T, HY_CE_STAT) */
enum { HY_CE_STAT = 4 };
hy_tensor *hy_ce_stat(hy_ctx *c, hy_tensor *logits, const int32_t *target,
                      const float *weight, int64_t first);

/* Denominators of the global batch, as fields of hy_batch. */
enum { HY_N_TARGET, HY_N_DOCS, HY_N_AHEAD, HY_N_DENOMINATOR = HY_N_AHEAD + 8 };

/** Where bodies read one of them; HY_N_AHEAD + k: n_ahead_target[k]. */
const double *hy_denominator(const hy_ctx *c, int which);

/** Cross-entropy of each row against target, times weight; the plain sum is
 *  added to *value. Its gradient, times factor / max(*over, 1), replaces the logits in place
 *  during backward, so that no second (T, vocab) array exists.
 *  \param stat   of the whole vocabulary; NULL: the logits are all of it
 *  \param first  id of the first logit
 *  \param over   as hy_denominator gives it; NULL: 1 */
void hy_ce(hy_ctx *c, hy_tensor *logits, hy_tensor *stat, const int32_t *target,
           const float *weight, int64_t first, double factor,
           const double *over, double *value);

#endif
