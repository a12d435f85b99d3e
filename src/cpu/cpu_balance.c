/* The balance loss: how evenly the tokens of a document choose. Serial: it is
 * small and its order is the result. */
#include "cpu/cpu.h"
#include "cpu/cpu_moe.h"

#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

static int
is_pad(const hy_rec *r, int64_t t)
{
  return r->attr.pad && r->attr.pad[t];
}

/* Plain scores of token t into score and v; returns their sum. */
static float
scores(const hy_rec *r, int64_t t, float *score, float *v)
{
  const hy_tensor *x = r->in[0];
  const float *logit = hy_f32(x) + t * x->ld;
  float s = 0;

  for (int64_t e = 0; e < hy_cols(x); e++)
    s += score[e] = v[e] = 1 / (1 + expf(-logit[e]));
  return s;
}

void
cpu_seq_count_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(x), k = r->attr.top_k;
  float *score = r->scratch, *v = score + n;
  int32_t *idx = (int32_t *)(v + n);

  (void)c;
  memset(y->data, 0, (size_t)(y->dim[0] * y->ld) * sizeof(float));
  for (int64_t t = 0; t < x->dim[0]; t++) {
    float *count = hy_f32(y) + r->attr.doc[t] * y->ld;

    if (r->attr.doc[t] < 0 || is_pad(r, t))
      continue;
    scores(r, t, score, v);
    cpu_top_k(v, n, k, idx);
    for (int64_t j = 0; j < k; j++)
      count[idx[j]]++;
    count[n]++;
  }
}

void
cpu_seq_count_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  (void)r;
}

/* Sums over the tokens from t on that are of one document. */
typedef struct {
  int64_t end;    /* behind the last */
  int64_t n_real; /* not padding */
} run;

/* count[e] and sum[e] = sum_t P[t,e] of own tokens. */
static run
add_document(const hy_rec *r, int64_t t, float *count, float *sum, float *work)
{
  const hy_tensor *x = r->in[0];
  int64_t n = hy_cols(x), k = r->attr.top_k;
  float *score = work, *v = score + n;
  int32_t doc = r->attr.seq_start[t], *idx = (int32_t *)(v + n);
  run d = {t, 0};

  memset(count, 0, (size_t)n * sizeof *count);
  memset(sum, 0, (size_t)n * sizeof *sum);
  for (; d.end < x->dim[0] && r->attr.seq_start[d.end] == doc; d.end++) {
    float s;

    if (is_pad(r, d.end))
      continue;
    d.n_real++;
    s = scores(r, d.end, score, v);
    for (int64_t e = 0; e < n; e++)
      sum[e] += score[e] / s;
    cpu_top_k(v, n, k, idx);
    for (int64_t j = 0; j < k; j++)
      count[idx[j]]++;
  }
  return d;
}

/* A document is a run of tokens with one seq_start; a[e], its factor of
 * sum_t P[t,e], goes into the saved row of its first token here. Of a document
 * that is cut, counts and length come from all of it. */
void
cpu_seq_aux_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  int64_t n = hy_cols(x), k = r->attr.top_k;
  float *sum = r->scratch, *work = sum + n;
  double total = 0;
  run d;

  (void)c;
  for (int64_t t = 0; t < x->dim[0]; t = d.end) {
    float *a = hy_f32(r->save[0]) + t * n; /* counts, then factors */
    int32_t cut = r->attr.doc ? r->attr.doc[t] : -1;

    d = add_document(r, t, a, sum, work);
    if (cut >= 0) {
      const float *all = hy_f32(r->in[1]) + cut * r->in[1]->ld;

      memcpy(a, all, (size_t)n * sizeof *a);
      d.n_real = (int64_t)all[n];
    }
    if (d.n_real == 0)
      continue;
    for (int64_t e = 0; e < n; e++) {
      a[e] *= r->attr.scale * (float)n /
              ((float)k * (float)d.n_real * (float)d.n_real);
      a[e] /= (float)*r->attr.over;
      total += (double)a[e] * sum[e];
    }
  }
  *r->attr.value += total;
}

/* dL/ds[t,e] = (a[e] - sum_o a[o] P[t,o]) / sum_o s[t,o]. */
void
cpu_seq_aux_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  int64_t n = hy_cols(x);

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    int64_t row = r->attr.seq_start[t] - r->attr.token0;
    const float *a = hy_f32(r->save[0]) + (row > 0 ? row : 0) * n;
    const float *logit = hy_f32(x) + t * x->ld;
    float *dx = x->grad + t * x->ld, s = 0, dot = 0;

    if (r->beta[0] == 0)
      memset(dx, 0, (size_t)n * sizeof *dx);
    if (is_pad(r, t))
      continue;
    for (int64_t e = 0; e < n; e++) {
      float p = 1 / (1 + expf(-logit[e]));

      s += p;
      dot += a[e] * p;
    }
    for (int64_t e = 0; e < n; e++) {
      float p = 1 / (1 + expf(-logit[e]));

      dx[e] += (a[e] - dot / s) / s * p * (1 - p);
    }
  }
}
