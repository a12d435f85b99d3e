/* test_ops_seq.c: the ops that look along a document, once each through their
 * public calls; their bodies have tests of their own in src/cpu. */
#include "op/test_ops.h"

#define EACH_SIZE(T) for (int64_t T = 0; T <= 13; T += T == 1 ? 12 : 1)

/* Documents of 4, 1 and 6 tokens by turns. */
static ops_case *
new_case(int64_t T)
{
  static const int len[] = {4, 1, 6};
  ops_case *s = ops_new(T);

  s->batch.seq_start = test_docs(T, len, 3);
  s->bound = 1e-5;
  return s;
}

/* The same tokens as parts of rows that cp has cut: spans of up to 5 tokens,
 * whose first documents have 0, 2, 9, 1, ... tokens before them. */
static void
cut_spans(ops_case *s)
{
  static const int64_t before[] = {0, 2, 9, 1};
  int64_t T = s->batch.n_tokens, n = 0;
  hy_span *span = test_alloc((size_t)T, sizeof *span);

  for (int64_t at = 0; at < T; at += 5, n++) {
    span[n] = (hy_span){.at = at, .n = T - at < 5 ? T - at : 5};
    span[n].before = before[n % 4];
    for (int64_t t = at; t < at + span[n].n; t++)
      if (s->batch.seq_start[t] < at)
        s->batch.seq_start[t] = (int32_t)at;
  }
  s->batch.n_span = n;
  s->batch.span = span;
}

/* --- convolution --------------------------------------------------------- */

static hy_tensor *
call_conv(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_conv1d(c, in[0], in[1], in[2], s->n_in > 3 ? in[3] : NULL);
}

static void
naive_conv(const ops_case *s, double *y)
{
  int64_t C = hy_cols(s->in[0]), n = s->in[1]->dim[2];

  for (int64_t i = 0; i < s->n_out; i++) {
    int64_t t = i / C, ch = i % C;

    y[i] = s->x[2][ch];
    for (int64_t u = s->batch.seq_start[t]; u <= t; u++)
      if (t - u < n)
        y[i] += s->x[1][ch * n + n - 1 - (t - u)] * s->x[0][u * C + ch];
  }
}

/* Tokens before a span reach its first three through the halo. */
static void
naive_conv_halo(const ops_case *s, double *y)
{
  int64_t C = hy_cols(s->in[0]), n = s->in[1]->dim[2];

  naive_conv(s, y);
  for (int64_t i = 0; i < s->batch.n_span; i++) {
    const hy_span *p = &s->batch.span[i];

    for (int64_t t = p->at; t < p->at + p->n; t++)
      for (int64_t back = 1; back <= p->before && back < n; back++)
        for (int64_t ch = 0; ch < C; ch++)
          if (s->batch.seq_start[t] == p->at && t - p->at + back < n)
            y[t * C + ch] += s->x[1][ch * n + n - 1 - (t - p->at + back)] *
                             s->x[3][((i + 1) * (n - 1) - back) * C + ch];
  }
}

void
ops_conv1d(void)
{
  for (int cut = 0; cut < 2; cut++)
    EACH_SIZE(T)
    {
      ops_case *s = new_case(T);

      ops_rows(s, T, 5, -1, 1);
      ops_weight(s, OPS_DIM(5, 1, 4), -1, 1);
      ops_weight(s, OPS_DIM(5), -1, 1);
      s->view[0] = 1;
      s->n_out = T * 5;
      s->call = call_conv;
      s->naive = cut ? naive_conv_halo : naive_conv;
      if (cut) {
        cut_spans(s);
        ops_rows(s, 3 * s->batch.n_span, 5, -1, 1);
      }
      ops_check(s);
    }
  test_release();
}

/* --- scan ---------------------------------------------------------------- */

static hy_tensor *
call_ssd(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ssd(c, in[0], in[1], in[2], in[3], in[4], in[5], s->a.n_groups,
                s->n_in > 6 ? in[6] : NULL);
}

/* The state of channel i before token t, the first of a document. */
static void
naive_start(const ops_case *s, int64_t i, int64_t n, int64_t t, double *state)
{
  memset(state, 0, (size_t)n * sizeof *state);
  for (int64_t j = 0; s->n_in > 6 && j < s->batch.n_span; j++)
    if (s->batch.span[j].at == t && s->batch.span[j].before > 0)
      memcpy(state, s->x[6] + j * hy_cols(s->in[6]) + i * n,
             (size_t)n * sizeof *state);
}

/* Head h, channel i of x: the state is a vector over d_state. */
static void
naive_channel(const ops_case *s, int64_t h, int64_t i, double *y)
{
  int64_t heads = s->in[4]->dim[0], inner = hy_cols(s->in[0]);
  int64_t bc = hy_cols(s->in[2]), n = bc / s->a.n_groups;
  int64_t g = h / (heads / s->a.n_groups);
  double state[16] = {0}, a = -exp(s->x[4][h]);

  for (int64_t t = 0; t < s->batch.n_tokens; t++) {
    double dt = s->x[1][t * heads + h], x = s->x[0][t * inner + i];

    if (s->batch.seq_start[t] == t)
      naive_start(s, i, n, t, state);
    y[t * inner + i] = s->x[5][h] * x;
    for (int64_t j = 0; j < n; j++) {
      state[j] = exp(dt * a) * state[j] + dt * x * s->x[2][t * bc + g * n + j];
      y[t * inner + i] += state[j] * s->x[3][t * bc + g * n + j];
    }
  }
}

static void
naive_ssd(const ops_case *s, double *y)
{
  int64_t inner = hy_cols(s->in[0]), p = inner / s->in[4]->dim[0];

  for (int64_t i = 0; i < inner; i++)
    naive_channel(s, i / p, i, y);
}

void
ops_ssd(void)
{
  for (int cut = 0; cut < 2; cut++)
    EACH_SIZE(T)
    {
      ops_case *s = new_case(T);

      ops_rows(s, T, 4 * 3, -1, 1);
      ops_rows(s, T, 4, 0.05, 0.9);
      ops_rows(s, T, 2 * 5, -1, 1);
      ops_rows(s, T, 2 * 5, -1, 1);
      ops_weight(s, OPS_DIM(4), -1, 1);
      ops_weight(s, OPS_DIM(4), -1, 1);
      for (int i = 0; i < 4; i++)
        s->view[i] = 1;
      if (cut) {
        cut_spans(s);
        ops_rows(s, s->batch.n_span, 4 * 3 * 5, -1, 1);
      }
      s->a.n_groups = 2;
      s->n_out = T * 12;
      s->call = call_ssd;
      s->naive = naive_ssd;
      ops_check(s);
    }
  test_release();
}

/* --- what a span does to the state --------------------------------------- */

static hy_tensor *
call_state(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ssd_state(c, in[0], in[1], in[2], in[3], s->a.n_groups);
}

/* Row i of the output: head h's state from zero, and its decay. */
static void
naive_span(const ops_case *s, int64_t i, int64_t h, double *row)
{
  int64_t heads = s->in[3]->dim[0], inner = hy_cols(s->in[0]);
  int64_t p = inner / heads, bc = hy_cols(s->in[2]), n = bc / s->a.n_groups;
  int64_t g = h / (heads / s->a.n_groups);
  const hy_span *span = &s->batch.span[i];
  double a = -exp(s->x[3][h]), *w = row + inner * n + h;

  *w = span->before > 0;
  for (int64_t t = span->at; t < span->at + span->n; t++) {
    double dt = s->x[1][t * heads + h], decay = exp(dt * a);

    if (s->batch.seq_start[t] == t && t > span->at)
      *w = 0.0;
    *w *= decay;
    for (int64_t j = 0; j < p * n; j++) {
      double *to = &row[h * p * n + j];

      *to = s->batch.seq_start[t] == t ? 0.0 : decay * *to;
      *to += dt * s->x[0][t * inner + h * p + j / n] *
             s->x[2][t * bc + g * n + j % n];
    }
  }
}

static void
naive_state(const ops_case *s, double *y)
{
  int64_t heads = s->in[3]->dim[0];
  int64_t cols = s->batch.n_span ? s->n_out / s->batch.n_span : 0;

  for (int64_t i = 0; i < s->batch.n_span; i++)
    for (int64_t h = 0; h < heads; h++)
      naive_span(s, i, h, y + i * cols);
}

void
ops_ssd_state(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = new_case(T);

    cut_spans(s);
    ops_rows(s, T, 4 * 3, -1, 1);
    ops_rows(s, T, 4, 0.05, 0.9);
    ops_rows(s, T, 2 * 5, -1, 1);
    ops_weight(s, OPS_DIM(4), -1, 1);
    for (int i = 0; i < 3; i++)
      s->view[i] = 1;
    s->a.n_groups = 2;
    s->n_out = s->batch.n_span * (4 * 3 * 5 + 4);
    s->call = call_state;
    s->naive = naive_state;
    ops_check(s);
  }
  test_release();
}

/* --- attention ----------------------------------------------------------- */

static hy_tensor *
call_attention(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_tensor *lse;

  return hy_attention(c, in[0], in[1], in[2], s->a.n_heads, s->a.n_kv_heads,
                      NULL, NULL, &lse);
}

static void
naive_attention(const ops_case *s, double *y)
{
  int64_t heads = s->a.n_heads, per = heads / s->a.n_kv_heads;
  int64_t q = hy_cols(s->in[0]), kv = hy_cols(s->in[1]), d = q / heads;

  for (int64_t i = 0; i < s->batch.n_tokens * heads; i++) {
    int64_t t = i / heads, h = i % heads, at = h / per * d;
    double sum = 0.0;

    memset(y + t * q + h * d, 0, (size_t)d * sizeof *y);
    for (int64_t u = s->batch.seq_start[t]; u <= t; u++) {
      double dot = 0.0, p;

      for (int64_t j = 0; j < d; j++)
        dot += s->x[0][t * q + h * d + j] * s->x[1][u * kv + at + j];
      p = exp(dot / sqrt((double)d));
      sum += p;
      for (int64_t j = 0; j < d; j++)
        y[t * q + h * d + j] += p * s->x[2][u * kv + at + j];
    }
    for (int64_t j = 0; j < d; j++)
      y[t * q + h * d + j] /= sum;
  }
}

/* --- attention of all queries to more keys ------------------------------- */

static hy_tensor *
call_block(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_tensor *lse, *more[3] = {in[0], in[3], in[4]};
  hy_tensor *out = hy_attention(c, in[0], in[1], in[2], s->a.n_heads,
                                s->a.n_kv_heads, NULL, NULL, &lse);
  hy_rec *r = hy_rec_new(c, &c->be->op[HY_OP_attention_block], 3, more);

  r->attr = (hy_attr){.n_heads = s->a.n_heads, .n_kv_heads = s->a.n_kv_heads};
  r->out[r->n_out++] = out;
  r->save[r->n_save++] = lse;
  return hy_exec(c, r);
}

/* Keys and values u of `which` (1: its document's, 3: those of the block). */
static double
naive_weight(const ops_case *s, int64_t i, int which, int64_t u)
{
  int64_t heads = s->a.n_heads, kv = hy_cols(s->in[1]);
  int64_t d = hy_cols(s->in[0]) / heads;
  int64_t at = i % heads / (heads / s->a.n_kv_heads) * d;
  double dot = 0.0;

  for (int64_t j = 0; j < d; j++)
    dot += s->x[0][i * d + j] * s->x[which][u * kv + at + j];
  return exp(dot / sqrt((double)d));
}

static void
naive_block(const ops_case *s, double *y)
{
  int64_t heads = s->a.n_heads, kv = hy_cols(s->in[1]);
  int64_t d = hy_cols(s->in[0]) / heads;

  for (int64_t i = 0; i < s->batch.n_tokens * heads; i++) {
    int64_t at = i % heads / (heads / s->a.n_kv_heads) * d, t = i / heads;
    double sum = 0.0, *out = y + i * d;

    memset(out, 0, (size_t)d * sizeof *y);
    for (int which = 1; which <= 3; which += 2) {
      int64_t u = which == 1 ? s->batch.seq_start[t] : 0;
      int64_t end = which == 1 ? t + 1 : s->in[3]->dim[0];

      for (; u < end; u++) {
        double p = naive_weight(s, i, which, u);

        sum += p;
        for (int64_t j = 0; j < d; j++)
          out[j] += p * s->x[which + 1][u * kv + at + j];
      }
    }
    for (int64_t j = 0; j < d; j++)
      out[j] /= sum;
  }
}

void
ops_attention_block(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = new_case(T);

    ops_rows(s, T, 4 * 3, -1, 1);
    for (int i = 0; i < 4; i++)
      ops_rows(s, i < 2 ? T : 7, 2 * 3, -1, 1);
    for (int i = 0; i < 3; i++)
      s->view[i] = 1;
    s->a.n_heads = 4;
    s->a.n_kv_heads = 2;
    s->n_out = T * 12;
    s->before = 1;
    s->call = call_block;
    s->naive = naive_block;
    ops_check(s);
  }
  test_release();
}

void
ops_attention(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = new_case(T);

    ops_rows(s, T, 4 * 3, -1, 1);
    ops_rows(s, T, 2 * 3, -1, 1);
    ops_rows(s, T, 2 * 3, -1, 1);
    for (int i = 0; i < 3; i++)
      s->view[i] = 1;
    s->a.n_heads = 4;
    s->a.n_kv_heads = 2;
    s->n_out = T * 12;
    s->call = call_attention;
    s->naive = naive_attention;
    ops_check(s);
  }
  test_release();
}
