/* Ops without products: table look-up, activations, sums, copies. */
#include "cpu/cpu.h"

#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

void
cpu_embedding_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *w = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(w);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++)
    memcpy(hy_f32(y) + t * y->ld, hy_f32(w) + r->attr.id[t] * w->ld,
           (size_t)n * sizeof(float));
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

    for (int64_t t = 0; t < y->dim[0]; t++)
      cpu_put(w->grad + r->attr.id[t] * w->ld + lo, y->grad + t * y->ld + lo, m,
              1);
  }
}

static inline float
silu(float x)
{
  return x * cpu_sigmoid(x);
}

static inline float
silu_slope(float x)
{
  float s = cpu_sigmoid(x);

  return s + x * s * (1 - s);
}

static inline float
relu2(float x)
{
  return x <= 0 ? 0 : x * x; /* NaN stays NaN */
}

static inline float
relu2_slope(float x)
{
  return x <= 0 ? 0 : 2 * x;
}

/* The bodies of y = f(x): a macro, since a function pointer would keep the
 * loops from being vectorised. */
#define UNARY(op, f, slope)                                                    \
  void cpu_##op##_fwd(hy_ctx *c, hy_rec *r)                                    \
  {                                                                            \
    const hy_tensor *x = r->in[0], *y = r->out[0];                             \
    int64_t n = hy_cols(x);                                                    \
                                                                               \
    _Pragma("omp parallel for num_threads(c->n_threads) "                      \
            "schedule(static)") for (int64_t t = 0; t < x->dim[0]; t++)        \
    {                                                                          \
      const float *xt = hy_f32(x) + t * x->ld;                                 \
      float *yt = hy_f32(y) + t * y->ld;                                       \
                                                                               \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) yt[i] = f(xt[i]);    \
    }                                                                          \
  }                                                                            \
  void cpu_##op##_bwd(hy_ctx *c, hy_rec *r)                                    \
  {                                                                            \
    const hy_tensor *x = r->in[0], *y = r->out[0];                             \
    int64_t n = hy_cols(x);                                                    \
    int fresh = r->beta[0] == 0;                                               \
                                                                               \
    if (!x->grad)                                                              \
      return;                                                                  \
    _Pragma("omp parallel for num_threads(c->n_threads) "                      \
            "schedule(static)") for (int64_t t = 0; t < x->dim[0]; t++)        \
    {                                                                          \
      const float *xt = hy_f32(x) + t * x->ld, *dy = y->grad + t * y->ld;      \
      float *dx = x->grad + t * x->ld;                                         \
                                                                               \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                      \
      {                                                                        \
        float g = dy[i] * slope(xt[i]);                                        \
                                                                               \
        dx[i] = fresh ? g : dx[i] + g;                                         \
      }                                                                        \
    }                                                                          \
  }
UNARY(silu, silu, silu_slope)
UNARY(relu2, relu2, relu2_slope)

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
