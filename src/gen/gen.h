/* gen.h: tokens from a model: caches, prompts of unequal length, sampling.
 *
 * Sequences live in slots. Each call appends new tokens to some of them, whole
 * prompts and single tokens alike, without padding; what it returns for one
 * sequence depends on the others only by rounding (BLAS rounds a row by its
 * place among the rows of a call or of an expert). */
#ifndef HYMN_GEN_GEN_H
#define HYMN_GEN_GEN_H

#include "model/model.h"
#include "op/cache.h"

typedef struct {
  const hy_model *model;
  hy_ctx ctx;
  hy_cache cache;
  const hy_backend *be;
  void *store;        /* memory of the caches; in backend memory */
  void *from;         /* (max_tokens, d_model) from the pipeline stage before;
                         in backend memory */
  float *logits;      /* (n_slots, vocab), on all stages */
  int64_t *len;       /* (n_slots) tokens so far */
  int64_t max_tokens; /* of one call, the same on all ranks of a stage */
  int64_t *start, *past;
  int32_t *slot, *last;
  struct { /* the same of a call where bodies read it */
    void *block;
    int64_t *start, *past;
    int32_t *slot, *last, *token;
  } there;
} hy_gen;

/** Caches for n_slots sequences of up to max_len tokens, work space for calls
 *  of up to max_tokens (>= n_slots) tokens. 0 or HY_ERES. Not collective. */
int hy_gen_new(hy_gen *g, const hy_model *m, const hy_grid *grid, int n_threads,
               int64_t n_slots, int64_t max_len, int64_t max_tokens);
void hy_gen_free(hy_gen *g);

/** Empty a slot for a new sequence. */
void hy_gen_clear(hy_gen *g, int32_t slot);

/** Append n[i] >= 1 tokens to slot[i], i < n_seq; no slot twice. Prompts
 *  longer than a call are cut into several.
 *  \param token   all of them, one sequence after another
 *  \param logits  [out] (n_seq, vocab) behind the last token of each
 *  Collective over grid->tp and grid->pp; with grid.ep over the ranks of a
 * stage, which run calls together: one that has nothing to feed has to be in
 * hy_gen_join. \return 0, HY_EDATA (a sequence outgrows max_len). */
int hy_gen_feed(hy_gen *g, int n_seq, const int32_t *slot, const int64_t *n,
                const int32_t *token, float *logits);

/** After the last feed: with grid.ep take part in the calls of the other ranks
 *  of the stage, without tokens, until all are here. Collective. */
void hy_gen_join(hy_gen *g);

typedef struct {
  double temperature; /* 0: greedy */
  int64_t top_k;      /* 0: all */
  double top_p;
  uint64_t key; /* of the random numbers */
} hy_sampler;

/** The next token for these logits. Greedy takes the largest, of equals the
 *  lowest id; else softmax(logits/temperature) limited to the top_k most
 *  probable and among them to the smallest set that reaches top_p.
 *  \param counter  a number used once for each draw
 *  \param work     2 n_vocab floats
 *  Source of top-p: Holtzman et al. 2020, arXiv:1904.09751. */
int32_t hy_sample(const hy_sampler *s, uint64_t counter, const float *logits,
                  int64_t n_vocab, float *work);

#endif
