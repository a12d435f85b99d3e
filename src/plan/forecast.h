/* forecast.h: what a training needs of a rank, found by walking its program
 * through the backend of shapes. */
#ifndef HYMN_PLAN_FORECAST_H
#define HYMN_PLAN_FORECAST_H

#include "model/workspace.h"

/* Kinds of memory of a rank, in the order they are printed. */
enum {
  HY_NEED_WEIGHTS, /* as layers read them */
  HY_NEED_GRADS,
  HY_NEED_MASTER,
  HY_NEED_MOMENTS,
  HY_NEED_ACT,       /* kept for backward, scratch of bodies on top */
  HY_NEED_WORKSPACE, /* gradients of activations; records */
  HY_NEED_BUFFERS,   /* columns of batches, sums over ranks */
  HY_N_NEED
};

/* Of the first rank of a stage; the others of the stage have the same up to
 * rounding. Bytes sent are those of the cp rank that sends most. */
typedef struct {
  int stage;
  double need[HY_N_NEED], sum; /* bytes where tensors live: of the GPU */
  double host;                 /* beside them, with optim.offload */
  hy_fmt act;                  /* of activations */
  int n_ctx;                   /* micro-batches in flight */
  int64_t n_micro;             /* of a step */
  int64_t n_own;               /* trained weights that it updates */
  double flops;                /* of a step, forward and backward */
  double sent[HY_N_AXES];      /* bytes to other ranks, a step */
  double calls[HY_N_AXES];     /* of collectives, a step */
  hy_work work[HY_N_WORK];     /* of a micro-batch, by intensity */
} hy_forecast;

/** Forecast for stage `stage` of the layout d->grid (n_ranks set).
 *  \param seq_len    tokens of a row
 *  \param n_threads  of a rank
 *  \return 0, HY_EDECK (architecture or layout). Not collective. */
int hy_forecast_stage(hy_forecast *f, const hy_deck *d, int stage,
                      int64_t seq_len, int n_threads);

/** What is need[kind]. */
const char *hy_need_name(const hy_forecast *f, int kind);

/** The stage that needs most memory of all. Same errors. */
int hy_forecast_largest(hy_forecast *f, const hy_deck *d, int64_t seq_len,
                        int n_threads);

#endif
