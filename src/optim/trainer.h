/* trainer.h: one optimizer step, from micro-batches to updated weights. */
#ifndef HYMN_OPTIM_TRAINER_H
#define HYMN_OPTIM_TRAINER_H

#include "model/pipe.h"
#include "model/store.h"
#include "optim/adamw.h"

/* What the micro-batches of a step add to. */
typedef struct {
  hy_losses loss;
  float margin; /* smallest of the routers here */
  float infinity;
} hy_step_sums;

typedef struct {
  hy_model *model;
  const hy_grid *grid;
  int n_threads;
  hy_pipe pipe;
  hy_ctx *ctx; /* (pipe.n_ctx) of the pipe */
  hy_adamw opt;
  hy_store store;
  /* in backend memory: */
  float *scratch; /* HY_BUCKET floats for the sums */
  int64_t *count; /* (n_layer_all, n_experts) tokens routed in this step */
  hy_step_sums *sums;
  int64_t *seen; /* count as the host has read it */
} hy_trainer;

typedef struct {
  double loss;              /* next token, mean over the global batch */
  double mtp[HY_AHEAD_MAX]; /* same for each prediction depth */
  double aux;               /* balance loss, as it enters the total */
  double norm;              /* of the gradient, before clipping */
  double tokens;            /* that are not padding, over all ranks */
  double own_loss;          /* sum over the targets of this rank alone */
  double max_vio;           /* largest max/mean - 1 of tokens per expert */
  double margin;            /* smallest distance by which any token chose its
                               experts; INFINITY: it had no choice */
} hy_step_result;

/** Moments, arenas and buffers for steps of n_micro micro-batches of n_rows
 *  rows; `what` as in workspace.h. 0 or HY_ERES. Not collective. */
int hy_trainer_new(hy_trainer *t, hy_model *m, const hy_grid *grid,
                   int n_threads, int64_t n_rows, int64_t seq_len, int what,
                   int64_t n_micro);
void hy_trainer_free(hy_trainer *t);

/** Record micro-batches and play them again; the sums of gradients then follow
 *  the last one. 0 or HY_EDECK (hy_recorder_check). Not collective. */
int hy_trainer_record(hy_trainer *t);

/** Gradient of the global batch, clip, update number `step` (1-based) at this
 *  rate, router bias update. A loss or gradient that is not finite:
 *  HY_EDIVERGED naming step and tensor, before anything is updated.
 *  Collective over grid->world; the same code on every rank. */
int hy_trainer_step(hy_trainer *t, const hy_batch_source *src, int64_t step,
                    double rate, hy_step_result *r);

/** Mean loss of the next token over the micro-batches of src, no update.
 *  Collective over grid->world. */
int hy_trainer_valid(hy_trainer *t, const hy_batch_source *src, double *loss);

#endif
