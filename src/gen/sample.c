#include "gen/gen.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

static int32_t
largest(const float *z, int64_t n)
{
  int64_t best = 0;

  for (int64_t i = 1; i < n; i++)
    if (z[i] > z[best])
      best = i;
  return (int32_t)best;
}

typedef struct {
  float p;
  int32_t id;
} choice;

/* Most probable first, of equals the lower id. */
static int
by_p(const void *a, const void *b)
{
  const choice *x = a, *y = b;

  if (x->p != y->p)
    return x->p < y->p ? 1 : -1;
  return x->id < y->id ? -1 : x->id > y->id;
}

int32_t
hy_sample(const hy_sampler *s, uint64_t counter, const float *logits,
          int64_t n_vocab, float *work)
{
  choice *c = (choice *)work; /* 2 n_vocab floats */
  int64_t n = n_vocab, best = largest(logits, n_vocab);
  double sum = 0, reach = 0, at;

  if (s->temperature <= 0)
    return (int32_t)best;
  for (int64_t i = 0; i < n; i++) {
    double z = ((double)logits[i] - logits[best]) / s->temperature;

    c[i] = (choice){(float)exp(z), (int32_t)i};
  }
  if (s->top_k > 0 || s->top_p < 1)
    qsort(c, (size_t)n, sizeof *c, by_p);
  if (s->top_k > 0 && s->top_k < n)
    n = s->top_k;
  for (int64_t i = 0; i < n; i++)
    sum += c[i].p;
  if (s->top_p < 1) {
    int64_t kept = 0;

    while (kept < n && (kept == 0 || reach < s->top_p * sum))
      reach += c[kept++].p;
    n = kept;
    sum = reach;
  }
  at = hy_rng_uniform(s->key, counter) * sum;
  for (int64_t i = 0; i < n; i++)
    if ((at -= c[i].p) < 0)
      return c[i].id;
  return c[n - 1].id;
}
