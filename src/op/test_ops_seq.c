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

/* --- convolution --------------------------------------------------------- */

static hy_tensor *
call_conv(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_conv1d(c, in[0], in[1], in[2], NULL);
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

void
ops_conv1d(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = new_case(T);

    ops_rows(s, T, 5, -1, 1);
    ops_weight(s, OPS_DIM(5, 1, 4), -1, 1);
    ops_weight(s, OPS_DIM(5), -1, 1);
    s->view[0] = 1;
    s->n_out = T * 5;
    s->call = call_conv;
    s->naive = naive_conv;
    ops_check(s);
  }
  test_release();
}

/* --- scan ---------------------------------------------------------------- */

static hy_tensor *
call_ssd(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ssd(c, in[0], in[1], in[2], in[3], in[4], in[5], s->a.n_groups,
                NULL);
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
      memset(state, 0, sizeof state);
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
    s->a.n_groups = 2;
    s->n_out = T * 12;
    s->call = call_ssd;
    s->naive = naive_ssd;
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
