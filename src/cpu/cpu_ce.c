/* Cross-entropy over the vocabulary, row by row. */
#include "cpu/cpu.h"

void cpu_ce_fwd(hy_ctx *c, hy_rec *r);
void cpu_ce_bwd(hy_ctx *c, hy_rec *r);

static double
log_sum_exp(const float *z, int64_t n)
{
  float top = z[0];
  double sum = 0;

#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < n; i++)
    top = z[i] > top ? z[i] : top;
  for (int64_t i = 0; i < n; i += 1024) { /* short sums keep fp32 exact */
    int64_t end = i + 1024 < n ? i + 1024 : n;
    float s = 0;

#pragma omp simd reduction(+ : s)
    for (int64_t j = i; j < end; j++)
      s += cpu_exp_neg(z[j] - top);
    sum += s;
  }
  return top + log(sum);
}

void
cpu_ce_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  float *lse = hy_f32(r->save[0]);
  double *loss = r->scratch;

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *z = hy_f32(x) + t * x->ld;
    double l = 0;

    loss[t] = 0;
    if (r->attr.weight[t] != 0) {
      l = log_sum_exp(z, hy_cols(x));
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

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    float f = r->attr.weight[t] * r->attr.scale;
    float *z = x->grad + t * x->ld;

    if (f == 0) {
      memset(z, 0, (size_t)n * sizeof *z);
      continue;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      z[i] = f * cpu_exp_neg(z[i] - lse[t]);
    z[r->attr.id[t]] -= f;
  }
}
