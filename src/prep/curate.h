/* curate.h: which documents are left out for what they say: filters that look
 * at one document, and duplicates, which need all of them. */
#ifndef HYMN_PREP_CURATE_H
#define HYMN_PREP_CURATE_H

#include "deck/deck.h"
#include "grid/comm.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct hy_curate hy_curate; /* fields in curate_impl.h */

/** Check the keys, and read the files whose n-grams must not be learned.
 *  Collective over comm. \return 0, HY_EDECK, HY_EFILE, HY_EDATA, the same on
 *  every rank. */
int hy_curate_new(hy_curate **c, const hy_deck_curate *d, const hy_comm *comm);
void hy_curate_free(hy_curate *c);

/** SHA-256 (hex) of all keys and of the content of the evaluation files: the
 *  same hash, the same verdicts and signatures. */
const char *hy_curate_hash(const hy_curate *c);
/** Lines about the evaluation files, none without. Not collective. */
void hy_curate_print(const hy_curate *c, FILE *out);

/** Why a document goes, a fixed phrase: "too short", "too long", "repeated
 *  lines", "repeated n-grams", "contaminated"; NULL: it stays. Words are what
 *  lies between white space, in lower case and without punctuation. Not
 *  collective.
 *  Sources: Rae et al. 2021, arXiv:2112.11446, table A1 (repetition); Brown et
 *  al. 2020, arXiv:2005.14165, appendix C (13-grams of evaluation data, whole
 *  texts from 8 words on). */
const char *hy_curate_judge(hy_curate *c, const char *text, size_t n);

/** Bytes of a document's signature, 0: duplicates are not asked for. */
size_t hy_curate_sign_bytes(const hy_curate *c);
/** Make the signature: a hash of the text, MinHash values of its n-grams of
 *  words (of all its words where they are fewer; a text without words is nearly
 *  equal to no other).
 *  \param sign  [out] aligned to 4 bytes. Not collective.
 *  Source: Broder 1997, "On the resemblance and containment of documents". */
void hy_curate_sign(hy_curate *c, const char *text, size_t n, void *sign);

/* Signatures of the documents of a shard, and the marks to be made. */
typedef struct {
  char *sign; /* file with n_docs signatures, one after another */
  char *mark; /* file to write: a byte a document, index into
                 hy_curate_mark_name, 0: it stays; whole or not there */
  int64_t n_docs;
} hy_curate_shard;

extern const char *const hy_curate_mark_name[]; /* NULL, "exact duplicate",
                                                   "near duplicate" */

/** Find duplicates over all shards, in their order: of those that are alike the
 *  first stays. Nearly equal are documents that share a band of MinHash values
 *  and at least curate.near_threshold of all values; what hangs together by
 *  such pairs is one cluster, of which the first stays. Which clusters there
 *  are depends neither on the order of documents nor on the number of ranks.
 *  Memory of a rank does not grow with the number of documents beyond nine
 *  bytes each.
 *  \param shard   the same list on every rank; ranks write marks of shards
 *                 i = rank, rank + size, ...
 *  \param count   [out] (3) documents by mark
 *  Collective over comm. \return 0, HY_EFILE, HY_ERES, same on every rank. */
int hy_curate_unique(hy_curate *c, const hy_curate_shard *shard, int64_t n,
                     int64_t count[3], const hy_comm *comm);

#endif
