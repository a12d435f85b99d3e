/* workspace.h: memory of a step, found by walking the program without it. */
#ifndef HYMN_MODEL_WORKSPACE_H
#define HYMN_MODEL_WORKSPACE_H

#include "model/model.h"

enum {
  HY_WS_TRAIN = 1, /* forward and backward of the training loss */
  HY_WS_VALID = 2, /* loss of the next token without backward */
  HY_WS_WORST = 4  /* with grid.ep: memory for any routing, not the expected */
};

/** Run the program of a micro-batch of n_rows rows of seq_len tokens through
 *  the dry backend. plan->act.peak, ->turn[].peak and ->host.peak are then the
 *  bytes a real context needs, plan->cost what it computes and plan->sent what
 *  this rank sends (of the training program if that is asked for). Free plan
 * with hy_ctx_free. Not collective.
 */
void hy_workspace_plan(hy_ctx *plan, const hy_model *m, const hy_grid *grid,
                       int n_threads, int64_t n_rows, int64_t seq_len,
                       int what);

/** A context of the CPU backend with that much memory; with grid.ep room for
 *  the worst routing, of which only what is used costs. 0 or HY_ERES. */
int hy_workspace_new(hy_ctx *c, const hy_model *m, const hy_grid *grid,
                     int n_threads, int64_t n_rows, int64_t seq_len, int what);

/** Bytes used at most so far, all arenas; of a planned context: needed. */
size_t hy_workspace_bytes(const hy_ctx *c);
/** Bytes that a real context was expected to need: for an even routing. */
size_t hy_workspace_planned(const hy_ctx *c);

#endif
