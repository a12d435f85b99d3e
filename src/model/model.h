/* model.h: the text of the model: backbone, prediction blocks, losses. */
#ifndef HYMN_MODEL_MODEL_H
#define HYMN_MODEL_MODEL_H

#include "model/params.h"
#include "op/tape.h"

typedef struct {
  const hy_cfg *cfg;
  hy_plan plan;
  hy_params params;
  hy_tensor **weight; /* by spec index, what a context takes */
  char recompute[8];  /* letters of the layers that run again in backward */
} hy_model;

/* Plain sums over the tokens of this rank since the caller cleared them. */
typedef struct {
  double ce;                /* next token, weighted */
  double mtp[HY_AHEAD_MAX]; /* depth k at [k-1] */
  double aux;               /* balance loss, with coefficient and 1/n_docs */
} hy_losses;

/** Plan and empty parameters of the architecture; cfg must outlive the model.
 *  0, HY_EDECK (architecture or layout), HY_ERES. Not collective. */
int hy_model_new(hy_model *m, const hy_cfg *cfg, const hy_grid *grid,
                 int with_grad);
/** With gradients, for optim.zero = how, perhaps | HY_OFFLOAD: 3 keeps own
 *  ranges of weights and gradients only, and is the same as 0 where nothing has
 *  replicas. */
int hy_model_new_zero(hy_model *m, const hy_cfg *cfg, const hy_grid *grid,
                      int how);
/** Shapes only, for a dry run: no memory for weights. */
int hy_model_plan(hy_model *m, const hy_cfg *cfg, const hy_grid *grid,
                  int with_grad);
int hy_model_plan_zero(hy_model *m, const hy_cfg *cfg, const hy_grid *grid,
                       int how);
void hy_model_free(hy_model *m);

/** Which layers keep only their input: optim.recompute, 'none', 'all' or names
 *  of layer types between commas. 0, or HY_EDECK for another word. */
int hy_model_recompute(hy_model *m, const char *words);

/** This stage's part of backbone and final norm over c->batch (token,
 *  seq_start or segments). Stages but the first read c->pipe.from and set
 *  c->pipe.in, all but the last set c->pipe.out.
 *  \return (T, d_model), NULL unless this is the last stage. Regions inside are
 *  collective. */
hy_tensor *hy_model_trunk(hy_ctx *c, const hy_model *m);

/** Output head. \param h (n, d_model) \return (n, this tp rank's share of the
 *  vocabulary), see hy_gather_cols */
hy_tensor *hy_model_logits(hy_ctx *c, const hy_model *m, hy_tensor *h);

/** The training loss of c->batch:
 *    CE/n_target + mtp_scale/depths sum_k CE_k/n_ahead_target[k] + balance,
 *  denominators of the global batch, so gradients of ranks and micro-batches
 *  simply add. Adds the plain sums to *l; with c->taping hy_backward follows.
 *  \param with_mtp  0: the next token alone (validation)
 *  Source of MTP: DeepSeek-V3, arXiv:2412.19437, section 2.2; hidden of depth
 *  0 is the one behind the final norm. */
void hy_model_loss(hy_ctx *c, const hy_model *m, int with_mtp, hy_losses *l);

/** Sums of all ranks, each token and layer once, the same bits everywhere.
 *  Collective over grid->world. */
void hy_losses_sum(hy_losses *l, const hy_grid *grid);

#endif
