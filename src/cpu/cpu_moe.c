/* Routing: which expert, with which weight, in which row. Integer work is
 * serial: it is small and its order is the result. */
#include "cpu/cpu.h"
#include "cpu/cpu_moe.h"

#include <omp.h>

#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

float
cpu_top_k(float *v, int64_t n, int64_t k, int32_t *out)
{
  float least = INFINITY;

  for (int64_t j = 0; j < k; j++) {
    int64_t best = 0, at = j;

    for (int64_t i = 1; i < n; i++)
      if (v[i] > v[best])
        best = i;
    least = v[best];
    v[best] = -INFINITY;
    for (; at > 0 && out[at - 1] > (int32_t)best; at--)
      out[at] = out[at - 1];
    out[at] = (int32_t)best;
  }
  return least;
}

/* Set to -inf all but the topk_group groups with the largest sum of their two
 * best values. Returns by how much the last of them beats the next. */
static float
limit_groups(float *v, int64_t n, int64_t n_group, int64_t keep, float *best)
{
  int64_t size = n / n_group;
  float last = INFINITY, next = -INFINITY;

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
    last = rank == keep - 1 ? best[g] : last;
    next = rank == keep ? best[g] : next;
    if (rank >= keep)
      for (int64_t i = g * size; i < (g + 1) * size; i++)
        v[i] = -INFINITY;
  }
  return last - next;
}

/* The experts of a token; returns the margin of the choice. */
static float
choose(const hy_attr *a, const float *score, const float *bias, int64_t n,
       int32_t *idx, float *v)
{
  float margin = INFINITY, least, next = -INFINITY;

  for (int64_t e = 0; e < n; e++) {
    v[e] = score[e] + bias[e];
    if (!(v[e] > -INFINITY)) /* NaN: the guard will find it in the loss */
      v[e] = -3e38f;
  }
  if (a->n_group > 1)
    margin = limit_groups(v, n, a->n_group, a->topk_group, v + n);
  least = cpu_top_k(v, n, a->top_k, idx);
  for (int64_t e = 0; e < n; e++)
    next = v[e] > next ? v[e] : next;
  return least - next < margin ? least - next : margin;
}

/* Returns the margin of the choice of token t. */
static float
route_token(const hy_attr *a, int64_t t, const float *logit, const float *bias,
            int64_t n, int32_t *idx, float *weight, float *work)
{
  float *score = work, sum = 1e-20f, factor, margin = INFINITY;

  for (int64_t e = 0; e < n; e++)
    score[e] = 1 / (1 + expf(-logit[e]));
  if (a->idx)
    memcpy(idx, a->idx + t * a->top_k, (size_t)a->top_k * sizeof *idx);
  else
    margin = choose(a, score, bias, n, idx, work + n);
  for (int64_t j = 0; j < a->top_k; j++)
    sum += weight[j] = score[idx[j]];
  factor = a->norm_topk ? a->scale / sum : a->scale;
  for (int64_t j = 0; j < a->top_k; j++)
    weight[j] *= factor;
  return margin;
}

void
cpu_router_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->out[0];
  int32_t *idx = hy_i32(r->save[0]), *count = hy_i32(r->save[1]);
  int64_t n = hy_cols(x), k = r->attr.top_k;
  float *work = r->scratch, least = INFINITY;

#pragma omp parallel for num_threads(c->n_threads) schedule(static)            \
    reduction(min                                                              \
              : least)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    float margin = route_token(
        &r->attr, t, hy_f32(x) + t * x->ld, hy_f32(r->in[1]), n, idx + t * k,
        hy_f32(w) + t * w->ld,
        work + omp_get_thread_num() * (2 * n + 2 * r->attr.n_group));

    if (margin < least && !(r->attr.pad && r->attr.pad[t]))
      least = margin;
  }
  *hy_f32(r->save[2]) = least;
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

/* First choice of a row; of the row behind the last: the number of choices. */
static inline int64_t
first_choice(const hy_rec *r, int64_t row)
{
  return r->attr.list ? r->attr.list[row] : row * r->attr.top_k;
}

void
cpu_permute_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const int32_t *idx = r->attr.idx;
  int32_t *pos = hy_i32(r->save[0]), *at = hy_i32(r->save[1]);
  int64_t n_choice = first_choice(r, x->dim[0]);
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
  for (int64_t t = 0; t < x->dim[0]; t++)
    for (int64_t i = first_choice(r, t); i < first_choice(r, t + 1); i++)
      memcpy(hy_f32(y) + pos[i] * y->ld, hy_f32(x) + t * x->ld,
             (size_t)n * sizeof(float));
}

void
cpu_permute_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  const int32_t *pos = hy_i32(r->save[0]);
  int64_t n = hy_cols(x);

  if (!x->grad)
    return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < x->dim[0]; t++) {
    int64_t first = first_choice(r, t), end = first_choice(r, t + 1);

    if (first == end && r->beta[0] == 0)
      memset(x->grad + t * x->ld, 0, (size_t)n * sizeof(float));
    for (int64_t i = first; i < end; i++)
      cpu_put(x->grad + t * x->ld, y->grad + pos[i] * y->ld, n,
              i > first ? 1 : r->beta[0]);
  }
}

/* Where choice i of row t has its weight: (T, top_k), or a list (n, 1). */
static inline int64_t
weight_at(const hy_rec *r, int64_t t, int64_t i)
{
  int64_t ld = r->in[1]->ld;

  return r->attr.list ? i * ld : t * ld + i - t * r->attr.top_k;
}

void
cpu_combine_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t n = hy_cols(x);

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++) {
    float *yt = hy_f32(y) + t * y->ld;

    memset(yt, 0, (size_t)n * sizeof *yt);
    for (int64_t i = first_choice(r, t); i < first_choice(r, t + 1); i++) {
      const float *xt = hy_f32(x) + r->attr.pos[i] * x->ld;
      float f = hy_f32(w)[weight_at(r, t, i)];

      for (int64_t j = 0; j < n; j++)
        yt[j] += f * xt[j];
    }
  }
}

/* One choice: its row and its weight. */
static void
combine_choice_bwd(hy_rec *r, const float *dy, int64_t row, int64_t at)
{
  const hy_tensor *x = r->in[0], *w = r->in[1];
  const float *xt = hy_f32(x) + row * x->ld;
  int64_t n = hy_cols(x);
  float f = hy_f32(w)[at], s = 0, *dx;

#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; i++)
    s += dy[i] * xt[i];
  if (w->grad)
    cpu_put(w->grad + at, &s, 1, r->beta[1]);
  if (!x->grad)
    return;
  dx = x->grad + row * x->ld;
  if (r->beta[0] == 0)
    for (int64_t i = 0; i < n; i++)
      dx[i] = f * dy[i];
  else
    for (int64_t i = 0; i < n; i++)
      dx[i] += f * dy[i];
}

void
cpu_combine_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *y = r->out[0];

#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t t = 0; t < y->dim[0]; t++)
    for (int64_t i = first_choice(r, t); i < first_choice(r, t + 1); i++)
      combine_choice_bwd(r, y->grad + t * y->ld, r->attr.pos[i],
                         weight_at(r, t, i));
}
