/* op/batch.h: the tokens of one micro-batch, as columns. */
#ifndef HYMN_OP_BATCH_H
#define HYMN_OP_BATCH_H

#include <stdint.h>

#define HY_AHEAD_MAX 8

/** One micro-batch. Rows are flattened one after another. */
typedef struct {
  int64_t n_rows, seq_len, n_tokens; /* n_tokens = n_rows * seq_len */
  int32_t *token;                    /* (n_tokens) */
  int32_t *target; /* next token of the same document, 0 where none */
  float *weight;   /* of predicting target; 0 where none */
  /* index IN THE FLATTENED BATCH of the first token of the token's document:
   * t sees u iff seq_start[t] <= u <= t */
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
  /* global denominators of the optimizer step, the same on all ranks */
  double n_target; /* sum of weight over the global batch */
  double n_ahead_target[HY_AHEAD_MAX];
  double n_docs; /* row-wise pieces of documents in the global batch */
  double n_real; /* tokens that are not padding */
} hy_batch;

/** Fill ahead[0..n_ahead-1] from token, target, weight and seq_start. */
void hy_batch_ahead(hy_batch *b);

#endif
