/* rows_mock.c: rows of random tokens without end, for speed tests and for
 * checks without a file: documents of random lengths that end anywhere, of
 * which the last one may go on beyond the row. */
#include "base/err.h"
#include "base/rng.h"
#include "data/rows.h"

#include <stdio.h>

/* Documents have 64 tokens in the mean, or a quarter of a short row. */
static double
mean_length(int64_t seq_len)
{
  return seq_len >= 256 ? 64.0 : seq_len >= 8 ? (double)seq_len / 4 : 2.0;
}

/* First counter of a row; seq_len is at most 2^24. */
static uint64_t
base_of(int64_t i)
{
  return (uint64_t)i << 25;
}

/* 1 if a document ends with token t of the row. */
static int
ends(const hy_rows *r, uint64_t key, uint64_t base, int64_t t)
{
  return hy_rng_uniform(key, base + (uint64_t)t) <
         1.0 / mean_length(r->seq_len);
}

static int
row(hy_rows *r, int64_t epoch, int64_t i, hy_row *out)
{
  uint64_t words = hy_rng_key(r->seed, "mock:tokens");
  uint64_t key = hy_rng_key(r->seed, "mock:ends");
  uint64_t base = base_of(i), vocab = (uint64_t)r->vocab;
  int64_t start = 0;

  (void)epoch;
  out->n_real = r->seq_len;
  out->n_docs = 1;
  for (int64_t t = 0; t < r->seq_len; t++) {
    uint64_t at = base + (uint64_t)t;
    int last = ends(r, key, base, t);

    out->token[t] = (int32_t)(hy_rng_u64(words, at) % vocab);
    out->target[t] = last ? 0 : (int32_t)(hy_rng_u64(words, at + 1) % vocab);
    out->weight[t] = last ? 0.0f : 1.0f;
    out->seq_start[t] = (int32_t)start;
    out->pad[t] = 0;
    if (last && t + 1 < r->seq_len) {
      start = t + 1;
      out->n_docs++;
    }
  }
  return HY_OK;
}

static double
pairs(hy_rows *r, int64_t epoch, int64_t i)
{
  uint64_t key = hy_rng_key(r->seed, "mock:ends"), base = base_of(i);
  int64_t start = 0;
  double sum = 0;

  (void)epoch;
  for (int64_t t = 0; t < r->seq_len; t++)
    if (t + 1 == r->seq_len || ends(r, key, base, t)) {
      sum += (double)(t + 1 - start) * (double)(t + 1 - start);
      start = t + 1;
    }
  return sum;
}

static const hy_rows_type type = {"mock", row, pairs, NULL};

int
hy_rows_open_mock(hy_rows *r, const hy_rows_keys *keys, const hy_comm *comm)
{
  (void)comm;
  r->type = &type;
  r->n_rows = -1;
  r->seq_len = keys->seq_len;
  r->vocab = keys->vocab;
  snprintf(r->hash, sizeof r->hash, "mock");
  if (r->seq_len == 0)
    return hy_fail(HY_EDECK, "data.seq_len: mock data need it; set "
                             "data.seq_len");
  return HY_OK;
}
