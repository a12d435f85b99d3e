/* part.h: a tokenized shard on the disk, and its receipt.
 *
 * DIR/NNNNNNNN.tok   int32 ids, document after document
 *            .doc   int64 a document: 2 * tokens, + 1: stays in the row of the
 *                   document before it
 *            .wgt   float32 loss weights, only where one is not 1
 *            .sig   signatures for curation, only where asked for
 *            .json  receipt: what the shard was made of, counts, and hashes of
 *                   the files above; it comes last, whole or not at all
 *
 * Files are buffered here: memory does not grow with a shard. */
#ifndef HYMN_PREP_PART_H
#define HYMN_PREP_PART_H

#include "base/hash.h"
#include "prep/tally.h"

#include <stddef.h>
#include <stdint.h>

enum { HY_PART_TOK, HY_PART_DOC, HY_PART_WGT, HY_PART_SIG, HY_PART_N };

/* What a receipt says of a shard. */
typedef struct {
  int64_t n_docs, n_tokens, n_bad;
  int64_t top; /* largest id, -1: none */
  int weights; /* there is a .wgt */
  hy_tally dropped, notes;
  char sha[HY_PART_N][HY_SHA_HEX]; /* "" where there is no file */
} hy_part_facts;

void hy_part_facts_free(hy_part_facts *f);

/** "DIR/NNNNNNNN.SUFFIX"; the caller frees it. */
char *hy_part_path(const char *dir, int64_t shard, const char *suffix);

/* ---- writing ---- */

typedef struct hy_part_out hy_part_out; /* fields in part.c */

/** Begin the files of a shard; an earlier receipt is taken away.
 *  \param sign_bytes  of a document's signature, 0: none
 *  Not collective. \return 0, HY_EFILE, HY_ERES (disk full). */
int hy_part_begin(hy_part_out **o, const char *dir, int64_t shard,
                  size_t sign_bytes);
/** Append a document of n > 0 tokens; codes as above. */
int hy_part_add(hy_part_out *o, const int32_t *id, const float *weight,
                int64_t n, int same_row, const void *sign);
/** Close the files (NULL: nothing); f gets documents, tokens, top, weights and
 *  hashes. \param code  not 0: the shard is given up. \return code, or as above
 */
int hy_part_end(hy_part_out *o, int code, hy_part_facts *f);

/** Write the receipt. \param of  hash of what the shard was made of */
int hy_receipt_write(const char *dir, int64_t shard, const char *of,
                     const hy_part_facts *f);

/** 1 if there is a receipt of this shard made of this, and its files are those
 *  it was written with; *f is filled then. Not collective. */
int hy_receipt_read(const char *dir, int64_t shard, const char *of,
                    hy_part_facts *f);

#endif
