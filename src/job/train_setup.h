/* train_setup.h: everything a training run holds, made from its deck. */
#ifndef HYMN_JOB_TRAIN_SETUP_H
#define HYMN_JOB_TRAIN_SETUP_H

#include "job/train_data.h"
#include "deck/deck.h"
#include "grid/grid.h"
#include "io/ckpt.h"
#include "io/history.h"
#include "io/source.h"
#include "job/train_meter.h"
#include "model/workspace.h"
#include "optim/trainer.h"

typedef struct {
  hy_deck *deck;
  const hy_grid *grid;
  int n_threads;
  hy_model model;
  hy_trainer trainer;
  hy_loader *train, *valid, *test; /* NULL without data.valid, data.test */
  hy_history *history;             /* rank 0 */
  hy_ckpt_state state;             /* as read; extra numbers travel on */
  hy_source_info source;           /* config, lineage and formats to carry on */
  int64_t seq_len;
  int64_t step, samples, tokens;  /* done so far */
  int64_t first_step;             /* done before this start */
  int64_t saved;                  /* step of the newest checkpoint */
  hy_ckpt_save *save;             /* under way beside the steps; NULL: none */
  int64_t save_step;              /* its step; -1: told already */
  double save_begun, save_copied; /* when; seconds the training stood still */
  double flops_per_token;         /* forward and backward */
  size_t model_bytes;
  double born;        /* when setup began */
  size_t base_mem;    /* bytes taken before the model */
  double mark, since; /* time of the last line; tokens since then */
  int64_t mark_step;
  double first_valid, last_valid, test_loss;
  double in_steps; /* seconds of all steps of this start */
  hy_step_meter meter; /* of the steps of this start */
} hy_train;

/** Resolve and check the deck, open the data, make the model and load what it
 *  starts from, open the history. Collective; the same code on every rank.
 *  \return 0, HY_EDECK, HY_EFILE, HY_EDATA, HY_ERES. */
int hy_train_setup(hy_train *r, hy_deck *deck, const hy_grid *grid);
void hy_train_free(hy_train *r);

/** Write a checkpoint of the current state; with ckpt.async only begin to, when
 *  the one under way has ended. Collective. \return as hy_ckpt_write, also for
 *  the one before. */
int hy_train_save(hy_train *r);
/** The same, if job.dir has no checkpoint of this step yet: of a run that has
 * no step left to do and was resumed from elsewhere. */
int hy_train_save_last(hy_train *r);
/** At a border between steps: let the save under way go on; or wait for its
 *  end. Collective. \return 0, or why it failed. */
int hy_train_save_go_on(hy_train *r);
int hy_train_save_wait(hy_train *r);

/** Write the current state into dir as a checkpoint, the newest `keep` stay
 *  (0: all). Collective. */
int hy_train_write(hy_train *r, const char *dir, int keep);

#endif
