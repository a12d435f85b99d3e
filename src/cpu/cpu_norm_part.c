/* The gated RMS norm in parts, for a group whose features lie on several ranks:
 * u = y silu(z), s = sum u^2 over them all, u w / sqrt(s/n + eps). */
#include "cpu/cpu.h"

#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

void
cpu_gate_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->in[0], *z = r->in[1], *u = r->out[0];
  int64_t n = hy_cols(y);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++) {
    const float *yt = hy_f32(y) + t * y->ld, *zt = hy_f32(z) + t * z->ld;
    float *ut = hy_f32(u) + t * u->ld;

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      ut[i] = yt[i] * zt[i] * cpu_sigmoid(zt[i]);
  }
}

/* The gradient of y (NULL: this one), or of z. */
static void
gate_row_bwd(float *dx, const float *du, const float *y, const float *z,
             int64_t n, float beta)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float g = cpu_sigmoid(z[i]), silu = z[i] * g;
    float k = du[i] * (y ? y[i] * (g + silu * (1 - g)) : silu);

    dx[i] = beta == 0 ? k : dx[i] + k; /* with 0 it may be anything */
  }
}

void
cpu_gate_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->in[0], *z = r->in[1], *u = r->out[0];
  int64_t n = hy_cols(y);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++) {
    const float *yt = hy_f32(y) + t * y->ld, *zt = hy_f32(z) + t * z->ld;
    const float *du = u->grad + t * u->ld;

    if (y->grad)
      gate_row_bwd(y->grad + t * y->ld, du, NULL, zt, n, r->beta[0]);
    if (z->grad)
      gate_row_bwd(z->grad + t * z->ld, du, yt, zt, n, r->beta[1]);
  }
}

void
cpu_sum_squares_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *s = r->out[0];
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *xt = hy_f32(x) + t * x->ld;
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
      sum += xt[i] * xt[i];
    hy_f32(s)[t * s->ld] = sum;
  }
}

void
cpu_sum_squares_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *s = r->out[0];
  int64_t n = hy_cols(x);

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *xt = hy_f32(x) + t * x->ld;
    float *dx = x->grad + t * x->ld, ds = 2 * s->grad[t * s->ld];

    if (r->beta[0] == 0)
      for (int64_t i = 0; i < n; i++)
        dx[i] = ds * xt[i];
    else
      for (int64_t i = 0; i < n; i++)
        dx[i] += ds * xt[i];
  }
}

/* 1 / rms of row t. */
static float
inverse(const hy_rec *r, int64_t t)
{
  const hy_tensor *s = r->in[1];

  return 1 / sqrtf(hy_f32(s)[t * s->ld] / (float)r->attr.width + r->attr.eps);
}

void
cpu_scaled_norm_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const float *w = hy_f32(r->in[2]);
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *xt = hy_f32(x) + t * x->ld;
    float *yt = hy_f32(y) + t * y->ld, inv = inverse(r, t);

    for (int64_t i = 0; i < n; i++)
      yt[i] = xt[i] * inv * w[i];
  }
}

/* Row t; dw is a partial sum. ds = -inv^3 / (2 width) sum(w dy x). */
static void
scaled_row_bwd(const hy_rec *r, int64_t t, float *dw)
{
  const hy_tensor *x = r->in[0], *s = r->in[1], *y = r->out[0];
  const float *w = hy_f32(r->in[2]), *xt = hy_f32(x) + t * x->ld;
  const float *dy = y->grad + t * y->ld;
  float inv = inverse(r, t), sum = 0, ds;
  int64_t n = hy_cols(x);

#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) {
    sum += w[i] * dy[i] * xt[i];
    dw[i] += dy[i] * xt[i] * inv;
  }
  ds = -0.5f * inv * inv * inv / (float)r->attr.width * sum;
  if (s->grad)
    cpu_put(s->grad + t * s->ld, &ds, 1, r->beta[1]);
  if (x->grad) {
    float *dx = x->grad + t * x->ld;

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      dx[i] = w[i] * dy[i] * inv + (r->beta[0] == 0 ? 0 : dx[i]);
  }
}

void
cpu_scaled_norm_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  float *part = r->scratch;
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int p = 0; p < CPU_N_PART; p++) {
    memset(part + p * n, 0, (size_t)n * sizeof *part);
    for (int64_t t = cpu_part(x->dim[0], p); t < cpu_part(x->dim[0], p + 1);
         t++)
      scaled_row_bwd(r, t, part + p * n);
  }
  if (r->in[2]->grad)
    cpu_add_parts(r->in[2]->grad, part, n, r->beta[2]);
}
