/* record.h: the kernels of a micro-batch, recorded once and played again where
 * a backend can do that (CUDA graphs). What changes from one micro-batch to the
 * next lies in columns at fixed addresses (op/columns.h). */
#ifndef HYMN_MODEL_RECORD_H
#define HYMN_MODEL_RECORD_H

#include "model/model.h"

enum { HY_N_RECORDING = 2 };

/* Of micro-batches of one shape. */
typedef struct {
  hy_recording *play; /* of the backend; NULL: nothing yet */
  int64_t n_rows, n_tokens;
  unsigned char *has; /* by spec: what the piece leaves in hy_tensor.has */
} hy_recorded;

typedef struct {
  int on;
  hy_recorded of[HY_N_RECORDING]; /* the first of a step, which replaces the
                                     gradients; the others, which add */
} hy_recorder;

/** 0, or HY_EDECK: the layout needs messages inside a micro-batch, or the
 *  backend has no recordings. Not collective. */
int hy_recorder_check(const hy_model *m, const hy_grid *grid);

/** Forward and backward of c->batch: run, or played. A micro-batch of another
 *  shape than the recorded one is run.
 *  \param first  of its step
 *  \param l      the same address in every call; in backend memory */
void hy_record_micro(hy_recorder *r, hy_ctx *c, const hy_model *m, int first,
                     hy_losses *l);
void hy_recorder_free(hy_recorder *r, const hy_backend *be);

#endif
