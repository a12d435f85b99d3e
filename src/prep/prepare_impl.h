/* prepare_impl.h: inside the job prepare; only prepare*.c include it.
 *
 * Shards are tokenized into parts (prepare_shards.c), documents of all parts
 * are counted and dealt to files and windows (prepare_units.c,
 * prepare_window.c), windows are packed and written (prepare_write.c). Nothing
 * of it depends on the number of ranks, or on where the shards are cut. */
#ifndef HYMN_PREP_PREPARE_IMPL_H
#define HYMN_PREP_PREPARE_IMPL_H

#include "data/packed.h"
#include "prep/curate.h"
#include "prep/input.h"
#include "prep/pack.h"
#include "prep/part.h"
#include "prep/prepare.h"
#include "prep/reader.h"

enum { HY_SPLIT_N = 3 }; /* train, valid, test */
extern const char *const hy_split_name[HY_SPLIT_N];

typedef struct {
  int input;
  int64_t number; /* of the shards of the input */
  double bytes;   /* about, of the input */
  int owner;      /* rank */
  int64_t n_docs, n_tokens;
  int64_t n_units[HY_SPLIT_N];    /* that stay, by file */
  int64_t unit_first[HY_SPLIT_N]; /* number of the first of them in its file */
  int64_t kept_first;             /* likewise before they are dealt to files */
} hy_prep_shard;

typedef struct {
  hy_input in;
  int64_t n_docs, n_tokens, n_bad;
} hy_prep_source;

/* One of the files that are written. */
typedef struct {
  char *path; /* with .h5, or without .idx */
  int64_t n_units, n_docs, n_tokens, n_rows;
  hy_tally notes; /* about units that were longer than a row */
  char hash[HY_SHA_HEX];
} hy_prep_file;

typedef struct {
  const hy_deck *deck;
  const hy_deck_prepare *d;
  const hy_comm *comm;
  double begun;

  hy_prep_source *src;
  int n_src;
  hy_tok *tok; /* NULL: all input is ids */
  const hy_chat *chat;
  hy_reader *reader;
  hy_curate *curate;
  int filters;        /* curation looks at the text of documents */
  int32_t eos;        /* -1: none */
  int64_t vocab, top; /* ids are < vocab; the largest id met */
  hy_packing packing;

  char *dir; /* of the parts */
  char run[HY_SHA_HEX];
  hy_prep_shard *shard;
  int64_t n_shards, n_again; /* of them taken from an earlier run */
  int weights;               /* some weight is not 1 */
  hy_tally dropped, notes;

  int64_t n_kept;                   /* units that stay */
  int64_t split_at[HY_SPLIT_N + 1]; /* of their random order, by file */
  hy_prep_file file[HY_SPLIT_N];
  int n_files;
  int was_done; /* by an earlier run: only file[] is filled */
} hy_prep;

/* prepare.c */

/** Do the whole job; *p holds what came out until hy_prep_free.
 *  \param done  file that remembers what was made; when it says that the
 * outputs are there already they stay (p->was_done). NULL: none Collective over
 * comm. \return as hy_prepare. */
int hy_prep_run(hy_prep *p, const hy_deck *deck, const hy_comm *comm,
                const char *done);
void hy_prep_free(hy_prep *p);

/* prepare_blend.c */

/** The job for prepare.blend. Collective over comm. \return as hy_prepare. */
int hy_prep_blend(const hy_deck *deck, const hy_comm *comm, FILE *report);

/* prepare_done.c */

/** Do the outputs exist, made of the same? Then p->was_done, and file[] is
 *  filled. Collective. */
void hy_prep_done_read(hy_prep *p, const char *path);
/** Remember them. Rank 0. \return 0, HY_EFILE, HY_ERES. */
int hy_prep_done_write(const hy_prep *p, const char *path);

/* prepare_setup.c */

/** Check the keys, open what they name, find and measure the inputs.
 *  Collective. \return 0, HY_EDECK, HY_EFILE, HY_EDATA. */
int hy_prep_setup(hy_prep *p);
/** Remove the folder of the parts, rank 0. */
void hy_prep_clear(const hy_prep *p);

/* prepare_head.c */

/** Set p->run, the hash of all that a part depends on but its input. */
void hy_prep_run_hash(hy_prep *p);
/** Hash of all that the outputs depend on. */
void hy_prep_whole_hash(const hy_prep *p, char hash[HY_SHA_HEX]);
/** What a file tells of itself; texts are freed by hy_prep_head_free. */
void hy_prep_head(const hy_prep *p, int f, hy_packed_head *head);
void hy_prep_head_free(hy_packed_head *head);
/** Files beside indexed data with the same, and its lineage. \return 0,
 *  HY_EFILE, HY_ERES. */
int hy_prep_side_files(const hy_prep *p, int f, const hy_packed_head *head);

/* prepare_shards.c */

/** Cut the measured inputs into shards and deal them to ranks. */
void hy_prep_deal(hy_prep *p);
/** Tokenize own shards, or take what an earlier run has left. Collective. */
int hy_prep_shards(hy_prep *p);

/* prepare_units.c */

/* Tokens of a part that lie together. */
typedef struct {
  int64_t shard, at, n;
} hy_piece_at;

/* What stays in one row and one file: a document and those bound to it. */
typedef struct {
  hy_piece_at *piece; /* documents */
  int n, cap;
  int64_t n_tokens;
} hy_unit;

typedef struct hy_units hy_units;

/** Units of a shard that stay, in order. Not collective. */
int hy_units_open(hy_units **u, const hy_prep *p, int64_t shard);
/** *more is 0 after the last. */
int hy_units_next(hy_units *u, hy_unit **unit, int *more);
/** Units so far that were left out as longer than a row. */
int64_t hy_units_long(const hy_units *u);
void hy_units_close(hy_units *u);

/** The file of kept unit i. */
int hy_prep_split_of(const hy_prep *p, int64_t i);
/** Find duplicates, count units and deal them to files. Collective. */
int hy_prep_count(hy_prep *p);

/* prepare_window.c */

/* Some units of a file, packed: documents in the order of the file. */
typedef struct {
  hy_piece_at *piece; /* (n_pieces) documents of units, unit after unit */
  int64_t *unit;      /* (n_units + 1) first piece of each */
  int64_t *order;     /* (n_units) */
  int64_t *first;     /* (n_groups + 1) in order: rows, or single units where
                         documents form one stream */
  int64_t n_pieces, n_units, n_groups, n_tokens;
  int64_t cap_pieces, cap_units;
  int64_t n_cut, n_lost, n_split; /* units cut off, their tokens lost; split */
} hy_window;

/* Units of a window: enough for good packing, few enough for any memory. */
#define HY_WINDOW_UNITS 16384

/** Units number * HY_WINDOW_UNITS .. of file f, packed; *w is used again. Not
 *  collective. \return 0, HY_EFILE. */
int hy_window_load(hy_window *w, const hy_prep *p, int f, int64_t number);
void hy_window_free(hy_window *w);

/* prepare_write.c */

/** Write all files. Collective. */
int hy_prep_write(hy_prep *p);

/* prepare_report.c */

/** Lines about what was read, left out and written. Not collective. */
void hy_prep_report(const hy_prep *p, FILE *out);

#endif
