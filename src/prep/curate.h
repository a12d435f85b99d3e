/* curate.h: which documents are left out for what they say: filters that look
 * at one document, and duplicates, which need all of them. */
#ifndef HYMN_PREP_CURATE_H
#define HYMN_PREP_CURATE_H

#include "deck/deck.h"
#include "grid/comm.h"

#include <stddef.h>
#include <stdint.h>

typedef struct hy_curate hy_curate; /* fields in curate_impl.h */

/** Check the keys, and read the files whose n-grams must not be learned.
 *  Collective over comm. \return 0, HY_EDECK, HY_EFILE, HY_EDATA, the same on
 *  every rank. */
int hy_curate_new(hy_curate **c, const hy_deck_curate *d, const hy_comm *comm);
void hy_curate_free(hy_curate *c);

/** Why a document goes, a fixed phrase ("too short", "repeated lines",
 *  "contaminated", ...), NULL: it stays. Not collective. */
const char *hy_curate_judge(hy_curate *c, const char *text, size_t n);

/** Bytes of a document's signature, 0: duplicates are not asked for. */
size_t hy_curate_sign_bytes(const hy_curate *c);
/** Make the signature: a hash of the text, MinHash values of its n-grams of
 *  words. Not collective.
 *  Source: Broder 1997, "On the resemblance and containment of documents". */
void hy_curate_sign(hy_curate *c, const char *text, size_t n, void *sign);

/* Signatures of the documents of a shard, and the marks to be made. */
typedef struct {
  char *sign;   /* file with n_docs signatures, one after another */
  char *mark;   /* file to write: a byte a document, index into
                   hy_curate_mark_name, 0: it stays */
  int64_t n_docs;
} hy_curate_shard;

extern const char *const hy_curate_mark_name[]; /* NULL, "exact duplicate",
                                                   "near duplicate" */

/** Find duplicates over all shards, in their order: of those that are alike the
 *  first stays. Marks do not depend on the number of ranks; memory of a rank
 *  does not grow with the number of documents beyond a few bytes each.
 *  \param shard   the same list on every rank; ranks write marks of shards
 *                 i = rank, rank + size, ...
 *  \param count   [out] (3) documents by mark
 *  Collective over comm. \return 0, HY_EFILE, HY_ERES, same on every rank. */
int hy_curate_unique(hy_curate *c, const hy_curate_shard *shard, int64_t n,
                     int64_t count[3], const hy_comm *comm);

#endif
