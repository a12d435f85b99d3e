/* Cross-entropy over the vocabulary, row by row. */
#include "cpu/cpu.h"

void cpu_ce_stat_fwd(hy_ctx *c, hy_rec *r);
void cpu_ce_stat_bwd(hy_ctx *c, hy_rec *r);
void cpu_ce_fwd(hy_ctx *c, hy_rec *r);
void cpu_ce_bwd(hy_ctx *c, hy_rec *r);

/* Largest of z, -inf if there is none, and the sum of exp(z - largest). */
static float
sum_exp(const float *z, int64_t n, double *sum)
{
  float top = n > 0 ? z[0] : -INFINITY;

  *sum = 0;
#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < n; i++)
    top = z[i] > top ? z[i] : top;
  for (int64_t i = 0; i < n; i += 1024) { /* short sums keep fp32 exact */
    int64_t end = i + 1024 < n ? i + 1024 : n;
    float s = 0;

#pragma omp simd reduction(+ : s)
    for (int64_t j = i; j < end; j++)
      s += cpu_exp_neg(z[j] - top);
    *sum += s;
  }
  return top;
}

/* The column of row t's target, -1 if another rank has it. */
static int64_t
target_of(const hy_rec *r, int64_t t)
{
  int64_t i = r->attr.id[t] - r->attr.first_id;

  return i >= 0 && i < hy_cols(r->in[0]) ? i : -1;
}

void
cpu_ce_stat_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *z = hy_f32(x) + t * x->ld;
    float *stat = hy_f32(r->out[0]) + t * HY_CE_STAT;
    int64_t target = target_of(r, t);
    double sum;

    memset(stat, 0, HY_CE_STAT * sizeof *stat);
    if (r->attr.weight[t] == 0)
      continue;
    stat[0] = sum_exp(z, hy_cols(x), &sum);
    stat[1] = (float)sum;
    stat[2] = (float)(sum - stat[1]);
    stat[3] = target >= 0 ? z[target] : 0;
  }
}

/* The gradient goes to the logits in place, by ce. */
void
cpu_ce_stat_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  (void)r;
}

void
cpu_ce_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *stat = r->n_in > 1 ? r->in[1] : NULL;
  float *lse = hy_f32(r->save[0]);
  double *loss = r->scratch;

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *z = hy_f32(x) + t * x->ld;
    double l = 0, sum;

    loss[t] = 0;
    if (r->attr.weight[t] != 0 && stat) {
      const float *s = hy_f32(stat) + t * stat->ld;

      l = s[0] + log((double)s[1] + s[2]);
      loss[t] = (l - s[3]) * r->attr.weight[t];
    } else if (r->attr.weight[t] != 0) {
      l = sum_exp(z, hy_cols(x), &sum);
      l += log(sum);
      loss[t] = (l - z[r->attr.id[t]]) * r->attr.weight[t];
    }
    lse[t] = (float)l;
  }
  for (int64_t t = 0; t < x->dim[0]; t++)
    *r->attr.value += loss[t];
}

/* z becomes w scale (softmax(z) - 1[target]) in place. */
void
cpu_ce_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  const float *lse = hy_f32(r->save[0]);
  int64_t n = hy_cols(x);
  double over = r->attr.over ? fmax(*r->attr.over, 1) : 1;
  float scale = (float)(r->attr.factor / over);

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    float f = r->attr.weight[t] * scale;
    float *z = x->grad + t * x->ld;
    int64_t target = target_of(r, t);

    if (f == 0) {
      memset(z, 0, (size_t)n * sizeof *z);
      continue;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      z[i] = f * cpu_exp_neg(z[i] - lse[t]);
    if (target >= 0)
      z[target] -= f;
  }
}
