/* Routing: which expert, with which weight, in which row, and the balance
 * loss. Integer work is serial: it is small and its order is the result. */
#include "cpu/cpu.h"

#include <omp.h>

#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

/* The k largest of v[0..n) that are not -inf, as ascending indices; of equal
 * values the lower index is taken. v is destroyed. */
static void
top_k(float *v, int64_t n, int64_t k, int32_t *out)
{
  for (int64_t j = 0; j < k; j++) {
    int64_t best = 0, at = j;

    for (int64_t i = 1; i < n; i++)
      if (v[i] > v[best])
        best = i;
    v[best] = -INFINITY;
    for (; at > 0 && out[at - 1] > (int32_t)best; at--)
      out[at] = out[at - 1];
    out[at] = (int32_t)best;
  }
}

/* Set to -inf all but the topk_group groups with the largest sum of their two
 * best values. */
static void
limit_groups(float *v, int64_t n, int64_t n_group, int64_t keep, float *best)
{
  int64_t size = n / n_group;

  for (int64_t g = 0; g < n_group; g++) {
    float a = -INFINITY, b = -INFINITY;

    for (int64_t i = g * size; i < (g + 1) * size; i++)
      if (v[i] > a) {
        b = a;
        a = v[i];
      } else if (v[i] > b)
        b = v[i];
    best[g] = size > 1 ? a + b : a;
  }
  for (int64_t g = 0; g < n_group; g++) {
    int64_t rank = 0;

    for (int64_t o = 0; o < n_group; o++)
      rank += best[o] > best[g] || (best[o] == best[g] && o < g);
    if (rank >= keep)
      for (int64_t i = g * size; i < (g + 1) * size; i++)
        v[i] = -INFINITY;
  }
}

static void
route_token(const hy_attr *a, const float *logit, const float *bias, int64_t n,
            int32_t *idx, float *weight, float *work)
{
  float *score = work, *v = work + n, sum = 1e-20f, factor;

  for (int64_t e = 0; e < n; e++) {
    score[e] = 1 / (1 + expf(-logit[e]));
    v[e] = score[e] + bias[e];
    if (!(v[e] > -INFINITY)) /* NaN: the guard will find it in the loss */
      v[e] = -3e38f;
  }
  if (a->n_group > 1)
    limit_groups(v, n, a->n_group, a->topk_group, v + n);
  top_k(v, n, a->top_k, idx);
  for (int64_t j = 0; j < a->top_k; j++)
    sum += weight[j] = score[idx[j]];
  factor = a->norm_topk ? a->scale / sum : a->scale;
  for (int64_t j = 0; j < a->top_k; j++)
    weight[j] *= factor;
}

void
cpu_router_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->out[0];
  int32_t *idx = hy_i32(r->save[0]), *count = hy_i32(r->save[1]);
  int64_t n = hy_cols(x), k = r->attr.top_k;
  float *work = r->scratch;

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++)
    route_token(&r->attr, hy_f32(x) + t * x->ld, hy_f32(r->in[1]), n,
                idx + t * k, hy_f32(w) + t * w->ld,
                work + omp_get_thread_num() * (2 * n + 2 * r->attr.n_group));
  memset(count, 0, (size_t)n * sizeof *count);
  for (int64_t t = 0; t < x->dim[0]; t++)
    if (!r->attr.pad || !r->attr.pad[t])
      for (int64_t j = 0; j < k; j++)
        count[idx[t * k + j]]++;
}

/* w_j = f s_j / S, S = sum s + 1e-20:
 * ds_j = f (dw_j - sum_i dw_i s_i / S) / S, and without norm ds_j = f dw_j. */
void
cpu_router_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->out[0];
  const int32_t *idx = hy_i32(r->save[0]);
  int64_t n = hy_cols(x), k = r->attr.top_k;

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *logit = hy_f32(x) + t * x->ld, *dw = w->grad + t * w->ld;
    float *dx = x->grad + t * x->ld, sum = 1e-20f, dot = 0;

    if (r->beta[0] == 0)
      memset(dx, 0, (size_t)n * sizeof *dx);
    for (int64_t j = 0; j < k; j++) {
      float s = 1 / (1 + expf(-logit[idx[t * k + j]]));

      sum += s;
      dot += dw[j] * s;
    }
    for (int64_t j = 0; j < k; j++) {
      int32_t e = idx[t * k + j];
      float s = 1 / (1 + expf(-logit[e])), ds = r->attr.scale * dw[j];

      if (r->attr.norm_topk)
        ds = r->attr.scale * (dw[j] - dot / sum) / sum;
      dx[e] += ds * s * (1 - s);
    }
  }
}

void
cpu_permute_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const int32_t *idx = r->attr.idx;
  int32_t *pos = hy_i32(r->save[0]), *at = hy_i32(r->save[1]);
  int64_t k = r->attr.top_k, n_choice = x->dim[0] * k;
  int64_t n_experts = hy_cols(r->save[1]) - 1, n = hy_cols(x);

  /* counting sort; tokens keep their order inside an expert */
  memset(at, 0, (size_t)(n_experts + 1) * sizeof *at);
  for (int64_t i = 0; i < n_choice; i++)
    at[idx[i] + 1]++;
  for (int64_t e = 0; e < n_experts; e++)
    at[e + 1] += at[e];
  for (int64_t i = 0; i < n_choice; i++)
    pos[i] = at[idx[i]]++;
  for (int64_t e = n_experts; e > 0; e--)
    at[e] = at[e - 1];
  at[0] = 0;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t i = 0; i < n_choice; i++)
    memcpy(hy_f32(y) + pos[i] * y->ld, hy_f32(x) + i / k * x->ld,
           (size_t)n * sizeof(float));
}

void
cpu_permute_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const int32_t *pos = hy_i32(r->save[0]);
  int64_t k = r->attr.top_k, n = hy_cols(x);

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++)
    for (int64_t j = 0; j < k; j++)
      cpu_put(x->grad + t * x->ld, y->grad + pos[t * k + j] * y->ld, n,
              j ? 1 : r->beta[0]);
}

void
cpu_combine_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t k = r->attr.top_k, n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++) {
    float *yt = hy_f32(y) + t * y->ld;

    memset(yt, 0, (size_t)n * sizeof *yt);
    for (int64_t j = 0; j < k; j++) {
      const float *xt = hy_f32(x) + r->attr.pos[t * k + j] * x->ld;
      float f = hy_f32(w)[t * w->ld + j];

      for (int64_t i = 0; i < n; i++)
        yt[i] += f * xt[i];
    }
  }
}

void
cpu_combine_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t k = r->attr.top_k, n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++) {
    const float *dy = y->grad + t * y->ld;

    for (int64_t j = 0; j < k; j++) {
      int64_t row = r->attr.pos[t * k + j] * x->ld;
      const float *xt = hy_f32(x) + row;
      float f = hy_f32(w)[t * w->ld + j], s = 0;

#pragma omp simd reduction(+ : s)
      for (int64_t i = 0; i < n; i++)
        s += dy[i] * xt[i];
      if (w->grad)
        cpu_put(w->grad + t * w->ld + j, &s, 1, r->beta[1]);
      if (x->grad && r->beta[0] == 0)
        for (int64_t i = 0; i < n; i++)
          x->grad[row + i] = f * dy[i];
      else if (x->grad)
        for (int64_t i = 0; i < n; i++)
          x->grad[row + i] += f * dy[i];
    }
  }
}

/* A document is a run of tokens with one seq_start; a[e], its factor of
 * sum_t P[t,e], goes into the saved row of its first token. */
void
cpu_seq_aux_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  int64_t n = hy_cols(x), k = r->attr.top_k, t = 0;
  float *score = r->scratch, *v = score + n, *sum = v + n;
  int32_t *idx = (int32_t *)(sum + n);
  double total = 0;

  (void)c;
  while (t < x->dim[0]) {
    int32_t doc = r->attr.seq_start[t];
    int64_t first = t, n_real = 0;
    float *a = hy_f32(r->save[0]) + first * n;

    memset(a, 0, (size_t)n * sizeof *a); /* counts, then factors */
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (; t < x->dim[0] && r->attr.seq_start[t] == doc; t++) {
      const float *logit = hy_f32(x) + t * x->ld;
      float s = 0;

      if (r->attr.pad && r->attr.pad[t])
        continue;
      n_real++;
      for (int64_t e = 0; e < n; e++)
        s += score[e] = v[e] = 1 / (1 + expf(-logit[e]));
      for (int64_t e = 0; e < n; e++)
        sum[e] += score[e] / s;
      top_k(v, n, k, idx);
      for (int64_t j = 0; j < k; j++)
        a[idx[j]]++;
    }
    if (n_real == 0)
      continue;
    for (int64_t e = 0; e < n; e++) {
      a[e] *=
          r->attr.scale * (float)n / ((float)k * (float)n_real * (float)n_real);
      a[e] /= (float)r->attr.n_docs;
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
    const float *a = hy_f32(r->save[0]) + r->attr.seq_start[t] * n;
    const float *logit = hy_f32(x) + t * x->ld;
    float *dx = x->grad + t * x->ld, s = 0, dot = 0;

    if (r->beta[0] == 0)
      memset(dx, 0, (size_t)n * sizeof *dx);
    if (r->attr.pad && r->attr.pad[t])
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
