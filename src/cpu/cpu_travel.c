/* cpu_travel.c: rows and choices on their way to the ranks of experts, on the
 * CPU (op/backend.h). Integer work is serial: its order is the result. */
#include "cpu/cpu_kit.h"
#include "base/err.h"

#include <string.h>

/* Whether choice i is the first of its row for rank d; experts ascend. */
static int
is_first(const hy_places *p, const int32_t *idx, int64_t own, int64_t i,
         int64_t d)
{
  return i % p->top_k == 0 || idx[i - 1] / own != d;
}

/* A counting sort: the choices by rank, and behind them the copies. */
static void
places(const hy_places *p, int32_t *at, const int32_t *idx, int64_t own,
       int n_rank, void *scratch)
{
  int64_t n = p->n_row * p->top_k;

  (void)scratch;
  memset(at, 0, (size_t)(2 * n_rank + 1) * sizeof *at);
  for (int64_t i = 0; i < n; i++) {
    int64_t d = idx[i] / own;

    at[d + 1]++;
    at[n_rank + d + 1] += is_first(p, idx, own, i, d);
  }
  for (int e = 0; e < 2 * n_rank; e++)
    at[e + 1] += at[e];
  for (int64_t i = 0; i < n; i++) {
    int64_t d = idx[i] / own;

    p->choice[i] = at[d]++;
    p->row[i] =
        is_first(p, idx, own, i, d) ? at[n_rank + d]++ - (int32_t)n : -1;
  }
  for (int e = 2 * n_rank; e > 0; e--)
    at[e] = at[e - 1];
  at[0] = 0;
}

static void
spread(const hy_places *p, void *to, const void *from, int64_t ld, hy_fmt fmt,
       int64_t n, int n_threads)
{
  float *rows = to;
  const float *x = from;

  (void)fmt;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t i = 0; i < p->n_row * p->top_k; i++)
    if (p->row[i] >= 0)
      memcpy(rows + p->row[i] * n, x + i / p->top_k * ld,
             (size_t)n * sizeof *x);
}

static void
gather(const hy_places *p, void *to, int64_t ld, const void *from, hy_fmt fmt,
       int64_t n, float beta, int n_threads)
{
  const float *rows = from;

  (void)fmt;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t t = 0; t < p->n_row; t++) {
    float *x = (float *)to + t * ld;

    if (beta == 0)
      memset(x, 0, (size_t)n * sizeof *x);
    for (int64_t i = t * p->top_k; i < (t + 1) * p->top_k; i++)
      for (int64_t j = 0; p->row[i] >= 0 && j < n; j++)
        x[j] += rows[p->row[i] * n + j];
  }
}

static void
pack(const hy_places *p, hy_choice *to, const int32_t *idx, const float *w,
     int64_t ld, int64_t own)
{
  int64_t k = p->top_k;

  for (int64_t i = 0; i < p->n_row * k; i++) {
    int32_t e = (int32_t)(idx[i] % own);

    to[p->choice[i]] =
        (hy_choice){p->row[i] >= 0 ? ~e : e, w[i / k * ld + i % k]};
  }
}

static void
unpack(const hy_choice *from, int64_t n_choice, int64_t n_row, int32_t *idx,
       int32_t *list, float *w, void *scratch)
{
  int64_t row = 0;

  (void)scratch;
  for (int64_t i = 0; i < n_choice; i++) {
    int32_t e = from[i].expert;

    if (e < 0 && row++ < n_row)
      list[row - 1] = (int32_t)i;
    idx[i] = e < 0 ? ~e : e;
    w[i] = from[i].weight;
  }
  if (row != n_row)
    hy_die(HY_EBUG, "dispatch: %lld rows came, %lld were announced",
           (long long)row, (long long)n_row);
  list[row] = (int32_t)n_choice;
}

static void
weights(const hy_places *p, float *g, int64_t ld, const float *from, float beta)
{
  int64_t k = p->top_k;

  for (int64_t i = 0; i < p->n_row * k; i++) {
    float *to = g + i / k * ld + i % k;

    *to = (beta == 0 ? 0 : *to) + from[p->choice[i]];
  }
}

const hy_travel_kit cpu_travel = {.places = places,
                                  .spread = spread,
                                  .gather = gather,
                                  .pack = pack,
                                  .unpack = unpack,
                                  .weights = weights};
