/* test_parity_dense.c: products and cross-entropy at shapes that cross the
 * tiles of their kernels. */
#include "op/test_ops.h"
#include "gpu/gpu.h"
#include "cuda/linear.h"

void parity_linear(void);
void parity_grouped_linear(void);
void parity_ce_stat(void);
void parity_ce(void);

/* --- the product of linear.cu -------------------------------------------- */

typedef struct {
  int64_t m, n, k;
  int ta, tb, in, out; /* in, out: bf16 */
  int64_t gap;
  float beta;
} product;

/* (rows, cols) random numbers, as the format has them, `gap` between rows. */
static cu_mat
matrix(int64_t rows, int64_t cols, int64_t gap, int bf16)
{
  hy_fmt fmt = bf16 ? HY_BF16 : HY_F32;
  int64_t ld = cols + gap, n = rows * ld;
  float *x = test_alloc((size_t)n + 1, sizeof *x);
  void *raw = test_alloc((size_t)n + 1, sizeof *x);
  cu_mat a = {gpu_mem.get(hy_bytes(fmt, n)), ld, bf16};

  for (int64_t i = 0; i < n; i++)
    x[i] = i % ld < cols ? (float)test_random() : NAN;
  hy_from_f32(raw, x, fmt, n);
  gpu_mem.load(a.p, raw, hy_bytes(fmt, n));
  return a;
}

static float *
numbers(cu_mat a, int64_t rows)
{
  hy_fmt fmt = a.bf16 ? HY_BF16 : HY_F32;
  float *x = test_alloc((size_t)(rows * a.ld) + 1, sizeof *x);
  void *raw = test_alloc((size_t)(rows * a.ld) + 1, sizeof *x);

  gpu_mem.read(raw, a.p, hy_bytes(fmt, rows * a.ld));
  hy_to_f32(x, raw, fmt, rows * a.ld);
  return x;
}

static void
check_product(const product *p)
{
  int64_t ra = p->ta ? p->k : p->m, ca = p->ta ? p->m : p->k;
  int64_t rb = p->tb ? p->n : p->k, cb = p->tb ? p->k : p->n;
  cu_mat a = matrix(ra, ca, p->gap, p->in), b = matrix(rb, cb, p->gap, p->in);
  cu_mat c = matrix(p->m, p->n, p->gap, p->out);
  float *x = numbers(a, ra), *y = numbers(b, rb), *old = numbers(c, p->m), *z;

  cu_gemm(gpu_stream(), p->ta, p->tb, p->m, p->n, p->k, a, b, p->beta, c);
  gpu_check(cudaGetLastError(), "product");
  z = numbers(c, p->m);
  for (int64_t i = 0; i < p->m * c.ld; i++) {
    int64_t row = i / c.ld, col = i % c.ld;
    double sum = (double)p->beta * (double)old[i];

    if (col >= p->n) { /* nothing is written between rows */
      assert_true(isnan(z[i]));
      continue;
    }
    for (int64_t k = 0; k < p->k; k++)
      sum += (double)x[p->ta ? k * a.ld + row : row * a.ld + k] *
             (double)y[p->tb ? col * b.ld + k : k * b.ld + col];
    if (!(fabs((double)z[i] - sum) <=
          (p->out ? 4e-3 : 1e-6) * (1.0 + fabs(sum)) + 1e-5))
      fail_msg("product %lld x %lld x %lld (ta %d, tb %d, bf16 %d %d): element "
               "(%lld, %lld) is %g, not %g",
               (long long)p->m, (long long)p->n, (long long)p->k, p->ta, p->tb,
               p->in, p->out, (long long)row, (long long)col, (double)z[i],
               sum);
  }
  gpu_mem.put(a.p);
  gpu_mem.put(b.p);
  gpu_mem.put(c.p);
  test_release();
}

static void
check_products(void)
{
  static const int64_t shape[][3] = {
      {1, 1, 1}, {3, 5, 0}, {129, 7, 70}, {65, 131, 33}, {130, 200, 257}};

  for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
    for (int way = 0; way < 3; way++)
      for (int fmt = 0; fmt < 3; fmt++)
        for (int more = 0; more < 2; more++) {
          product p = {.m = shape[i][0],
                       .n = shape[i][1],
                       .k = shape[i][2],
                       .ta = way == 2,
                       .tb = way == 1,
                       .in = fmt > 0,
                       .out = fmt > 1,
                       .gap = more ? 3 : 0,
                       .beta = more ? 0.5f : 0};

          check_product(&p);
        }
}

/* --- linear -------------------------------------------------------------- */

static hy_tensor *
call_linear(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_linear(c, in[0], in[1]);
}

void
parity_linear(void)
{
  static const int64_t shape[][3] = {{1, 64, 72},    {127, 33, 129},
                                     {129, 128, 65}, {300, 72, 136},
                                     {66, 200, 128}, {0, 40, 24}};

  for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
    for (unsigned precise = 0; precise < 4; precise += 2) {
      int64_t T = shape[i][0], n_in = shape[i][1], n_out = shape[i][2];
      ops_case *s = ops_new(T);

      ops_rows(s, T, n_in, -1, 1);
      ops_weight(s, OPS_DIM(n_out, n_in), -1, 1);
      s->view[0] = 1;
      s->precise = precise; /* a router's weight */
      s->sharp = precise ? 3e-6 : 0;
      s->n_out = T * n_out;
      s->call = call_linear;
      ops_check(s);
    }
  check_products();
}

/* --- grouped_linear ------------------------------------------------------ */

static hy_tensor *
call_grouped(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_grouped_linear(c, in[0], in[1], s->a.offset);
}

/* Experts with the rows of a tile and one more or less, with several tiles,
 * with none, with all. */
void
parity_grouped_linear(void)
{
  static const int32_t offset[][6] = {{0, 1, 128, 257, 257, 300},
                                      {0, 0, 0, 0, 300, 300},
                                      {0, 63, 63, 64, 193, 193},
                                      {0, 0, 0, 0, 0, 129}};
  static const int64_t shape[][2] = {
      {72, 136}, {33, 129}, {128, 64}, {200, 31}};

  for (int i = 0; i < 4; i++) {
    int64_t n = offset[i][5], n_in = shape[i][0], n_out = shape[i][1];
    ops_case *s = ops_new(n);

    ops_rows(s, n, n_in, -1, 1);
    ops_weight(s, OPS_DIM(5, n_out, n_in), -1, 1);
    s->view[0] = 1;
    s->n_out = n * n_out;
    s->a.offset =
        memcpy(test_alloc(6, sizeof **offset), offset[i], sizeof offset[i]);
    s->call = call_grouped;
    ops_check(s);
  }
}

/* --- cross-entropy ------------------------------------------------------- */

static hy_tensor *
call_ce(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_ce(c, in[0], NULL, s->a.id, s->a.weight, 0, s->a.factor, s->a.over,
        &s->value);
  return NULL;
}

static hy_tensor *
call_ce_stat(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ce_stat(c, in[0], s->a.id, s->a.weight, s->a.first_id);
}

/* Every third row has no weight, and a NaN among its logits. */
static ops_case *
ce_new(int64_t T, int64_t vocab, double range)
{
  ops_case *s = ops_new(T);
  hy_tensor *z = ops_rows(s, T, vocab, -range, range);
  int32_t *id = test_alloc((size_t)T, sizeof *id);
  float *weight = test_alloc((size_t)T, sizeof *weight);

  for (int64_t t = 0; t < T; t++) {
    weight[t] = t % 3 == 1 ? 0.0f : 0.5f * (float)(1 + t % 2);
    id[t] = (int32_t)((t * 977 + 3) % vocab);
    if (t % 3 == 1)
      hy_f32(z)[t * z->ld + id[t]] = NAN;
  }
  s->a.id = id;
  s->a.weight = weight;
  return s;
}

/* A row over all threads of a block, with and without a rest; many rows for
 * the sum of losses; a denominator in backend memory. */
void
parity_ce(void)
{
  static const int64_t shape[][2] = {
      {2, 8192}, {4, 9001}, {300, 40}, {5, 20011}};

  for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
    ops_case *s = ce_new(shape[i][0], shape[i][1], 1.0 + 4.0 * (double)i);
    double *over = test_alloc(1, sizeof *over);

    *over = 3.0;
    s->a.factor = 2.0;
    s->a.over = i % 2 ? over : NULL;
    s->loss = 1;
    s->in_place = 1;
    s->call = call_ce;
    ops_check(s);
  }
}

void
parity_ce_stat(void)
{
  static const int64_t shape[][3] = {{3, 8192, 0}, {2, 9001, 500}, {70, 33, 8}};

  for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
    ops_case *s = ce_new(shape[i][0], shape[i][1], 5.0);

    s->frozen[0] = 1;
    s->a.first_id = shape[i][2];
    s->n_out = shape[i][0] * HY_CE_STAT;
    s->call = call_ce_stat;
    ops_check(s);
  }
}
