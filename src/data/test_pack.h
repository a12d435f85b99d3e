/* test_pack.h: a packed file of random documents, for the tests here. */
#ifndef HYMN_DATA_TEST_PACK_H
#define HYMN_DATA_TEST_PACK_H

#include "base/mem.h"
#include "base/rng.h"
#include "data/packed.h"

#include <stdlib.h>
#include <string.h>

#define N_DOCS 37
#define VOCAB 50
#define SEQ_LEN 16

/* The whole stream, known to every rank. */
typedef struct {
  int32_t token[N_DOCS * 40];
  float weight[N_DOCS * 40];
  int64_t doc_len[N_DOCS], doc[N_DOCS * 40], n;
} stream;

static inline void
stream_make(stream *s)
{
  s->n = 0;
  for (int64_t d = 0; d < N_DOCS; d++) {
    s->doc_len[d] = 1 + (int64_t)(hy_rng_u64(1, (uint64_t)d) % 39);
    for (int64_t i = 0; i < s->doc_len[d]; i++, s->n++) {
      uint64_t r = hy_rng_u64(2, (uint64_t)s->n);

      s->token[s->n] = (int32_t)(r % VOCAB);
      s->weight[s->n] = (float)(r >> 32 & 3) * 0.5f;
      s->doc[s->n] = d;
    }
  }
}

/* A file name that all ranks share; the caller frees it. */
static inline char *
scratch(const char *name)
{
  const char *dir = getenv("HYMN_TESTDIR");

  return hy_asprintf("%s/%s", dir ? dir : ".", name);
}

static inline int
stream_write(const stream *s, const char *path, int weights,
             const hy_comm *comm, char hash[HY_SHA_HEX])
{
  int64_t from = N_DOCS * comm->rank / comm->size, at = 0, n = 0;
  int64_t to = N_DOCS * (comm->rank + 1) / comm->size;
  hy_packed_part part = {.doc_len = s->doc_len + from,
                         .n_docs = to - from,
                         .seq_len = SEQ_LEN,
                         .vocab = VOCAB};

  for (int64_t d = 0; d < from; d++)
    at += s->doc_len[d];
  for (int64_t d = from; d < to; d++)
    n += s->doc_len[d];
  part.token = s->token + at;
  part.weight = weights ? s->weight + at : NULL;
  part.n_tokens = n;
  return hy_packed_write(path, &part, comm, hash);
}

#endif
