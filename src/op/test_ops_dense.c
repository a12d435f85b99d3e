/* test_ops_dense.c: cases of products, norms and elementwise ops. */
#include "op/test_ops.h"

static const int64_t sizes[] = {0, 1, 2, 7, 33};
#define EACH_SIZE(T) for (const int64_t *T = sizes; T < sizes + 5; T++)

/* --- products ------------------------------------------------------------ */

static hy_tensor *
call_linear(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_linear(c, in[0], in[1]);
}

static void
naive_linear(const ops_case *s, double *y)
{
  int64_t n_out = s->in[1]->dim[0], n_in = s->in[1]->dim[1];

  for (int64_t i = 0; i < s->n_out; i++) {
    y[i] = 0.0;
    for (int64_t j = 0; j < n_in; j++)
      y[i] += s->x[0][i / n_out * n_in + j] * s->x[1][i % n_out * n_in + j];
  }
}

void
ops_linear(void)
{
  static const int64_t shape[][2] = {{1, 1}, {5, 3}, {4, 17}};

  EACH_SIZE(T)
  for (int i = 0; i < 3; i++) {
    int64_t n_in = shape[i][0], n_out = shape[i][1];
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, n_in, -1, 1);
    ops_weight(s, OPS_DIM(n_out, n_in), -1, 1);
    s->view[0] = 1;
    s->n_out = *T * n_out;
    s->split = 1;
    s->call = call_linear;
    s->naive = naive_linear;
    ops_check(s);
  }
}

static hy_tensor *
call_grouped(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_grouped_linear(c, in[0], in[1], s->a.offset);
}

static void
naive_grouped(const ops_case *s, double *y)
{
  const hy_tensor *w = s->in[1];
  int64_t n_out = w->dim[1], n_in = w->dim[2];

  for (int64_t e = 0; e < w->dim[0]; e++)
    for (int64_t r = s->a.offset[e]; r < s->a.offset[e + 1]; r++)
      for (int64_t i = 0; i < n_out; i++) {
        double sum = 0.0;

        for (int64_t j = 0; j < n_in; j++)
          sum += s->x[0][r * n_in + j] * s->x[1][(e * n_out + i) * n_in + j];
        y[r * n_out + i] = sum;
      }
}

/* Experts without rows: in front, between, behind; all rows to one; none. */
void
ops_grouped_linear(void)
{
  static const int32_t offset[][6] = {{0, 0, 3, 3, 8, 8},
                                      {0, 1, 2, 3, 4, 5},
                                      {0, 0, 0, 9, 9, 9},
                                      {0, 7, 7, 7, 7, 7},
                                      {0, 0, 0, 0, 0, 0}};

  for (int i = 0; i < 5; i++) {
    int64_t n = offset[i][5];
    ops_case *s = ops_new(n);

    ops_rows(s, n, 3, -1, 1);
    ops_weight(s, OPS_DIM(5, 4, 3), -1, 1);
    s->view[0] = 1;
    s->n_out = n * 4;
    s->a.offset = memcpy(test_alloc(6, sizeof **offset), offset[i],
                         sizeof offset[i]);
    s->call = call_grouped;
    s->naive = naive_grouped;
    ops_check(s);
  }
}

static hy_tensor *
call_embedding(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_embedding(c, s->a.id, s->batch.n_tokens, in[0], s->a.first_id);
}

static void
naive_embedding(const ops_case *s, double *y)
{
  int64_t d = hy_cols(s->in[0]), n = s->in[0]->dim[0];

  for (int64_t i = 0; i < s->n_out; i++) {
    int64_t row = s->a.id[i / d] - s->a.first_id;

    y[i] = row >= 0 && row < n ? s->x[0][row * d + i % d] : 0.0;
  }
}

/* Ids repeat, some rows are never taken: their gradient is zero. Of a table
 * that begins at id 2, ids below and above are somewhere else. */
void
ops_embedding(void)
{
  static const int32_t id[33] = {6, 0, 3, 3, 3, 0, 6, 6, 1, 3};
  static const int64_t width[] = {1, 3, 19, 5};

  EACH_SIZE(T)
  for (int i = 0; i < 4; i++) {
    ops_case *s = ops_new(*T);

    ops_weight(s, OPS_DIM(i == 3 ? 3 : 7, width[i]), -1, 1);
    s->n_out = *T * width[i];
    s->a.id = memcpy(test_alloc(33, sizeof *id), id, sizeof id);
    s->a.first_id = i == 3 ? 2 : 0;
    s->call = call_embedding;
    s->naive = naive_embedding;
    ops_check(s);
  }
}

/* --- norms --------------------------------------------------------------- */

static hy_tensor *
call_rmsnorm(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_rmsnorm(c, in[0], in[1], s->a.eps);
}

static void
naive_rmsnorm(const ops_case *s, double *y)
{
  int64_t n = s->in[1]->dim[0];

  for (int64_t t = 0; t < s->n_out; t += n) {
    double sum = 0.0, rms;

    for (int64_t i = 0; i < n; i++)
      sum += s->x[0][t + i] * s->x[0][t + i];
    rms = sqrt(sum / (double)n + (double)s->a.eps);
    for (int64_t i = 0; i < n; i++)
      y[t + i] = s->x[0][t + i] / rms * s->x[1][i];
  }
}

void
ops_rmsnorm(void)
{
  static const int64_t width[] = {1, 5, 33};

  EACH_SIZE(T)
  for (int i = 0; i < 3; i++) {
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, width[i], -2, 2);
    ops_weight(s, OPS_DIM(width[i]), -1, 2);
    s->view[0] = 1;
    s->n_out = *T * width[i];
    s->a.eps = i == 1 ? 0.1f : 1e-5f;
    s->call = call_rmsnorm;
    s->naive = naive_rmsnorm;
    s->bound = 5e-5;
    ops_check(s);
  }
}

static hy_tensor *
call_gated(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_gated_rmsnorm(c, in[0], in[1], in[2], s->a.n_groups, s->a.eps);
}

static void
naive_gated(const ops_case *s, double *y)
{
  int64_t cols = s->in[2]->dim[0], n = cols / s->a.n_groups;

  for (int64_t t = 0; t < s->n_out; t += n) { /* t: one group of one token */
    double sum = 0.0, rms;

    for (int64_t i = t; i < t + n; i++) {
      y[i] = s->x[0][i] * s->x[1][i] * ops_sigmoid(s->x[1][i]);
      sum += y[i] * y[i];
    }
    rms = sqrt(sum / (double)n + (double)s->a.eps);
    for (int64_t i = t; i < t + n; i++)
      y[i] *= s->x[2][i % cols] / rms;
  }
}

void
ops_gated_rmsnorm(void)
{
  static const int64_t shape[][2] = {{3, 1}, {6, 3}, {20, 2}, {4, 4}};

  EACH_SIZE(T)
  for (int i = 0; i < 4; i++) {
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, shape[i][0], -2, 2);
    ops_rows(s, *T, shape[i][0], -3, 3);
    ops_weight(s, OPS_DIM(shape[i][0]), -1, 2);
    s->view[0] = s->view[1] = 1;
    s->n_out = *T * shape[i][0];
    s->a.n_groups = shape[i][1];
    s->a.eps = 1e-2f;
    s->call = call_gated;
    s->naive = naive_gated;
    s->bound = 1e-5;
    ops_check(s);
  }
}

/* --- elementwise --------------------------------------------------------- */

static hy_tensor *
call_silu(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_silu(c, in[0]);
}

static hy_tensor *
call_relu2(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_relu2(c, in[0]);
}

static void
naive_silu(const ops_case *s, double *y)
{
  for (int64_t i = 0; i < s->n_out; i++)
    y[i] = s->x[0][i] * ops_sigmoid(s->x[0][i]);
}

static void
naive_relu2(const ops_case *s, double *y)
{
  for (int64_t i = 0; i < s->n_out; i++)
    y[i] = s->x[0][i] > 0.0 ? s->x[0][i] * s->x[0][i] : 0.0;
}

static void
activation(hy_tensor *(*call)(hy_ctx *, ops_case *, hy_tensor **),
           void (*naive)(const ops_case *, double *), double range)
{
  EACH_SIZE(T)
  {
    ops_case *s = ops_new(*T);
    hy_tensor *x = ops_rows(s, *T, 9, -range, range);

    if (*T > 1) /* and exactly zero */
      hy_f32(x)[x->ld + 1] = 0.0f;
    s->view[0] = 1;
    s->n_out = *T * 9;
    s->call = call;
    s->naive = naive;
    s->bound = 1e-5; /* at a kink differences are off by half a step */
    ops_check(s);
  }
}

void
ops_silu(void)
{
  activation(call_silu, naive_silu, 2);
  activation(call_silu, naive_silu, 100); /* far into both tails */
}

void
ops_relu2(void)
{
  activation(call_relu2, naive_relu2, 2);
}

static hy_tensor *
call_softplus(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_softplus(c, in[0], in[1]);
}

static void
naive_softplus(const ops_case *s, double *y)
{
  int64_t n = s->in[1]->dim[0];

  for (int64_t i = 0; i < s->n_out; i++) {
    double v = s->x[0][i] + s->x[1][i % n];

    y[i] = fmax(v, 0.0) + log1p(exp(-fabs(v)));
  }
}

void
ops_softplus(void)
{
  static const double range[] = {2, 40};

  EACH_SIZE(T)
  for (int i = 0; i < 2; i++) {
    ops_case *s = ops_new(*T);

    ops_rows(s, *T, 5, -range[i], range[i]);
    ops_weight(s, OPS_DIM(5), -4, 1);
    s->view[0] = 1;
    s->n_out = *T * 5;
    s->call = call_softplus;
    s->naive = naive_softplus;
    ops_check(s);
  }
}

static hy_tensor *
call_add(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_add(c, in[0], in[1]);
}

static hy_tensor *
call_concat(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_concat(c, in[0], in[1]);
}

static void
naive_add(const ops_case *s, double *y)
{
  for (int64_t i = 0; i < s->n_out; i++)
    y[i] = s->x[0][i] + s->x[1][i];
}

static void
naive_concat(const ops_case *s, double *y)
{
  int64_t a = hy_cols(s->in[0]), b = hy_cols(s->in[1]);

  for (int64_t i = 0; i < s->n_out; i++) {
    int64_t t = i / (a + b), j = i % (a + b);

    y[i] = j < a ? s->x[0][t * a + j] : s->x[1][t * b + j - a];
  }
}

static ops_case *
two_inputs(int64_t T, int64_t cols0, int64_t cols1)
{
  ops_case *s = ops_new(T);

  ops_rows(s, T, cols0, -1, 1);
  ops_rows(s, T, cols1, -1, 1);
  s->view[0] = s->view[1] = 1;
  return s;
}

void
ops_add(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = two_inputs(*T, 5, 5);

    s->n_out = *T * 5;
    s->call = call_add;
    s->naive = naive_add;
    ops_check(s);
  }
}

void
ops_concat(void)
{
  EACH_SIZE(T)
  {
    ops_case *s = two_inputs(*T, 5, 2);

    s->n_out = *T * 7;
    s->call = call_concat;
    s->naive = naive_concat;
    ops_check(s);
  }
}
