/* lr.h: the learning rate of a step. */
#ifndef HYMN_OPTIM_LR_H
#define HYMN_OPTIM_LR_H

#include "deck/deck.h"

/** Rate for the update that brings the run to `done` steps (1-based), as
 *  Megatron's scheduler gives it: counters in samples after the step.
 *    warm-up   lr done/warmup                    while done <= warmup
 *    r = (done - warmup)/(decay - warmup); lr_min + c (lr - lr_min), c:
 *    linear 1-r, cosine (1+cos pi r)/2, constant 1; lr_min after decay
 *    wsd: 1 until decay - wsd_decay, then with r in the tail: linear 1-r,
 *    cosine, exponential 2 0.5^r - 1, minus_sqrt 1 - sqrt r
 *  \param global_batch, seq_len  turn steps into optim.unit
 *  Source: Megatron-LM, optimizer_param_scheduler.py. */
double hy_lr(const hy_deck_optim *o, int64_t done, int64_t global_batch,
             int64_t seq_len);

/** 0, or HY_EDECK: warmup beyond decay, a wsd tail longer than what is left,
 *  betas not two or not below 1, lr_min above lr. */
int hy_lr_check(const hy_deck_optim *o);

#endif
