/* ckpt.h: checkpoints, one HDF5 file each, written by all ranks at once.
 *
 *   /model/NAME     float32, GLOBAL tensors under hub names; the experts of a
 *                   layer stacked, attributes hub_name ("...experts.%d...")
 *                   and n_experts; the fp32 master and the statistics
 *   /optim/m/NAME   first and second moments of trained tensors (absent in a
 *   /optim/v/NAME   checkpoint that was imported)
 *   /state          attributes: step, samples, tokens, epoch, cursor, seed and
 *                   whatever the run adds
 *
 * Each dataset has the attribute checksum (hy_checksum over global element
 * numbers), which is the same for every layout. The root has deck, config,
 * pattern, layout, code, lineage and content, the hash of names, shapes and
 * checksums of /model. In front lies a block of text (HDF5 userblock) with the
 * size of the file, the place of each dataset and the hash of all other bytes;
 * it is checked before HDF5 sees the file. The same state under the same
 * layout gives the same bytes. */
#ifndef HYMN_IO_CKPT_H
#define HYMN_IO_CKPT_H

#include "base/hash.h"
#include "model/params.h"

enum { HY_CKPT_MAX_EXTRA = 32, HY_CKPT_NAME_LEN = 32 };

/* A number that a run keeps beside the fixed ones. */
typedef struct {
  char name[HY_CKPT_NAME_LEN];
  int is_real;
  int64_t i; /* one of the two */
  double r;
} hy_ckpt_extra;

typedef struct {
  int64_t step;          /* optimizer updates done */
  int64_t samples;       /* rows seen */
  int64_t tokens;        /* tokens seen */
  int64_t epoch, cursor; /* place in the training data */
  int64_t seed;
  int n_extra;
  hy_ckpt_extra extra[HY_CKPT_MAX_EXTRA];

  /* Only for writing; the caller's, any may be NULL. */
  const char *config;  /* config.json text whose further keys are kept */
  const char *lineage; /* JSON list of the inputs (base/lineage.h) */
  const hy_fmt *fmt;   /* by spec: format in the folder it came from */

  int has_optim; /* [out] of reading: moments were there */
} hy_ckpt_state;

/** Set and get an extra number; get returns dflt when there is none. Names
 *  that are too long or too many: HY_EBUG. Not collective. */
int hy_ckpt_set_i64(hy_ckpt_state *st, const char *name, int64_t x);
int hy_ckpt_set_f64(hy_ckpt_state *st, const char *name, double x);
int64_t hy_ckpt_get_i64(const hy_ckpt_state *st, const char *name,
                        int64_t dflt);
double hy_ckpt_get_f64(const hy_ckpt_state *st, const char *name, double dflt);

/** Write dir/step_NNNNNNN.h5: temporary name, sync, rename, then dir/latest,
 *  then removal of older checkpoints beyond the newest `keep` (0: keep all;
 *  those of later steps are left alone). Every rank writes what it owns.
 *  \param m, v  moments, whole arrays (p->zero 0) or arrays of own ranges;
 *               both or neither NULL
 *  Collective over grid->world.
 *  \return 0, HY_EFILE, HY_ERES (disk full), the same on every rank; on error
 *          earlier checkpoints and latest are as before and no partial file is
 *          left. */
int hy_ckpt_write(const char *dir, const hy_params *p, const float *m,
                  const float *v, const hy_ckpt_state *st, const hy_deck *deck,
                  const hy_grid *grid, int keep);

/* A checkpoint that is written while the training goes on. */
typedef struct hy_ckpt_save hy_ckpt_save; /* fields in ckpt_save.c */

/** As hy_ckpt_write, but return when a private copy of the state is made: a
 *  thread of each rank does the rest. *s must be NULL. deck is only read here;
 *  p and what st points to must outlive the save, though weights and moments
 *  may change. No other function of HDF5 may be called until it is done.
 *  Collective over grid->world. \return 0, HY_ERES. */
int hy_ckpt_save_begin(hy_ckpt_save **s, const char *dir, const hy_params *p,
                       const float *m, const float *v, const hy_ckpt_state *st,
                       const hy_deck *deck, const hy_grid *grid, int keep);

/** Go on with it where all ranks' threads are ready, without waiting for them;
 *  *s is NULL when it is done, as when there was none. Collective.
 *  \return 0 (done, or not yet), else as hy_ckpt_write. */
int hy_ckpt_save_poll(hy_ckpt_save **s);

/** The same, but wait until it is done. */
int hy_ckpt_save_wait(hy_ckpt_save **s);

/** Forget a save after an error of something else: wait for this rank's thread
 *  and leave no partial file of rank 0. Not collective. */
void hy_ckpt_save_drop(hy_ckpt_save **s);

/** Read parameters, and moments where m and v are not NULL; any layout reads
 *  any layout's file. Moments that the file lacks become 0 (st->has_optim).
 *  \param st  [out] may be NULL
 *  Collective over grid->world.
 *  \return 0; HY_EFILE (missing, cut short); HY_EDATA: damaged (naming the
 *          tensor, or all that is not tensor data), or of another model (the
 *          pattern or first tensor that differs, and both values). The same
 *          on every rank; on error *p, m and v are undefined. */
int hy_ckpt_read(hy_params *p, float *m, float *v, hy_ckpt_state *st,
                 const char *path, const hy_grid *grid);

/** Check the block in front and everything it hashes, not the tensor data.
 *  Not collective.
 *  \return 0, HY_EFILE (missing, no checkpoint, cut short), HY_EDATA. */
int hy_ckpt_verify(const char *path);

/** Read all tensors and compare their checksums, on one process. Not
 *  collective. \return 0, HY_EFILE, HY_EDATA (naming the tensor). */
int hy_ckpt_rehash(const char *path);

/** 1 if the file begins as a checkpoint does. Not collective. */
int hy_ckpt_is(const char *path);

/** The file that a path and a step stand for; the caller frees *path. A file
 *  is itself. In a directory step > 0 is exactly that step; 0 is what `latest`
 *  names, and when that file is missing or damaged the newest one that is
 *  whole (with a note on stderr). Not collective.
 *  \return 0, HY_EFILE (nothing there, no such step), HY_EDATA. */
int hy_ckpt_find(char **path, const char *dir_or_file, int64_t step);

/** As hy_ckpt_find; rank 0 looks, every rank gets the path. Collective. */
int hy_ckpt_find_shared(char **path, const char *dir_or_file, int64_t step,
                        const hy_comm *comm);

/** Texts of a checkpoint: "deck", "config", "pattern", "layout", "code",
 *  "lineage", "content". Verifies the file. Not collective.
 *  \return 0, HY_EFILE, HY_EDATA. */
int hy_ckpt_text(hy_buf *out, const char *path, const char *name);

/** The resolved deck that a checkpoint stores; as hy_ckpt_text. */
int hy_ckpt_deck(hy_buf *text, const char *path);

/** Format in the folder that each tensor of the plan came from (fp32 where
 *  unknown) into fmt[0 .. n_spec). Not collective. \return as hy_ckpt_text. */
int hy_ckpt_formats(hy_fmt *fmt, const hy_plan *plan, const char *path);

/** Print what a checkpoint holds, for hymn --inspect; reads the headers, not
 *  the tensor data. Not collective. \return as hy_ckpt_verify. */
int hy_ckpt_inspect(const char *path, FILE *out);

/** Hash of names, shapes and values of the model, the same for every layout
 *  and for the weight folder it came from. Collective over grid->world. */
void hy_ckpt_content(const hy_params *p, const hy_grid *grid,
                     char hex[HY_SHA_HEX]);

#endif
