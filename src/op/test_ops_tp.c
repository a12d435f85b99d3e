/* test_ops_tp.c: cases of the ops that may have only a part of the features or
 * of the vocabulary. */
#include "op/test_ops.h"

/* --- the gated norm in parts --------------------------------------------- */

static hy_tensor *
call_gate(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_gate(c, in[0], in[1]);
}

static void
naive_gate(const ops_case *s, double *y)
{
  for (int64_t i = 0; i < s->n_out; i++)
    y[i] = s->x[0][i] * s->x[1][i] * ops_sigmoid(s->x[1][i]);
}

static const int64_t tokens[] = {0, 1, 7, 33};
#define EACH_SIZE(T) for (const int64_t *T = tokens; T < tokens + 4; T++)

void
ops_gate(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, 9, -2, 2);
    ops_rows(s, *T, 9, -3, 3);
    s->view[0] = s->view[1] = 1;
    s->n_out = *T * 9;
    s->call = call_gate;
    s->naive = naive_gate;
    s->bound = 1e-5;
    ops_check(s);
  }
}

static hy_tensor *
call_squares(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_sum_squares(c, in[0]);
}

static void
naive_squares(const ops_case *s, double *y)
{
  int64_t n = hy_cols(s->in[0]);

  for (int64_t t = 0; t < s->n_out; t++) {
    y[t] = 0.0;
    for (int64_t i = 0; i < n; i++)
      y[t] += s->x[0][t * n + i] * s->x[0][t * n + i];
  }
}

void
ops_sum_squares(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, 19, -2, 2);
    s->view[0] = 1;
    s->n_out = *T;
    s->call = call_squares;
    s->naive = naive_squares;
    ops_check(s);
  }
}

static hy_tensor *
call_scaled(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_scaled_norm(c, in[0], in[1], in[2], s->a.width, s->a.eps);
}

static void
naive_scaled(const ops_case *s, double *y)
{
  int64_t n = s->in[2]->dim[0];

  for (int64_t i = 0; i < s->n_out; i++)
    y[i] = s->x[0][i] * s->x[2][i % n] /
           sqrt(s->x[1][i / n] / (double)s->a.width + (double)s->a.eps);
}

void
ops_scaled_norm(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, 6, -2, 2);
    ops_rows(s, *T, 1, 8, 20);
    ops_weight(s, OPS_DIM(6), -1, 2);
    s->view[0] = s->view[1] = 1;
    s->n_out = *T * 6;
    s->a.width = 12;
    s->a.eps = 1e-2f;
    s->call = call_scaled;
    s->naive = naive_scaled;
    s->bound = 1e-5;
    ops_check(s);
  }
}

/* --- cross-entropy ------------------------------------------------------- */

static hy_tensor *
call_ce(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_ce(c, in[0], s->n_in > 1 ? in[1] : NULL, s->a.id, s->a.weight,
        s->a.first_id, s->a.factor, NULL, &s->value);
  return NULL;
}

static void
naive_ce(const ops_case *s, double *value)
{
  int64_t n = hy_cols(s->in[0]);

  *value = 0.0;
  for (int64_t t = 0; t < s->batch.n_tokens; t++) {
    const double *z = s->x[0] + t * n;
    double top = z[0], sum = 0.0;

    if (s->a.weight[t] == 0.0f)
      continue;
    for (int64_t i = 0; i < n; i++)
      top = fmax(top, z[i]);
    for (int64_t i = 0; i < n; i++)
      sum += exp(z[i] - top);
    *value += (double)s->a.weight[t] * (top + log(sum) - z[s->a.id[t]]);
  }
}

/* The logits at hand are those of the ids first, first + 1, ... of OTHERS more,
 * all ELSEWHERE. */
enum { OTHERS = 3 };
#define ELSEWHERE 0.75

static void
naive_ce_stat(const ops_case *s, double *stat)
{
  int64_t n = hy_cols(s->in[0]);

  for (int64_t t = 0; t < s->batch.n_tokens; t++, stat += HY_CE_STAT) {
    const double *z = s->x[0] + t * n;
    int64_t target = s->a.id[t] - s->a.first_id;

    memset(stat, 0, HY_CE_STAT * sizeof *stat);
    if (s->a.weight[t] == 0.0f)
      continue;
    stat[0] = -INFINITY;
    for (int64_t i = 0; i < n; i++)
      stat[0] = fmax(stat[0], z[i]);
    for (int64_t i = 0; i < n; i++)
      stat[1] += exp(z[i] - stat[0]);
    stat[3] = target >= 0 && target < n ? z[target] : 0.0;
  }
}

/* The loss when a part of the vocabulary is somewhere else. */
static void
naive_ce_part(const ops_case *s, double *value)
{
  int64_t n = hy_cols(s->in[0]);

  *value = 0.0;
  for (int64_t t = 0; t < s->batch.n_tokens; t++) {
    int64_t target = s->a.id[t] - s->a.first_id;
    double sum = OTHERS * exp(ELSEWHERE);

    for (int64_t i = 0; i < n; i++)
      sum += exp(s->x[0][t * n + i]);
    *value += (double)s->a.weight[t] *
              (log(sum) - (target >= 0 && target < n ? s->x[0][t * n + target]
                                                     : ELSEWHERE));
  }
}

/* A second input: the whole vocabulary's row, as ranks would merge it. */
static void
add_stat(ops_case *s, int64_t T)
{
  hy_tensor *z = s->in[0], *stat = ops_rows(s, T, HY_CE_STAT, 0, 0);

  s->frozen[1] = 1;
  for (int64_t t = 0; t < T; t++) {
    float *row = hy_f32(stat) + t * stat->ld;
    int64_t target = s->a.id[t] - s->a.first_id, n = hy_cols(z);
    double sum = OTHERS * exp(ELSEWHERE);

    for (int64_t i = 0; i < n; i++)
      sum += exp((double)hy_f32(z)[t * z->ld + i]);
    row[0] = 0.0f; /* any reference will do */
    row[1] = (float)sum;
    row[2] = (float)(sum - (double)row[1]);
    row[3] = target >= 0 && target < n ? hy_f32(z)[t * z->ld + target]
                                       : (float)ELSEWHERE;
  }
}

static ops_case *
ce_new(int64_t T, int64_t vocab, double range, float scale)
{
  ops_case *s = ops_new(T);
  hy_tensor *z = ops_rows(s, T, vocab, -range, range);
  int32_t *id = test_alloc((size_t)T, sizeof *id);
  float *weight = test_alloc((size_t)T, sizeof *weight);

  for (int64_t t = 0; t < T; t++) {
    weight[t] = t % 3 == 1 ? 0.0f : 0.5f * (float)(1 + t % 2);
    id[t] = vocab ? (int32_t)((t * 7 + 3) % vocab) : 3;
    if (t % 6 == 1 && vocab) /* no target: whatever is there stays there */
      hy_f32(z)[t * z->ld] = NAN;
  }
  s->a.id = id;
  s->a.weight = weight;
  s->a.factor = scale;
  s->loss = (double)scale;
  s->in_place = 1;
  s->bound = range > 100 ? 3e-5 : 0; /* log-sum-exp is kept in fp32 */
  s->call = call_ce;
  s->naive = naive_ce;
  return s;
}

static void
ce_case(int64_t T, int64_t vocab, double range, float scale)
{
  ops_check(ce_new(T, vocab, range, scale));
}

/* Ids first .. first+n-1 of a larger vocabulary. */
static void
ce_part(int64_t T, int64_t n, int64_t first)
{
  ops_case *s = ce_new(T, n, 3, 0.5f);

  for (int64_t t = 0; t < T; t++) { /* every row has a target, not all here */
    hy_f32(s->in[0])[t * s->in[0]->ld] = 0.25f;
    ((float *)(uintptr_t)s->a.weight)[t] = 0.5f;
  }
  s->a.first_id = first;
  add_stat(s, T);
  s->naive = naive_ce_part;
  ops_check(s);
}

void
ops_ce(void)
{
  ce_case(0, 5, 1, 1);
  ce_case(1, 1, 1, 1);
  ce_case(7, 9, 3, 0.25f);
  ce_case(33, 5, 3, 2);
  ce_case(5, 6, 200, 1); /* exp of these overflows */
  ce_case(3, 1300, 4, 1);
  ce_case(3, 7, 2, 0); /* nothing wanted: zero, not NaN */
  ce_part(7, 9, 0);
  ce_part(7, 9, 4);
  ce_part(5, 1, 2);
}

static hy_tensor *
call_ce_stat(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ce_stat(c, in[0], s->a.id, s->a.weight, s->a.first_id);
}

void
ops_ce_stat(void)
{
  static const int64_t shape[][3] = {{0, 5, 0},  {1, 1, 0},    {7, 9, 0},
                                     {33, 5, 4}, {3, 1300, 2}, {4, 6, 100}};

  for (int i = 0; i < 6; i++) {
    ops_case *s = ce_new(shape[i][0], shape[i][1], i == 2 ? 200 : 3, 1);

    s->frozen[0] = 1;
    s->in_place = 0;
    s->loss = 0;
    s->a.first_id = shape[i][2];
    s->n_out = shape[i][0] * HY_CE_STAT;
    s->call = call_ce_stat;
    s->naive = naive_ce_stat;
    ops_check(s);
  }
}
