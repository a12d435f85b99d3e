#include "optim/adamw.h"
#include "base/err.h"

#include <math.h>
#include <stdlib.h>

int
hy_adamw_new(hy_adamw *a, const hy_params *p)
{
  size_t n = p->zero ? p->n_own : p->n_weight;

  n = n ? n : 1;
  a->m = calloc(n, sizeof *a->m);
  a->v = calloc(n, sizeof *a->v);
  if (a->m && a->v)
    return HY_OK;
  hy_adamw_free(a);
  return hy_fail(HY_ERES,
                 "memory: no room for %zu bytes of optimizer states; "
                 "use more ranks",
                 8 * n);
}

void
hy_adamw_free(hy_adamw *a)
{
  free(a->m);
  free(a->v);
  a->m = a->v = NULL;
}

void
hy_adamw_set(hy_adamw *a, const hy_deck_optim *d)
{
  a->beta1 = d->betas.v[0];
  a->beta2 = d->betas.v[1];
  a->eps = d->eps;
  a->weight_decay = d->weight_decay;
  a->clip = d->clip;
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
hy_grad_norm(const hy_params *p, const hy_grid *grid)
{
  double sum = 0;

  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    hy_held h = hy_params_held_w(p, i);
    hy_pieces pieces;
    hy_piece run;

    if (r->spec->kind != HY_WEIGHT)
      continue;
    hy_pieces_of(&pieces, r->spec, &r->shard);
    for (int64_t k = 0; hy_own_next_local(&pieces, &r->own, &k, &run);)
      sum += sum_squares(p->g + h.at + (run.local - h.from), run.n);
  }
  hy_sum_f64(&grid->world, &sum, 1);
  return sqrt(sum);
}

int
hy_grad_is_bad(const hy_params *p, int i)
{
  const hy_param_ref *r = &p->ref[i];
  hy_held h = hy_params_held_w(p, i);

  for (int64_t j = r->own_from; r->group >= 0 && j < r->own_to; j++)
    if (!isfinite(p->g[h.at + (size_t)(j - h.from)]))
      return 1;
  return 0;
}

const char *
hy_grad_bad(const hy_params *p)
{
  for (int i = 0; i < p->n; i++)
    if (hy_grad_is_bad(p, i))
      return p->ref[i].spec->name;
  return NULL;
}

typedef struct {
  float beta1, beta2, eps, scale, rate, c1, c2, keep;
} adamw_consts;

static void
update(const adamw_consts *k, float *w, float *m, float *v, const float *g,
       int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float gi = g[i] * k->scale;

    m[i] = k->beta1 * m[i] + (1 - k->beta1) * gi;
    v[i] = k->beta2 * v[i] + (1 - k->beta2) * gi * gi;
    w[i] = k->keep * w[i] -
           k->rate * (m[i] * k->c1) / (sqrtf(v[i] * k->c2) + k->eps);
  }
}

void
hy_adamw_step(hy_adamw *a, hy_params *p, int64_t t, double rate, double norm,
              int n_threads)
{
  double scale = a->clip > 0 ? a->clip / (norm + 1e-6) : 1;
  adamw_consts k = {.beta1 = (float)a->beta1,
                    .beta2 = (float)a->beta2,
                    .eps = (float)a->eps,
                    .scale = (float)(scale < 1 ? scale : 1),
                    .rate = (float)rate,
                    .c1 = (float)(1 / (1 - pow(a->beta1, (double)t))),
                    .c2 = (float)(1 / (1 - pow(a->beta2, (double)t)))};

#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    hy_held w = hy_params_held_w(p, i), s = hy_params_held(p, i, p->zero > 0);
    size_t at = w.at + (size_t)(s.from - w.from);
    adamw_consts mine = k;

    if (r->spec->kind != HY_WEIGHT)
      continue;
    mine.keep = (float)(1 - rate * (r->spec->decay ? a->weight_decay : 0));
    update(&mine, p->w + at, a->m + s.at, a->v + s.at, p->g + at,
           s.to - s.from);
  }
}
