/* data/batch.h: the loader that picks the tokens of a step.
 *
 * Batches depend on (seed, step) only: for any number of dp ranks the union
 * over ranks and micro-batches is the same rows, wherever data.balance deals
 * them and whatever is read ahead. */
#ifndef HYMN_DATA_BATCH_H
#define HYMN_DATA_BATCH_H

#include "data/blend.h"
#include "data/cut.h"
#include "deck/deck.h"
#include "grid/comm.h"
#include "op/batch.h"

typedef struct hy_loader hy_loader; /* fields in batch.c */

/* Which rows: those of data.train, data.valid or data.test; of an indexed file
 * the share that data.split gives to it. */
typedef enum { HY_PART_TRAIN, HY_PART_VALID, HY_PART_TEST } hy_part;

/** A source of batches. With data.prefetch above 0 a thread reads ahead from the first
 *  hy_loader_step on; it makes no MPI calls.
 *  \param d      its mixes name no .json files any more (data/blend_file.h)
 *  \param vocab  of the model
 *  \param dp     ranks that share a global batch; ranks that differ in tp, cp
 *                or pp only are in other communicators and read the same
 *  \param cut    how ranks that read the same rows share their tokens; NULL:
 *                each has them all
 *  Collective over dp. \return 0, HY_EFILE, HY_EDATA (file, or its vocabulary
 *  larger than the model's), HY_EDECK (seq_len, grid.cp, data.switch_tokens);
 *  the same on every rank; on error *l is NULL. */
int hy_loader_new(hy_loader **l, hy_part part, const hy_deck_data *d,
                  int64_t vocab, int n_ahead, uint64_t seed, const hy_comm *dp,
                  const hy_cut_layout *cut);
void hy_loader_free(hy_loader *l);

/** What a row costs, for data.balance: so much a token, and so much a pair of
 *  tokens of one document. Before the first choice. Not collective. */
void hy_loader_cost(hy_loader *l, double per_token, double per_pair);

/** Rows of the part: until the first source is used up; -1 for mock (without
 *  end). */
int64_t hy_loader_n_rows(const hy_loader *l);
int64_t hy_loader_seq_len(const hy_loader *l);
const hy_blend *hy_loader_blend(const hy_loader *l);
/** Tokens of a source, padding not counted, in all training steps chosen so
 *  far, over all ranks. */
int64_t hy_loader_seen(const hy_loader *l, int source);

/** Seconds this rank has spent on batches so far: reading, or waiting for the
 *  thread that reads, and cutting; other ranks not waited for. */
double hy_loader_seconds(const hy_loader *l);

/** Micro-batches of the current choice of rows (before the first: of a
 *  training step), the same on all ranks: those with fewer rows get smaller or
 *  empty ones. */
int64_t hy_loader_n_micro(const hy_loader *l);

/** Choose the global batch of step (0-based): samples step*global_batch ...,
 *  each rank its share, and sum the denominators.
 *  Collective over dp. \return 0, HY_EDATA (a bad row), HY_ERES (no thread),
 *  same on every rank. */
int hy_loader_step(hy_loader *l, int64_t step);

/** Choose rows first .. first+n-1 in the order of the files, for validation.
 *  Collective over dp. \return 0, HY_EDATA, HY_EBUG (out of range). */
int hy_loader_rows(hy_loader *l, int64_t first, int64_t n);

/** Point *b at micro-batch i of the choice, in buffers of the loader that hold
 *  until the next call. Allocates nothing. b->n_rows may be less than
 *  micro_batch, or 0. Not collective. */
int hy_loader_micro(hy_loader *l, int64_t i, hy_batch *b);

#endif
