/* RMS norms: y = x w / rms, rms = sqrt(mean x^2 + eps).
 * Backward: dx = w dy / rms - x / (n rms^3) sum(w dy x). */
#include "cpu/cpu.h"

void cpu_rmsnorm_fwd(hy_ctx *c, hy_rec *r);
void cpu_rmsnorm_bwd(hy_ctx *c, hy_rec *r);
void cpu_gated_rmsnorm_fwd(hy_ctx *c, hy_rec *r);
void cpu_gated_rmsnorm_bwd(hy_ctx *c, hy_rec *r);

void
cpu_rmsnorm_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const float *w = hy_f32(r->in[1]);
  float *inv = hy_f32(r->save[0]);
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *xt = hy_f32(x) + t * x->ld;
    float *yt = hy_f32(y) + t * y->ld, s = 0;

#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++)
      s += xt[i] * xt[i];
    inv[t] = 1 / sqrtf(s / (float)n + r->attr.eps);
    for (int64_t i = 0; i < n; i++)
      yt[i] = xt[i] * inv[t] * w[i];
  }
}

void
cpu_rmsnorm_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const float *w = hy_f32(r->in[1]), *inv = hy_f32(r->save[0]);
  float *part = r->scratch;
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int p = 0; p < CPU_N_PART; p++) {
    float *dw = part + p * n;

    memset(dw, 0, (size_t)n * sizeof *dw);
    for (int64_t t = cpu_part(x->dim[0], p); t < cpu_part(x->dim[0], p + 1);
         t++) {
      const float *xt = hy_f32(x) + t * x->ld, *dy = y->grad + t * y->ld;
      float s = 0, k;

#pragma omp simd reduction(+ : s)
      for (int64_t i = 0; i < n; i++) {
        s += w[i] * dy[i] * xt[i];
        dw[i] += dy[i] * xt[i] * inv[t];
      }
      k = s * inv[t] * inv[t] * inv[t] / (float)n;
      if (x->grad) {
        float *dx = x->grad + t * x->ld;

        if (r->beta[0] == 0)
          for (int64_t i = 0; i < n; i++)
            dx[i] = w[i] * dy[i] * inv[t] - k * xt[i];
        else
          for (int64_t i = 0; i < n; i++)
            dx[i] += w[i] * dy[i] * inv[t] - k * xt[i];
      }
    }
  }
  if (r->in[1]->grad)
    cpu_add_parts(r->in[1]->grad, part, n, r->beta[1]);
}

void
cpu_gated_rmsnorm_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->in[0], *z = r->in[1], *o = r->out[0];
  const float *w = hy_f32(r->in[2]);
  float *inv = hy_f32(r->save[0]);
  int64_t n_groups = r->attr.n_groups, n = hy_cols(y) / n_groups;

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++)
    for (int64_t g = 0; g < n_groups; g++) {
      const float *yt = hy_f32(y) + t * y->ld + g * n;
      const float *zt = hy_f32(z) + t * z->ld + g * n;
      float *ot = hy_f32(o) + t * o->ld + g * n, s = 0, k;

#pragma omp simd reduction(+ : s)
      for (int64_t i = 0; i < n; i++) {
        ot[i] = yt[i] * zt[i] * cpu_sigmoid(zt[i]);
        s += ot[i] * ot[i];
      }
      inv[t * n_groups + g] = k = 1 / sqrtf(s / (float)n + r->attr.eps);
      for (int64_t i = 0; i < n; i++)
        ot[i] *= k * w[g * n + i];
    }
}

/* One group of one token. u = y silu(z); dw is a partial sum. */
static void
gated_row_bwd(const float *y, const float *z, const float *w, const float *dout,
              float inv, int64_t n, float *dw, float *dy, float beta_y,
              float *dz, float beta_z)
{
  float s = 0, k;

#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; i++) {
    float u = y[i] * z[i] * cpu_sigmoid(z[i]);

    s += w[i] * dout[i] * u;
    dw[i] += dout[i] * u * inv;
  }
  k = s * inv * inv * inv / (float)n;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float g = cpu_sigmoid(z[i]), silu = z[i] * g;
    float du = w[i] * dout[i] * inv - k * y[i] * silu;
    float gy = du * silu, gz = du * y[i] * (g + silu * (1 - g));

    /* beta is 0 or 1; with 0 the old content may be anything */
    dy[i] = beta_y == 0 ? gy : dy[i] + gy;
    dz[i] = beta_z == 0 ? gz : dz[i] + gz;
  }
}

void
cpu_gated_rmsnorm_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->in[0], *z = r->in[1], *o = r->out[0];
  const float *w = hy_f32(r->in[2]), *inv = hy_f32(r->save[0]);
  float *part = r->scratch;
  int64_t n_groups = r->attr.n_groups, cols = hy_cols(y), n = cols / n_groups;

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int p = 0; p < CPU_N_PART; p++) {
    float *none = part + (CPU_N_PART + p) * cols; /* gradients not wanted */

    memset(part + p * cols, 0, (size_t)cols * sizeof *part);
    for (int64_t t = cpu_part(y->dim[0], p); t < cpu_part(y->dim[0], p + 1);
         t++)
      for (int64_t g = 0; g < n_groups; g++)
        gated_row_bwd(hy_f32(y) + t * y->ld + g * n,
                      hy_f32(z) + t * z->ld + g * n, w + g * n,
                      o->grad + t * o->ld + g * n, inv[t * n_groups + g], n,
                      part + p * cols + g * n,
                      y->grad ? y->grad + t * y->ld + g * n : none,
                      y->grad ? r->beta[0] : 0,
                      z->grad ? z->grad + t * z->ld + g * n : none,
                      z->grad ? r->beta[1] : 0);
  }
  if (r->in[2]->grad)
    cpu_add_parts(r->in[2]->grad, part, cols, r->beta[2]);
}
