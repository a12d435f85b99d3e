/* adamw.h: AdamW on the fp32 master, with a global-norm clip. */
#ifndef HYMN_OPTIM_ADAMW_H
#define HYMN_OPTIM_ADAMW_H

#include "model/params.h"

typedef struct {
  float *m, *v; /* moments: with zero 0 whole arrays, else own ranges */
  double beta1, beta2, eps, weight_decay, clip;
} hy_adamw;

/** Zero moments; 0 or HY_ERES. Not collective. */
int hy_adamw_new(hy_adamw *a, const hy_params *p);
void hy_adamw_free(hy_adamw *a);
/** The constants of &optim. */
void hy_adamw_set(hy_adamw *a, const hy_deck_optim *d);

/** sqrt of the sum of squares of all gradients, each element of the model
 *  once; the same bits on every rank. Not finite if a gradient is not.
 *  Collective over grid->world. */
double hy_grad_norm(const hy_params *p, const hy_grid *grid);

/** Name of a parameter of this rank with a gradient that is not finite, NULL
 *  if there is none. Not collective. */
const char *hy_grad_bad(const hy_params *p);
/** The same of parameter i alone: 1 if it has one. */
int hy_grad_is_bad(const hy_params *p, int i);

/** One update, step t = 1, 2, ...; gradients are scaled by
 *  min(1, clip/(norm + 1e-6)) on the way:
 *    w -= rate decay w                     (matrices only)
 *    m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2
 *    w -= rate (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + eps)
 *  of what the moments have; hy_store_share does the rest. Not collective.
 *  Source: Loshchilov and Hutter 2019, arXiv:1711.05101. */
void hy_adamw_step(hy_adamw *a, hy_params *p, int64_t t, double rate,
                   double norm, int n_threads);

#endif
