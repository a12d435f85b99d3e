/* Ops without products: table look-up, activations, sums, copies. */
#include "cpu/cpu.h"

#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

/* The row of the table for token t, NULL if another rank has it. */
static float *
row_of(const hy_rec *r, float *table, int64_t t)
{
  int64_t i = r->attr.id[t] - r->attr.first_id;

  return i >= 0 && i < r->in[0]->dim[0] ? table + i * r->in[0]->ld : NULL;
}

void
cpu_embedding_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *w = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(w);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++) {
    const float *row = row_of(r, hy_f32(w), t);

    if (row)
      memcpy(hy_f32(y) + t * y->ld, row, (size_t)n * sizeof(float));
    else
      memset(hy_f32(y) + t * y->ld, 0, (size_t)n * sizeof(float));
  }
}

/* Tokens repeat: each thread owns some columns and takes all tokens. */
void
cpu_embedding_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *w = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(w);

  if (!w->grad)
    return;
  if (r->beta[0] == 0)
    memset(w->grad, 0, hy_bytes(HY_F32, w->dim[0] * w->ld));
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int p = 0; p < CPU_N_PART; p++) {
    int64_t lo = cpu_part(n, p), m = cpu_part(n, p + 1) - lo;

    for (int64_t t = 0; t < y->dim[0]; t++) {
      float *row = row_of(r, w->grad, t);

      if (row)
        cpu_put(row + lo, y->grad + t * y->ld + lo, m, 1);
    }
  }
}

/* y = f(x) a row at a time; the loop over a row is inside f, where it is
 * vectorised. */
static void
rows_fwd(hy_ctx *c, hy_rec *r, void (*f)(float *y, const float *x, int64_t n))
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++)
    f(hy_f32(y) + t * y->ld, hy_f32(x) + t * x->ld, hy_cols(x));
}

/* dx = beta dx + f'(x) dy. */
static void
rows_bwd(hy_ctx *c, hy_rec *r,
         void (*f)(float *dx, const float *x, const float *dy, int64_t n,
                   int fresh))
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++)
    f(x->grad + t * x->ld, hy_f32(x) + t * x->ld, y->grad + t * y->ld,
      hy_cols(x), r->beta[0] == 0);
}

static void
silu_row(float *y, const float *x, int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = x[i] * cpu_sigmoid(x[i]);
}

static void
silu_row_bwd(float *dx, const float *x, const float *dy, int64_t n, int fresh)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float s = cpu_sigmoid(x[i]), g = dy[i] * (s + x[i] * s * (1 - s));

    dx[i] = fresh ? g : dx[i] + g;
  }
}

static void
relu2_row(float *y, const float *x, int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = x[i] <= 0 ? 0 : x[i] * x[i]; /* NaN stays NaN */
}

static void
relu2_row_bwd(float *dx, const float *x, const float *dy, int64_t n, int fresh)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float g = x[i] <= 0 ? 0 : 2 * x[i] * dy[i];

    dx[i] = fresh ? g : dx[i] + g;
  }
}

void
cpu_silu_fwd(hy_ctx *c, hy_rec *r)
{
  rows_fwd(c, r, silu_row);
}

void
cpu_silu_bwd(hy_ctx *c, hy_rec *r)
{
  rows_bwd(c, r, silu_row_bwd);
}

void
cpu_relu2_fwd(hy_ctx *c, hy_rec *r)
{
  rows_fwd(c, r, relu2_row);
}

void
cpu_relu2_bwd(hy_ctx *c, hy_rec *r)
{
  rows_bwd(c, r, relu2_row_bwd);
}

void
cpu_softplus_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const float *b = hy_f32(r->in[1]);
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++)
    for (int64_t i = 0; i < n; i++) {
      float v = hy_f32(x)[t * x->ld + i] + b[i];

      hy_f32(y)[t * y->ld + i] = v > 20 ? v : log1pf(expf(v));
    }
}

void
cpu_softplus_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *b = r->in[1], *y = r->out[0];
  float *part = r->scratch;
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int p = 0; p < CPU_N_PART; p++) {
    float *db = part + p * n;

    memset(db, 0, (size_t)n * sizeof *db);
    for (int64_t t = cpu_part(x->dim[0], p); t < cpu_part(x->dim[0], p + 1);
         t++)
      for (int64_t i = 0; i < n; i++) {
        float v = hy_f32(x)[t * x->ld + i] + hy_f32(b)[i];
        float g = y->grad[t * y->ld + i] / (1 + expf(-v));

        db[i] += g;
        if (x->grad)
          cpu_put(x->grad + t * x->ld + i, &g, 1, r->beta[0]);
      }
  }
  if (b->grad)
    cpu_add_parts(b->grad, part, n, r->beta[1]);
}

void
cpu_add_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *a = r->in[0], *b = r->in[1], *y = r->out[0];
  int64_t n = hy_cols(a);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < a->dim[0]; t++) {
    const float *at = hy_f32(a) + t * a->ld, *bt = hy_f32(b) + t * b->ld;
    float *yt = hy_f32(y) + t * y->ld;

    for (int64_t i = 0; i < n; i++)
      yt[i] = at[i] + bt[i];
  }
}

/* Each input takes its columns of the output's gradient. */
static void
spread_grad(hy_ctx *c, hy_rec *r, int64_t step)
{
  const hy_tensor *y = r->out[0];

  for (int i = 0; i < r->n_in; i++) {
    const hy_tensor *x = r->in[i];

    if (!x->grad)
      continue;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t t = 0; t < x->dim[0]; t++)
      cpu_put(x->grad + t * x->ld, y->grad + t * y->ld + i * step, hy_cols(x),
              r->beta[i]);
  }
}

void
cpu_add_bwd(hy_ctx *c, hy_rec *r)
{
  spread_grad(c, r, 0);
}

void
cpu_concat_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->out[0];
  int64_t at = 0;

  for (int i = 0; i < r->n_in; i++) {
    const hy_tensor *x = r->in[i];

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t t = 0; t < x->dim[0]; t++)
      memcpy(hy_f32(y) + t * y->ld + at, hy_f32(x) + t * x->ld,
             hy_bytes(HY_F32, hy_cols(x)));
    at += hy_cols(x);
  }
}

void
cpu_concat_bwd(hy_ctx *c, hy_rec *r)
{
  spread_grad(c, r, hy_cols(r->in[0]));
}
