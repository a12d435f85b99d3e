/* Products with weights. */
#include "cpu/cpu.h"

void cpu_linear_fwd(hy_ctx *c, hy_rec *r);
void cpu_linear_bwd(hy_ctx *c, hy_rec *r);
void cpu_grouped_linear_fwd(hy_ctx *c, hy_rec *r);
void cpu_grouped_linear_bwd(hy_ctx *c, hy_rec *r);

void
cpu_linear_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];

  cpu_gemm_par(c->n_threads, 0, 1, x->dim[0], w->dim[0], hy_cols(w), 1,
               hy_f32(x), x->ld, hy_f32(w), w->ld, 0, hy_f32(y), y->ld);
}

void
cpu_linear_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t n = x->dim[0], n_out = w->dim[0], n_in = hy_cols(w);

  if (x->grad)
    cpu_gemm_par(c->n_threads, 0, 0, n, n_in, n_out, 1, y->grad, y->ld,
                 hy_f32(w), w->ld, r->beta[0], x->grad, x->ld);
  if (w->grad)
    cpu_gemm_par(c->n_threads, 1, 0, n_out, n_in, n, 1, y->grad, y->ld,
                 hy_f32(x), x->ld, r->beta[1], w->grad, w->ld);
}

void
cpu_grouped_linear_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  const int32_t *at = r->attr.offset;
  int64_t n_out = w->dim[1], n_in = w->dim[2];

#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic, 1)
  for (int64_t e = 0; e < w->dim[0]; e++)
    cpu_gemm(0, 1, at[e + 1] - at[e], n_out, n_in, 1, hy_f32(x) + at[e] * x->ld,
             x->ld, hy_f32(w) + e * n_out * n_in, n_in, 0,
             hy_f32(y) + at[e] * y->ld, y->ld);
}

void
cpu_grouped_linear_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  const int32_t *at = r->attr.offset;
  int64_t n_out = w->dim[1], n_in = w->dim[2];

#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic, 1)
  for (int64_t e = 0; e < w->dim[0]; e++) {
    const float *dy = y->grad + at[e] * y->ld;
    int64_t n = at[e + 1] - at[e], we = e * n_out * n_in;

    if (x->grad)
      cpu_gemm(0, 0, n, n_in, n_out, 1, dy, y->ld, hy_f32(w) + we, n_in,
               r->beta[0], x->grad + at[e] * x->ld, x->ld);
    if (w->grad && (n > 0 || r->beta[1] == 0))
      cpu_gemm(1, 0, n_out, n_in, n, 1, dy, y->ld, hy_f32(x) + at[e] * x->ld,
               x->ld, r->beta[1], w->grad + we, n_in);
  }
}
