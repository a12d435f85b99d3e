/* train_data.h: the data of a training: opening them, what is told of them,
 * and what a checkpoint remembers of them. */
#ifndef HYMN_JOB_TRAIN_DATA_H
#define HYMN_JOB_TRAIN_DATA_H

#include "data/batch.h"
#include "layer/plan.h"

/** Open data.train, data.valid and data.test.
 *  \param l    [out] by hy_part; NULL where the deck names none, all on error
 *  \param dp   as hy_loader_new
 *  \param cut  as hy_loader_new
 *  Collective over dp. \return as hy_loader_new, HY_EDECK where rows differ in
 *  length, HY_EDATA where tokenizers differ; the same on every rank. */
int hy_data_open(hy_loader *l[3], const hy_deck *d, int n_ahead,
                 const hy_comm *dp, const hy_cut_layout *cut);

/** Tell the loader what rows cost this model, for data.balance. */
void hy_data_cost(hy_loader *l, const hy_plan *plan);

/** Refuse data that were made with another tokenizer than the one in the folder
 *  of a model; one of them may be unknown. Not collective. \return 0, HY_EDATA
 *  or HY_EFILE. */
int hy_data_check_tokenizer(const hy_loader *l, const char *folder);

/** Refuse other data than those in the lineage of a checkpoint.
 *  \param lineage  of the checkpoint at `path`
 *  Not collective. \return 0, HY_EDATA */
int hy_data_check_same(const hy_loader *l, const char *lineage,
                       const char *path);

/** Refuse keys of &data that give another order of rows than the deck stored in
 *  a checkpoint. Not collective. \return 0, HY_EDECK, as hy_ckpt_deck */
int hy_data_check_keys(const hy_deck *d, const char *path);

/** Print how many rows of each source the rows of n_steps steps of data.train
 *  are; with `seen` the tokens read of each in this start too. Nothing for mock
 *  data, and for more rows than can be counted. */
void hy_data_print(const hy_loader *l, const hy_deck_data *d, int64_t n_steps,
                   int seen);

#endif
