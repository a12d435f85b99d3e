/* adamw.h: AdamW on the fp32 master, with a global-norm clip. */
#ifndef HYMN_OPTIM_ADAMW_H
#define HYMN_OPTIM_ADAMW_H

#include "optim/offload.h"

typedef struct {
  float *m, *v; /* moments: with zero 0 whole arrays, else own ranges; where
                   the master is */
  double beta1, beta2, eps, weight_decay, clip;
  const hy_params *p;
  hy_runs *step; /* what an update walks; NULL with offload */
  hy_offload offload;
  hy_runs *own;  /* of the gradients, each element of the model on one rank */
  hy_runs *held; /* by spec: of the gradients, the own range of replicas */
} hy_adamw;

/** Zero moments; p has gradients and outlives a. 0 or HY_ERES. Not collective.
 */
int hy_adamw_new(hy_adamw *a, const hy_params *p);
void hy_adamw_free(hy_adamw *a);
/** The constants of &optim. */
void hy_adamw_set(hy_adamw *a, const hy_deck_optim *d);

/** sqrt of the sum of squares of all gradients, each element of the model
 *  once; the same bits on every rank. Not finite if a gradient is not.
 *  Collective over grid->world. */
double hy_grad_norm(const hy_adamw *a, const hy_grid *grid);

/** bad[i] = 1 for each parameter i (p->n) of this rank with a gradient that is
 *  not finite, else 0. \return the first of them, -1: none. Not collective. */
int hy_grad_bad(const hy_adamw *a, unsigned char *bad);

/** One update, step t = 1, 2, ...; gradients are scaled by
 *  min(1, clip/(norm + 1e-6)) on the way:
 *    w -= rate decay w                     (matrices only)
 *    m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2
 *    w -= rate (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + eps)
 *  of what the moments have; hy_store_share_* do the rest. Not collective.
 *  Source: Loshchilov and Hutter 2019, arXiv:1711.05101. */
void hy_adamw_step(hy_adamw *a, int64_t t, double rate, double norm,
                   int n_threads);

#endif
