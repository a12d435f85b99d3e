#include "data/mock.h"
#include "base/rng.h"

/* Documents have 64 tokens in the mean, or a quarter of a short row. */
static double
mean_length(int64_t seq_len)
{
  return seq_len >= 256 ? 64.0 : seq_len >= 8 ? (double)seq_len / 4 : 2.0;
}

void
hy_mock_row(uint64_t seed, int64_t sample, int64_t seq_len, int64_t vocab,
            hy_row *out)
{
  uint64_t words = hy_rng_key(seed, "mock:tokens");
  uint64_t ends = hy_rng_key(seed, "mock:ends");
  uint64_t base = (uint64_t)sample << 25; /* seq_len is at most 2^24 */
  double p_end = 1.0 / mean_length(seq_len);
  int64_t start = 0;

  out->n_real = seq_len;
  out->n_docs = 1;
  for (int64_t t = 0; t < seq_len; t++) {
    uint64_t i = base + (uint64_t)t;
    int last = hy_rng_uniform(ends, i) < p_end; /* of its document */

    out->token[t] = (int32_t)(hy_rng_u64(words, i) % (uint64_t)vocab);
    out->target[t] =
        last ? 0 : (int32_t)(hy_rng_u64(words, i + 1) % (uint64_t)vocab);
    out->weight[t] = last ? 0.0f : 1.0f;
    out->seq_start[t] = (int32_t)start;
    out->pad[t] = 0;
    if (last && t + 1 < seq_len) {
      start = t + 1;
      out->n_docs++;
    }
  }
}
