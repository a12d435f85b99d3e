/* rows.h: where the rows of a batch come from, one face for all of them:
 * packed files, Megatron's indexed data, random tokens. */
#ifndef HYMN_DATA_ROWS_H
#define HYMN_DATA_ROWS_H

#include "data/packed.h"

typedef struct hy_rows hy_rows;

/* What a kind of source does; rows_packed.c, rows_indexed.c, rows_mock.c. */
typedef struct {
  const char *name; /* "packed", "indexed", "mock" */
  /** Read one row into arrays of seq_len; allocates nothing but when an epoch
   *  begins. Not collective. \return 0, HY_EDATA. */
  int (*row)(hy_rows *r, int64_t epoch, int64_t i, hy_row *out);
  /** Squared lengths of the documents in a row, summed: what attention costs.
   */
  double (*pairs)(hy_rows *r, int64_t epoch, int64_t i);
  void (*free)(hy_rows *r);
} hy_rows_type;

struct hy_rows {
  const hy_rows_type *type;
  char *path;
  int64_t n_rows;  /* of an epoch; -1: without end */
  int64_t seq_len; /* of the rows */
  int64_t vocab;   /* ids are below; 0: not known */
  uint64_t seed;
  char hash[HY_SHA_HEX];     /* of the content, "mock" for mock */
  char tok_hash[HY_SHA_HEX]; /* of the tokenizer, "" where not known */
  void *state;               /* of the kind */
};

/* What the deck says of a source. */
typedef struct {
  int64_t seq_len; /* 0: that of the file; needed by indexed and mock */
  int64_t vocab;   /* of the model */
  uint64_t seed;
  int shuffle;
  int cross;       /* indexed: attention, states and targets go on over the
                      borders of documents, as Megatron does unless told */
  double from, to; /* share of the documents, 0 .. 1 (data.split) */
} hy_rows_keys;

/** Open a source by what its path names. Collective over comm.
 *  \return 0, HY_EFILE, HY_EDATA, HY_EDECK, the same on every rank. */
int hy_rows_open(hy_rows **r, const char *path, const hy_rows_keys *keys,
                 const hy_comm *comm);
void hy_rows_free(hy_rows *r);

/** Place i of n in a random order that needs no table. */
int64_t hy_shuffled(uint64_t key, int64_t i, int64_t n);

/** The kinds, for hy_rows_open. */
int hy_rows_open_packed(hy_rows *r, const hy_rows_keys *keys,
                        const hy_comm *comm);
int hy_rows_open_indexed(hy_rows *r, const hy_rows_keys *keys,
                         const hy_comm *comm);
int hy_rows_open_mock(hy_rows *r, const hy_rows_keys *keys,
                      const hy_comm *comm);

#endif
