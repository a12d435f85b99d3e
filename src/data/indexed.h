/* indexed.h: Megatron's indexed data, NAME.idx and NAME.bin.
 *
 * .idx: magic, version, type of ids, lengths and byte offsets of sequences,
 * borders of documents; .bin: ids one after another, little endian. Source:
 * NVIDIA/Megatron-LM, megatron/core/datasets/indexed_dataset.py. */
#ifndef HYMN_DATA_INDEXED_H
#define HYMN_DATA_INDEXED_H

#include "base/hash.h"
#include "base/mem.h"
#include "grid/comm.h"

#include <stdint.h>
#include <stdio.h>

typedef struct hy_indexed hy_indexed; /* fields in indexed.c */

/** 1 if a path names such data: it ends in .idx or .bin, or has NAME.idx. */
int hy_indexed_is(const char *path);

/** Map both files and check all of the index: magic, version, type, sizes,
 *  offsets that follow each other, borders, the size of .bin.
 *  \param path  NAME, NAME.idx or NAME.bin
 *  Not collective. \return 0, HY_EFILE (missing, no such file, truncated),
 *  HY_EDATA (contradicts itself: the text names the entry). */
int hy_indexed_open(hy_indexed **x, const char *path);
void hy_indexed_free(hy_indexed *x);

int64_t hy_indexed_n_seq(const hy_indexed *x);
int64_t hy_indexed_n_docs(const hy_indexed *x);
int64_t hy_indexed_n_tokens(const hy_indexed *x);
/** Code of the type of ids, 1 .. 8, as in the file. */
int hy_indexed_type(const hy_indexed *x);
/** "uint16", ... */
const char *hy_indexed_type_name(const hy_indexed *x);
/** Tokens of sequence i. */
int64_t hy_indexed_len(const hy_indexed *x, int64_t i);
/** First sequence of document d; d = n_docs: the number of sequences. */
int64_t hy_indexed_doc(const hy_indexed *x, int64_t d);
/** First token of sequence i among all tokens; i = n_seq: their number. */
int64_t hy_indexed_start(const hy_indexed *x, int64_t i);

/** Copy n ids from token `first` of all on.
 *  \return 0, HY_EDATA (an id beyond 2^31, a fraction), naming the sequence */
int hy_indexed_ids(const hy_indexed *x, int64_t first, int64_t n, int32_t *out);

/** Content hash: SHA-256 of size and checksum (hy_checksum) of both files, in
 *  hex. Reads them whole. Not collective. */
void hy_indexed_hash(const hy_indexed *x, char hash[HY_SHA_HEX]);
/** The same, each rank reads its share. Collective over comm. */
void hy_indexed_hash_all(const hy_indexed *x, const hy_comm *comm,
                         char hash[HY_SHA_HEX]);

/* ---- identity ---- */

/** The note beside the pair, NAME.lineage.json (base/lineage.h); the caller
 *  frees it. */
char *hy_indexed_note(const char *path);
/** What the note says the data were made from, nothing without one.
 *  \param content  hash of the data
 *  \param lineage  [out] appended
 *  Not collective. \return 0, HY_EFILE, HY_EDATA (no note, or of other data) */
int hy_indexed_lineage(const char *path, const char *content, hy_buf *lineage);

/** Hash both files; content and lineage as above. Not collective.
 *  \return 0, HY_EFILE, HY_EDATA. */
int hy_indexed_verify(const char *path, char content[HY_SHA_HEX],
                      hy_buf *lineage);
/** Print what the files hold, for hymn --inspect. Not collective. */
int hy_indexed_inspect(const char *path, FILE *out);

/* ---- writing ---- */

typedef struct hy_indexed_out hy_indexed_out; /* fields in indexed_write.c */

/** Type of ids for a vocabulary, as Megatron chooses: uint16 below 65,500, else
 *  int32. */
int hy_indexed_type_of(int64_t vocab);

/* What is written: totals, the same on every rank. */
typedef struct {
  int type; /* 1 .. 8 */
  int64_t n_tokens;
  int64_t n_seq;  /* sequences */
  int64_t n_docs; /* documents */
} hy_indexed_head;

/** Begin NAME.idx and NAME.bin under temporary names; one sequence a document.
 *  Collective over comm. \return 0, HY_EFILE, HY_ERES, HY_EBUG (sizes), the
 *  same on every rank; on error *o is NULL. */
int hy_indexed_create(hy_indexed_out **o, const char *name, int type,
                      int64_t n_tokens, int64_t n_docs, const hy_comm *comm);
/** The same for documents of several sequences, or none, which
 *  hy_indexed_put_borders tells. */
int hy_indexed_create_seq(hy_indexed_out **o, const char *name,
                          const hy_indexed_head *head, const hy_comm *comm);
/** Ids first .. first+n-1 of all; each is written once, by any rank. Not
 *  collective; a failure (the disk, an id that the type cannot hold) is told by
 *  hy_indexed_close. */
void hy_indexed_put_ids(hy_indexed_out *o, int64_t first, int64_t n,
                        const int32_t *id);
/** Sequences first .. first+n-1: the first token of each. Each is given once,
 *  by any rank. Not collective; errors as above. */
void hy_indexed_put_docs(hy_indexed_out *o, int64_t first, int64_t n,
                         const int64_t *start);
/** After hy_indexed_create_seq: the first sequence of documents
 *  first .. first+n-1. Errors as above. */
void hy_indexed_put_borders(hy_indexed_out *o, int64_t first, int64_t n,
                            const int64_t *seq);
/** Finish: sync, rename; nothing is left where some rank failed (code != 0), or
 *  something is missing or was given twice (HY_EBUG). Frees o.
 *  Collective. \return 0, code, HY_EFILE, HY_EDATA, HY_ERES, the same on every
 *  rank. */
int hy_indexed_close(hy_indexed_out *o, int code);

#endif
