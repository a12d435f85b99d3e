/* source.h: model.from, whatever it names: a weight folder, a checkpoint, a
 * run directory, or hub:owner/name in the local hub cache. */
#ifndef HYMN_IO_SOURCE_H
#define HYMN_IO_SOURCE_H

#include "base/hash.h"
#include "io/hf.h"
#include "model/params.h"

/** Find model.from and fill the &model keys that neither deck nor command line
 *  gave from its config.json or from the deck stored in the checkpoint.
 *  hub:owner/name in model.from becomes the folder of the cache (under
 *  HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub); nothing is ever
 *  downloaded. Does nothing when model.from is empty.
 *  Collective over world; the deck is the same on every rank afterwards.
 *  \return 0, HY_EFILE (not there, neither folder nor checkpoint), HY_EDATA,
 *          HY_EDECK. */
int hy_source_resolve(hy_deck *d, const hy_comm *world);

/** The same on one process, for --dry-run. Not collective. */
int hy_source_find(hy_deck *d);

/** Fill p from model.from, which hy_source_resolve has seen. Collective over
 *  grid->world. \return as hy_hf_import and hy_ckpt_read. */
int hy_source_load(hy_params *p, const hy_deck *d, const hy_grid *grid);

/* What an output of the model should carry on. */
typedef struct {
  char kind[32];            /* "weight folder", "checkpoint" */
  char content[HY_SHA_HEX]; /* hash of the model as loaded */
  char *config;             /* config.json text */
  char *lineage;            /* JSON list: this source and what made it */
  char *folder;             /* where its tokenizer files are */
  hy_fmt *fmt;              /* by spec: format in the folder it came from */
  int64_t n_tensor;         /* of a weight folder */
} hy_source_info;

/** As hy_source_load, and tell about it: the same on every rank. On error
 *  *info is empty. */
int hy_source_load_info(hy_params *p, const hy_deck *d, const hy_grid *grid,
                        hy_source_info *info);
void hy_source_info_free(hy_source_info *info);

/* A model that is only stored, not run: what import and export hold. */
typedef struct {
  hy_plan plan;
  hy_params params;
  hy_source_info info;
} hy_stored;

/** Resolve model.from, make room and load. Collective over grid->world; the
 *  same code on every rank; hy_stored_free follows in any case.
 *  \return as hy_source_resolve, hy_source_load_info, HY_EDECK (layout),
 * HY_ERES. */
int hy_stored_open(hy_stored *s, hy_deck *d, const hy_grid *grid);
void hy_stored_free(hy_stored *s);

#endif
