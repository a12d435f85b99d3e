/* update.h: what follows the micro-batches of a step: sums of gradients over
 * ranks, clip, AdamW, router biases. */
#ifndef HYMN_OPTIM_UPDATE_H
#define HYMN_OPTIM_UPDATE_H

#include "optim/trainer.h"

/** Tokens are counted for so many routers times experts. */
size_t hy_update_n_count(const hy_model *m);

/** Before the first of n_micro micro-batches: gradients and counts of the last
 *  step are forgotten. Not collective. */
void hy_update_begin(hy_trainer *t, int64_t n_micro);

/** After the last one: sum gradients, clip, update number `step` at this rate,
 *  router bias update.
 *  \param r  loss and aux set, the same on every rank; norm and max_vio are
 *            set here
 *  A loss or gradient that is not finite: HY_EDIVERGED, nothing is updated.
 *  Collective over grid->world; the same code on every rank. */
int hy_update(hy_trainer *t, int64_t step, double rate, hy_step_result *r);

/* Bytes of a rank's states. */
typedef struct {
  double weights; /* as layers read them, with what is not trained */
  double master;  /* 0: the weights are it */
  double gradients, moments;
  double buffers; /* of sums, with zero 3 of gathered units, of offload */
  double host;    /* master and moments in memory of the host */
} hy_state_bytes;

/** What the states of m take; of a planned context or a real one the buffers
 *  of its units are in ctx->unit_bytes. A planned model will do. What one
 *  update sends is added to the meter of grid, which is a dry one. Not
 *  collective. */
void hy_update_plan(hy_state_bytes *b, const hy_model *m, const hy_grid *grid,
                    size_t unit_bytes);

/** bias[e] += rate sign(mean(count) - count[e]) for every router.
 *  \param count (n_layer_all, n_experts), summed over the global batch, in
 *                backend memory
 *  Source: Wang et al. 2024, arXiv:2408.15664, algorithm 1. */
void hy_bias_update(hy_params *p, const int64_t *count, double rate);

#endif
