/* cpu_optim.c: what the optimizer does to runs of parameters on the CPU. */
#include "cpu/cpu_kit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct hy_runs {
  int64_t n;
  hy_run run[];
};

hy_runs *
cpu_runs_new(const hy_run *run, int64_t n)
{
  hy_runs *r = hy_malloc(sizeof *r + (size_t)n * sizeof *run);

  r->n = n;
  if (n)
    memcpy(r->run, run, (size_t)n * sizeof *run);
  return r;
}

void
cpu_runs_free(hy_runs *r)
{
  free(r);
}

/* Blocks of fixed length, summed in order: no dependence on threads. */
static double
sum_squares(const float *g, int64_t n)
{
  double sum = 0;

  for (int64_t i = 0; i < n; i += 4096) {
    int64_t end = i + 4096 < n ? i + 4096 : n;
    float s = 0;

#pragma omp simd reduction(+ : s)
    for (int64_t j = i; j < end; j++)
      s += g[j] * g[j];
    sum += s;
  }
  return sum;
}

double
cpu_runs_squares(hy_runs *r)
{
  double sum = 0;

  for (int64_t i = 0; i < r->n; i++)
    sum += sum_squares(r->run[i].g, r->run[i].n);
  return sum;
}

void
cpu_runs_not_finite(hy_runs *r, unsigned char *bad)
{
  for (int64_t i = 0; i < r->n; i++) {
    bad[i] = 0;
    for (int64_t j = 0; j < r->run[i].n && !bad[i]; j++)
      bad[i] = !isfinite(r->run[i].g[j]);
  }
}

static void
update(const hy_adamw_rates *k, float keep, float *w, float *m, float *v,
       const float *g, int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float gi = g[i] * k->scale;

    m[i] = k->beta1 * m[i] + (1 - k->beta1) * gi;
    v[i] = k->beta2 * v[i] + (1 - k->beta2) * gi * gi;
    w[i] =
        keep * w[i] - k->rate * (m[i] * k->c1) / (sqrtf(v[i] * k->c2) + k->eps);
  }
}

void
cpu_adamw(hy_runs *r, const hy_adamw_rates *k, int n_threads)
{
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
  for (int64_t i = 0; i < r->n; i++) {
    const hy_run *x = &r->run[i];

    update(k, k->keep[x->decay], x->w, x->m, x->v, x->g, x->n);
    if (x->low)
      hy_from_f32(x->low, x->w, x->fmt, x->n);
  }
}

void
cpu_bias_update(float *bias, const int64_t *count, int64_t n, float rate)
{
  int64_t sum = 0;

  for (int64_t e = 0; e < n; e++)
    sum += count[e];
  for (int64_t e = 0; e < n; e++) /* mean - count, times n: exact */
    bias[e] += rate * (float)((sum > n * count[e]) - (sum < n * count[e]));
}
