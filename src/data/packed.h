/* packed.h: the packed token file, one definition for its writer and reader.
 *
 * One long stream of tokens and an index, in a parallel HDF5 file:
 *
 *   /tokens     int32 [N]      documents one after another
 *   /doc_start  int64 [D+1]    offsets into /tokens; first 0, last N
 *   /rows       int64 [R][2]   first token, number of tokens (1..seq_len)
 *   /weight     float32 [N]    loss weight of predicting that token; absent: 1
 *
 * and attributes of the root that hold neither dates nor hosts nor folders:
 * format, version, packing, seq_len, vocab, eos, seed; tokenizer and template
 * (hashes); keys, sources, dropped, notes, lineage (JSON); content_hash, which
 * covers all of these and the datasets; code, the program that wrote it. All
 * datasets are contiguous, so a reader maps the file and never calls HDF5 in
 * the step loop. The target of a position is the next token of the same
 * document, also when that token lies beyond the end of the row. */
#ifndef HYMN_DATA_PACKED_H
#define HYMN_DATA_PACKED_H

#include "base/hash.h"
#include "base/mem.h"
#include "grid/comm.h"

#include <stdint.h>
#include <stdio.h>

typedef struct hy_packed hy_packed; /* fields in packed.c */

/** One row, in arrays of the caller with at least seq_len elements each. */
typedef struct {
  int32_t *token;     /* 0 in the padding */
  int32_t *target;    /* 0 where none */
  float *weight;      /* 0 where no target */
  int32_t *seq_start; /* first token of the token's document in this row */
  uint8_t *pad;       /* 1: padding, a document of its own */
  int64_t n_real;     /* tokens that are not padding */
  int64_t n_docs;     /* documents with a token in this row */
} hy_row;

/** Open a packed file and map it. Every rank checks its share of the index.
 *  Collective over comm; the same code on every rank.
 *  \return 0, HY_EFILE (missing, no packed file, truncated), HY_EDATA (a
 *          dataset contradicts the format; the text names it); on error *p is
 *          NULL. */
int hy_packed_open(hy_packed **p, const char *path, const hy_comm *comm);
void hy_packed_free(hy_packed *p);

/** Facts of an open file. Not collective. */
int64_t hy_packed_n_rows(const hy_packed *p);
int64_t hy_packed_n_tokens(const hy_packed *p);
int64_t hy_packed_n_docs(const hy_packed *p);
int64_t hy_packed_seq_len(const hy_packed *p);
int64_t hy_packed_vocab(const hy_packed *p); /* tokens are < this */
int32_t hy_packed_eos(const hy_packed *p);   /* -1: none was appended */
const char *hy_packed_path(const hy_packed *p);
const char *hy_packed_hash(const hy_packed *p);     /* of the content */
const char *hy_packed_tok_hash(const hy_packed *p); /* of tokenizer.json */
const char *hy_packed_lineage(const hy_packed *p);  /* as base/lineage.h */

/** Read one row. Allocates nothing. Not collective.
 *  \return 0, HY_EDATA: a token is not in the vocabulary or a weight is
 *          negative or not finite (naming row and dataset). */
int hy_packed_row(const hy_packed *p, int64_t row, hy_row *out);

/** The document that holds token i. Not collective. */
int64_t hy_packed_doc_of(const hy_packed *p, int64_t i);

/** Copy n tokens from `first` on, and the start of document d (d <= n_docs);
 *  both in range. Not collective. */
void hy_packed_tokens(const hy_packed *p, int64_t first, int64_t n,
                      int32_t *out);
/** Loss weights of the same tokens, 1 where the file stores none. */
void hy_packed_weights(const hy_packed *p, int64_t first, int64_t n,
                       float *out);
int64_t hy_packed_doc_start(const hy_packed *p, int64_t d);
/** The first token of a row; *n is how many it has. Not collective. */
int64_t hy_packed_row_at(const hy_packed *p, int64_t row, int64_t *n);

/* ---- writing ---- */

/** What is known of a file before its tokens come; the same on every rank.
 *  Texts that are NULL are written as "" or, of JSON, as an empty list or
 *  object. */
typedef struct {
  int64_t n_tokens, n_docs, n_rows; /* all > 0 */
  int weights;                      /* /weight is there; else all are 1 */
  int64_t seq_len, vocab, seed;
  int32_t eos;           /* -1: none appended */
  const char *packing;   /* how documents fill rows */
  const char *tok_hash;  /* of tokenizer.json, "" for ids without one */
  const char *chat_hash; /* of the chat template, "" for none */
  const char *keys;      /* JSON object: keys that the content depends on */
  const char *sources;   /* JSON list of the input files */
  const char *dropped;   /* JSON object: reason -> count */
  const char *notes;     /* likewise about what stays */
  const char *lineage;   /* JSON list as in base/lineage.h */
} hy_packed_head;

typedef struct hy_packed_out hy_packed_out; /* fields in packed_write.c */

/** Begin a packed file under a temporary name, with room for all of it.
 *  Collective over comm. \return 0, HY_EFILE, HY_ERES (disk full), the same on
 *  every rank; on error *o is NULL and nothing is left. */
int hy_packed_create(hy_packed_out **o, const char *path,
                     const hy_packed_head *head, const hy_comm *comm);

/** Write tokens first .. first+n-1 of all, with their loss weights (NULL
 *  without head.weights). Each token is put once, by any rank, in any order and
 *  in pieces of any size; large ones are faster. Not collective.
 *  \return 0, HY_EFILE, HY_ERES: then close with that code. */
int hy_packed_put_tokens(hy_packed_out *o, int64_t first, int64_t n,
                         const int32_t *id, const float *weight);
/** Likewise the first token of documents first .. first+n-1; document n_docs is
 *  the end of the file and has to be put too. */
int hy_packed_put_docs(hy_packed_out *o, int64_t first, int64_t n,
                       const int64_t *start);
/** Likewise rows: first token and number of tokens of each. */
int hy_packed_put_rows(hy_packed_out *o, int64_t first, int64_t n,
                       const int64_t (*row)[2]);

/** Finish: checksums, content hash, fsync, rename; *o is freed. Where a rank
 *  comes with a code other than 0 nothing is left. Content hash and bytes do
 *  not depend on who has put what.
 *  \param hash  [out] content hash
 *  Collective. \return 0, HY_EFILE, HY_ERES, code, the same on every rank. */
int hy_packed_close(hy_packed_out *o, int code, char hash[HY_SHA_HEX]);

/** What a rank brings to a file that fits into memory: consecutive parts in
 *  rank order, any of them empty. The scalars are the same on every rank. */
typedef struct {
  const int32_t *token; /* (n_tokens) */
  const float *weight;  /* (n_tokens), or NULL on every rank */
  int64_t n_tokens;
  const int64_t *doc_len; /* (n_docs) tokens of each document */
  int64_t n_docs;
  int64_t seq_len, vocab;
} hy_packed_part;

/** Write such a file in one call, the stream cut every seq_len tokens.
 *  Collective over comm. \return as hy_packed_close. */
int hy_packed_write(const char *path, const hy_packed_part *part,
                    const hy_comm *comm, char hash[HY_SHA_HEX]);

/** Make the folder of path and see that a file can be written there, to fail
 *  before long work. Not collective. \return 0, HY_EFILE. */
int hy_packed_writable(const char *path);

/** Print what a packed file holds, for hymn --inspect. Not collective.
 *  \return 0, HY_EFILE, HY_EDATA as hy_packed_open. */
int hy_packed_inspect(const char *path, FILE *out);

/** Hash all of a packed file again and compare. Not collective.
 *  \param content  [out] content hash
 *  \param lineage  [out] appended
 *  \return 0, HY_EFILE, HY_EDATA: not as it was written (naming the dataset) */
int hy_packed_verify(const char *path, char content[HY_SHA_HEX],
                     hy_buf *lineage);

/** 1 if the file looks like a packed file, 0 if not (or unreadable). Not
 *  collective. */
int hy_packed_is(const char *path);

#endif
