/* rows.h: where the rows of a batch come from, one face for all of them:
 * packed files, Megatron's indexed data, random tokens. */
#ifndef HYMN_DATA_ROWS_H
#define HYMN_DATA_ROWS_H

#include "data/packed.h"

typedef struct hy_rows hy_rows;

/* What a kind of source does; rows_packed.c, rows_indexed.c, rows_mock.c. A
 * thread of the loader may call row and pairs, never two at a time: no MPI. */
typedef struct {
  const char *name; /* "packed", "indexed", "mock" */
  /** Read row i, 0 .. n_rows-1, of an epoch into arrays of seq_len; epoch < 0:
   *  in the order of the file. Near the end of an epoch calls for it and for
   *  the next one alternate. Allocates nothing but when an epoch begins. Not
   *  collective. \return 0, HY_EDATA. */
  int (*row)(hy_rows *r, int64_t epoch, int64_t i, hy_row *out);
  /** Squared lengths of the documents in a row, summed: what attention costs.
   */
  double (*pairs)(hy_rows *r, int64_t epoch, int64_t i);
  void (*free)(hy_rows *r); /* of state */
} hy_rows_type;

/* A source. hy_rows_open sets path and seed, the kind all else. */
struct hy_rows {
  const hy_rows_type *type;
  char *path;
  int64_t n_rows;  /* of an epoch; -1: without end, all in epoch 0 */
  int64_t seq_len; /* of the rows */
  int64_t vocab;   /* ids are below; 0: not known */
  uint64_t seed;
  int shuffle;
  char hash[HY_SHA_HEX];     /* of the content, "mock" for mock */
  char tok_hash[HY_SHA_HEX]; /* of the tokenizer, "" where not known */
  char *lineage; /* of the content, a JSON list from the heap; NULL: none */
  void *state;   /* of the kind */
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

/** Open a source by what its path names: "mock", Megatron's indexed data, else
 *  a packed file. Collective over comm. \return 0, HY_EFILE, HY_EDATA (the
 * file; its vocabulary is larger than the model's), HY_EDECK (seq_len), the
 * same on every rank; on error *r is NULL. */
int hy_rows_open(hy_rows **r, const char *path, const hy_rows_keys *keys,
                 const hy_comm *comm);
void hy_rows_free(hy_rows *r);

/** 1 if what a path names knows the length of its rows; else
 *  hy_rows_keys.seq_len has to. */
int hy_rows_know_length(const char *path);

/** Which of 0 .. n-1 stands at place i of a random order that needs no table.
 *  \param key  hy_rng_key of a seed and a name
 *  Not collective. */
int64_t hy_shuffled(uint64_t key, int64_t i, int64_t n);

/** hy_shuffled with the key of an epoch of r; i itself without shuffle and for
 *  epoch < 0. */
int64_t hy_rows_place(const hy_rows *r, int64_t epoch, int64_t i, int64_t n);

/** The kinds, for hy_rows_open; comm as there. */
int hy_rows_open_packed(hy_rows *r, const hy_rows_keys *keys,
                        const hy_comm *comm);
int hy_rows_open_indexed(hy_rows *r, const hy_rows_keys *keys,
                         const hy_comm *comm);
int hy_rows_open_mock(hy_rows *r, const hy_rows_keys *keys,
                      const hy_comm *comm);

#endif
