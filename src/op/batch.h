/* op/batch.h: the tokens of one micro-batch, as columns. */
#ifndef HYMN_OP_BATCH_H
#define HYMN_OP_BATCH_H

#include <stdint.h>

#define HY_AHEAD_MAX 8

/* Consecutive tokens of one row on this rank. Without cp a row is one span;
 * with cp a row is cut into 2 cp pieces of which a rank has two, one span
 * each (pieces cp.rank and 2 cp - 1 - cp.rank). */
typedef struct {
  int64_t at, n;  /* local tokens at .. at+n-1 */
  int32_t row;    /* of the micro-batch */
  int32_t piece;  /* of the row, 0 .. 2cp-1 */
  int64_t before; /* tokens of the first token's document in pieces before
                     this one; 0: it starts here */
} hy_span;

/** One micro-batch. Rows are flattened one after another. */
typedef struct {
  int64_t n_rows, seq_len; /* of the micro-batch, before cp cuts the rows */
  int64_t n_tokens;        /* on this rank; n_rows * seq_len without cp */
  int32_t *token;          /* (n_tokens) */
  int32_t *target;         /* next token of the same document, 0 where none */
  float *weight;           /* of predicting target; 0 where none */
  /* index IN THE FLATTENED BATCH of the first token of the token's document:
   * t sees u iff seq_start[t] <= u <= t. With cp: of its first token in the
   * span; what spans before hold comes through the regions. */
  int32_t *seq_start;
  uint8_t *pad; /* 1: padding, counts nowhere */
  int n_ahead;  /* MTP depths */
  /* depth k = 1..n_ahead at [k-1]: token[t+k], target[t+k], weight[t+k] when
   * t+k lies in t's document (t+k < n_tokens and seq_start[t+k] <= t), else
   * 0. Tokens past the row's end are not seen. */
  struct {
    int32_t *token, *target;
    float *weight;
  } ahead[HY_AHEAD_MAX];
  /* how cp cut the rows; NULL and 0 without cp */
  int64_t n_span;
  const hy_span *span;
  /* (n_rows, 2 cp): row index of the first token of the document that the
   * first token of each piece belongs to; the same on all ranks of the row.
   * Pieces a < b are linked iff row_start[b] < begin of piece a+1. */
  const int64_t *row_start;
  /* Documents cut over the ranks of grid.seq (by cp, or by slices of tokens
   * over tp): doc[t] is their number, -1 for those that lie whole in one
   * slice. NULL: none is cut. n_cut_docs is the same on all of grid.seq. */
  int32_t *doc;
  int64_t n_cut_docs;
  /* global denominators of the optimizer step, the same on all ranks */
  double n_target; /* sum of weight over the global batch */
  double n_ahead_target[HY_AHEAD_MAX];
  double n_docs; /* row-wise pieces of documents in the global batch */
  double n_real; /* tokens that are not padding */
  /* the first of these by HY_N_TARGET, HY_N_DOCS, HY_N_AHEAD + k, where a
   * backend has them in its memory; else NULL */
  const double *denominator;
} hy_batch;

/** Fill ahead[0..n_ahead-1] from token, target, weight and seq_start. Of whole
 *  rows, before cp cuts them. */
void hy_batch_ahead(hy_batch *b);

/** Columns for b->n_tokens tokens and b->n_ahead depths (token, target, weight,
 *  seq_start, pad, ahead), zeroed; doc, span and row_start are left alone. */
void hy_batch_columns(hy_batch *b);
void hy_batch_columns_free(hy_batch *b);

/** Memory for a micro-batch of up to n_rows rows of seq_len tokens on this rank
 *  of cp: all columns. Free it with hy_batch_free. */
void hy_batch_room(hy_batch *room, int64_t n_rows, int64_t seq_len, int cp,
                   int cp_rank, int n_ahead);
void hy_batch_free(hy_batch *room);
/** The same micro-batch with its columns in room; those that `from` lacks the
 *  copy lacks too. */
void hy_batch_copy(hy_batch *copy, const hy_batch *room, const hy_batch *from,
                   int cp);

/** First token of piece p of a row of seq_len tokens; p = 2 cp: its end. */
static inline int64_t
hy_cut_at(int64_t seq_len, int cp, int p)
{
  return seq_len * p / (2 * cp);
}

/** Rank of grid.cp that has piece p of each row. */
static inline int
hy_cut_owner(int cp, int p)
{
  return p < cp ? p : 2 * cp - 1 - p;
}

/** Some token of piece b of row `row` sees one of piece a; 0 unless a < b. What
 *  decides every message between pieces, on both ends alike. */
static inline int
hy_cut_linked(const int64_t *row_start, int64_t seq_len, int cp, int64_t row,
              int a, int b)
{
  return a < b && row_start[row * 2 * cp + b] < hy_cut_at(seq_len, cp, a + 1);
}

/** Tokens of a row on one rank of grid.cp; seq_len without cp. */
int64_t hy_cut_tokens(int64_t seq_len, int cp, int rank);

/** Token of the whole rows, one after another, that local token t is. */
int64_t hy_cut_global(int64_t seq_len, int cp, int rank, int64_t t);

/** The spans of n_rows rows on one rank of grid.cp, cp > 1: two for each row.
 *  \param row_start  as in hy_batch, or NULL: each row is one document
 *  \param span       [out] (2 n_rows) */
void hy_cut_spans(hy_span *span, int64_t n_rows, int64_t seq_len, int cp,
                  int rank, const int64_t *row_start);

#endif
