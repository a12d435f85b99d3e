#include "data/ngram.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

#define PIECE 65536 /* tokens read at once */
#define N_BITS ((uint64_t)1 << 31)

/* A pair that the validation file holds, and its count in training. */
typedef struct {
  uint64_t key; /* u << 32 | w, plus 1; 0: free */
  int64_t count;
} pair;

typedef struct {
  int64_t vocab;
  int64_t n, *count;        /* unigrams of training, c(w) */
  int64_t *context, *types; /* c(u), t(u) */
  unsigned char *seen;      /* a bit for each pair of training */
  pair *table;
  uint64_t mask, n_pairs;
  double weight, unigram, bigram; /* sums over the validation file */
} counts;

static uint64_t
mix(uint64_t x)
{
  x *= 0x9e3779b97f4a7c15u;
  x ^= x >> 32;
  return x * 0xd6e8feb86659fd93u ^ x >> 29;
}

/* The slot of a pair, or the free one where it belongs. */
static pair *
find(const counts *c, int32_t u, int32_t w)
{
  uint64_t key = ((uint64_t)(uint32_t)u << 32 | (uint32_t)w) + 1;

  for (uint64_t i = mix(key);; i++) {
    pair *p = &c->table[i & c->mask];

    if (p->key == key || p->key == 0)
      return p;
  }
}

static void
grow(counts *c)
{
  pair *old = c->table;
  uint64_t n = c->mask + 1;

  c->mask = 2 * n - 1;
  c->table = hy_calloc(2 * n, sizeof *c->table);
  for (uint64_t i = 0; i < n; i++)
    if (old[i].key) {
      uint64_t key = old[i].key - 1;

      *find(c, (int32_t)(key >> 32), (int32_t)(key & 0xffffffffu)) = old[i];
    }
  free(old);
}

typedef void visit_fn(counts *c, int32_t u, int32_t w, double weight);

static void
note_pair(counts *c, int32_t u, int32_t w, double weight)
{
  pair *p = find(c, u, w);

  (void)weight;
  if (p->key)
    return;
  p->key = ((uint64_t)(uint32_t)u << 32 | (uint32_t)w) + 1;
  if (2 * ++c->n_pairs > c->mask)
    grow(c);
}

static void
count_pair(counts *c, int32_t u, int32_t w, double weight)
{
  uint64_t v = (uint64_t)c->vocab;
  uint64_t bit = (uint64_t)u * v + (uint64_t)w;
  pair *p = find(c, u, w);

  (void)weight;
  if (v * v > N_BITS)
    bit = mix(bit + 1) % N_BITS;
  c->n++;
  c->count[w]++;
  c->context[u]++;
  c->types[u] += !(c->seen[bit / 8] >> bit % 8 & 1);
  c->seen[bit / 8] |= (unsigned char)(1 << bit % 8);
  if (p->key)
    p->count++;
}

static void
measure_pair(counts *c, int32_t u, int32_t w, double weight)
{
  double p1 = ((double)c->count[w] + 1) / (double)(c->n + c->vocab), p2 = p1;
  double t = (double)c->types[u];

  if (c->context[u])
    p2 = ((double)find(c, u, w)->count + t * p1) / ((double)c->context[u] + t);
  c->weight += weight;
  c->unigram -= weight * log(p1);
  c->bigram -= weight * log(p2);
}

/* Every target of a file with the token before it. */
static int
visit(counts *c, const hy_packed *p, visit_fn *fn)
{
  int32_t *token = hy_malloc((PIECE + 1) * sizeof *token);
  float *weight = hy_malloc((PIECE + 1) * sizeof *weight);
  int64_t n = hy_packed_n_tokens(p), doc = 0, next = 0, bad = -1;

  token[0] = 0;
  for (int64_t at = 0; at < n && bad < 0; at += PIECE) {
    int64_t m = n - at < PIECE ? n - at : PIECE;

    hy_packed_tokens(p, at, m, token + 1);
    hy_packed_weights(p, at, m, weight + 1);
    for (int64_t i = 1; i <= m && bad < 0; i++) {
      int first = at + i - 1 == next; /* of its document */

      if (first)
        next = hy_packed_doc_start(p, ++doc);
      if (token[i] < 0 || token[i] >= c->vocab)
        bad = at + i - 1;
      else if (!first && weight[i] > 0)
        fn(c, token[i - 1], token[i], (double)weight[i]);
    }
    token[0] = token[m];
  }
  free(token);
  free(weight);
  return bad < 0
             ? HY_OK
             : hy_fail(HY_EDATA,
                       "%s: token number %lld is not below the vocabulary "
                       "of %lld; prepare the file again",
                       hy_packed_path(p), (long long)bad, (long long)c->vocab);
}

int
hy_ngram_losses(const hy_packed *train, const hy_packed *valid, int64_t vocab,
                double *unigram, double *bigram)
{
  uint64_t v = (uint64_t)vocab, bits = v * v < N_BITS ? v * v : N_BITS;
  counts c = {.vocab = vocab, .mask = (1 << 12) - 1};
  int err;

  c.count = hy_calloc(v, sizeof *c.count);
  c.context = hy_calloc(v, sizeof *c.context);
  c.types = hy_calloc(v, sizeof *c.types);
  c.seen = hy_calloc(bits / 8 + 1, 1);
  c.table = hy_calloc(c.mask + 1, sizeof *c.table);
  err = visit(&c, valid, note_pair);
  if (!err)
    err = visit(&c, train, count_pair);
  if (!err)
    err = visit(&c, valid, measure_pair);
  if (!err && !(c.weight > 0))
    err = hy_fail(HY_EDATA,
                  "%s: no token has a loss weight; give a validation "
                  "file with documents of two tokens or more",
                  hy_packed_path(valid));
  if (!err) {
    *unigram = c.unigram / c.weight;
    *bigram = c.bigram / c.weight;
  }
  free(c.count);
  free(c.context);
  free(c.types);
  free(c.seen);
  free(c.table);
  return err;
}
