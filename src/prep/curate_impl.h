/* curate_impl.h: parts of curation, for its files and tests only. */
#ifndef HYMN_PREP_CURATE_IMPL_H
#define HYMN_PREP_CURATE_IMPL_H

#include "base/hash.h"
#include "prep/curate.h"

/* ---- a set of 64-bit hashes ---- */

typedef struct {
  uint64_t *v; /* 0: free */
  size_t n, mask, cap;
} hy_hashes;

/** Empty it, with room for n. Memory is kept, and not touched beyond that. */
void hy_hashes_clear(hy_hashes *s, size_t n);
/** 1 if h is new. */
int hy_hashes_add(hy_hashes *s, uint64_t h);
int hy_hashes_has(const hy_hashes *s, uint64_t h);
void hy_hashes_free(hy_hashes *s);

/* ---- words ---- */

/* The words of a text: what lies between white space, in lower case, of which
 * only letters, marks and digits count; a character of a script that is
 * written without spaces is a word. */
typedef struct {
  uint64_t *hash;
  uint32_t *chars; /* characters of the word */
  size_t n, cap;
} hy_words;

void hy_words_of(hy_words *w, const char *text, size_t n);
void hy_words_free(hy_words *w);

/** Hashes of the w->n - len + 1 runs of len words, none when there are fewer.
 *  \return their number. */
size_t hy_words_grams(const hy_words *w, size_t len, uint64_t *out);

/** Any bits to even ones. */
uint64_t hy_hash_mix(uint64_t x);
/** Hash of n bytes. */
uint64_t hy_hash_bytes(const char *s, size_t n);

/* ---- all of it ---- */

enum { HY_NGRAM_MAX = 64 };

struct hy_curate {
  hy_deck_curate d; /* lists are borrowed */
  hy_words words;
  hy_hashes seen; /* lines or n-grams of one document */
  uint64_t *gram; /* of one document */
  size_t cap_gram;
  hy_hashes eval;                 /* n-grams not to be learned */
  uint64_t *maybe;                /* a bit set for each of them, and few more:
                                     it fits a cache, the set does not */
  uint64_t maybe_mask;            /* bits - 1 */
  int eval_has[HY_NGRAM_MAX + 1]; /* some are so long */
  int64_t n_texts, n_short;       /* of the evaluation files */
  uint32_t *seed;                 /* of the MinHash functions */
  char hash[HY_SHA_HEX];
  int64_t most_entries; /* of a rank in one pass over the signatures */
  int64_t n_cached;     /* signatures in memory while they are compared */
};

/** Room for the n-grams of c->words. */
uint64_t *hy_curate_grams(hy_curate *c, size_t len, size_t *n);

/** MinHash values of a signature, NULL: none are made. */
static inline const uint32_t *
hy_sign_values(const hy_curate *c, const void *sign)
{
  return c->d.near ? (const uint32_t *)sign + (c->d.exact ? 4 : 0) : NULL;
}
enum { HY_SIGN_EXACT = 16 }; /* bytes of the hash of a text */

/** Least words of an evaluation text that is looked for. */
static inline int
hy_curate_shortest(const hy_curate *c)
{
  return c->d.decontaminate_ngram < 8 ? (int)c->d.decontaminate_ngram : 8;
}

/** 1 if a document with this n-gram must go. */
static inline int
hy_curate_known(const hy_curate *c, uint64_t gram)
{
  uint64_t bit = gram >> 20 & c->maybe_mask;

  return c->maybe[bit / 64] >> bit % 64 & 1 && hy_hashes_has(&c->eval, gram);
}

/** Read the evaluation files into c->eval; their hashes are added to *s. Not
 *  collective. */
int hy_curate_eval(hy_curate *c, hy_sha256 *s);

/* ---- signatures in the files of many shards ---- */

enum { HY_SIGNS_OPEN = 64 };

typedef struct {
  const hy_curate_shard *shard;
  int64_t n_shards, *first; /* (n_shards + 1) number of the first document */
  size_t bytes;             /* of a signature */
  int fd[HY_SIGNS_OPEN];
  int64_t fd_shard[HY_SIGNS_OPEN];
  char *cache;
  int64_t *cached, n_cached; /* whose signature is there */
  int err; /* of the first read that failed; what is read then is zeros */
} hy_signs;

/** Check the sizes of the files from, from + step, ... Not collective, like
 *  the others here. To be closed after a failure, too. */
int hy_signs_open(hy_signs *g, const hy_curate *c, const hy_curate_shard *shard,
                  int64_t n, int64_t from, int64_t step);
void hy_signs_close(hy_signs *g);
/** Signatures of n documents of shard s. */
void hy_signs_read(hy_signs *g, int64_t s, int64_t doc, int64_t n, char *to);
/** One signature, until the next call. */
const char *hy_signs_get(hy_signs *g, int64_t doc);

#endif
