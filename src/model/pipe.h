/* pipe.h: the micro-batches of a step through the stages of the pipeline. Each
 * micro-batch in flight has a context of its own. With one stage this is a
 * loop over the micro-batches. */
#ifndef HYMN_MODEL_PIPE_H
#define HYMN_MODEL_PIPE_H

#include "model/record.h"

/* Where the micro-batches of a step come from. */
typedef struct {
  int64_t n_micro; /* the same on every rank */
  /** Point b at micro-batch i, which holds until the next call. 0 or an error
   *  of this rank alone. */
  int (*get)(void *arg, int64_t i, hy_batch *b);
  void *arg;
} hy_batch_source;

typedef struct {
  const hy_model *model;
  const hy_grid *grid;
  int n_ctx;
  hy_ctx *ctx;      /* the first is also that of forward passes alone */
  hy_pending *sent; /* (n_ctx) what left a context and may still be read */
  hy_pending *back; /* (n_ctx) gradient of what went to the next stage */
  /* micro-batches that wait for a context, in turn */
  int n_slot;
  hy_batch *room, *batch; /* (n_slot) memory of copies, and the copies */
  void *inbox;            /* n_slot times `bytes` from the stage before, in
                             backend memory */
  size_t bytes;
  hy_pending *here; /* (n_slot) that it has come */
  hy_recorder recorder;
} hy_pipe;

/** Contexts for micro-batches of n_rows rows of seq_len tokens, as many as this
 *  stage has in flight of n_micro; `what` as in workspace.h. 0 or HY_ERES. Not
 *  collective. */
int hy_pipe_new(hy_pipe *p, const hy_model *m, const hy_grid *grid,
                int n_threads, int64_t n_rows, int64_t seq_len, int what,
                int64_t n_micro);
void hy_pipe_free(hy_pipe *p);

/** Forward and backward of all micro-batches of src, or with train = 0 forward
 *  with the loss of the next token alone. Adds this rank's sums to *l.
 *  \param last  [out] some micro-batch, for its denominators
 *  Collective over grid->world. \return 0 or what src gave, the same on every
 *  rank; with more than one stage such an error ends the run. */
int hy_pipe_run(hy_pipe *p, const hy_batch_source *src, int train, hy_losses *l,
                hy_batch *last);

/** Record micro-batches of training and play them again, from the second step
 *  on. 0 or HY_EDECK (hy_recorder_check). Not collective. */
int hy_pipe_record(hy_pipe *p);

/** What leaves a stage after forward and after backward of c, to the stages
 *  behind and before it. A dry context only counts. Not a barrier. */
void hy_pipe_send_on(const hy_ctx *c, hy_pending *p);
void hy_pipe_send_back(const hy_ctx *c, hy_pending *p);

/** Bytes outside the arenas that hy_pipe_new takes, for a planned context. */
size_t hy_pipe_bytes(const hy_ctx *plan, int n_ctx);

#endif
