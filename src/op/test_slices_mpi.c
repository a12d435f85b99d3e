/* test_slices_mpi.c: tokens and the vocabulary cut over tp, region by region:
 * what one rank would have, to the bit where only copies and sums in rank order
 * are made. */
#include "cpu/test_op.h"
#include "op/region.h"

enum { D = 5, K = 7 };

static hy_grid grid; /* all ranks are tp ranks; set once in main */

typedef struct program program;
struct program {
  hy_tensor *(*text)(hy_ctx *c, const program *p, hy_tensor *x);
  hy_grid grid;
  int64_t n_tokens;
  hy_tensor *x, *w;
  const int32_t *id;
  const float *weight;
  int64_t first;
  double loss;
};

static const int64_t tokens[] = {0, 1, 2, 3, 8, 13};
#define EACH_SIZE(T) for (const int64_t *T = tokens; T < tokens + 6; T++)

static int64_t
slice_at(int64_t n, int r)
{
  return n * r / grid.tp.size;
}

/* Rows [from, to) of t as a tensor of their own that wants a gradient. */
static hy_tensor *
rows_of(const hy_tensor *t, int64_t from, int64_t to)
{
  hy_tensor *x = test_tensor(to - from, hy_cols(t), 0);

  for (int64_t i = from; i < to; i++)
    memcpy(hy_f32(x) + (i - from) * x->ld, hy_f32(t) + i * t->ld,
           hy_bytes(HY_F32, hy_cols(t)));
  return x;
}

/* The same numbers on every rank. */
static hy_tensor *
random_rows(int64_t rows, int64_t cols, uint64_t seed)
{
  hy_tensor *t = test_tensor(rows, cols, 0);

  test_seed = seed;
  test_fill(t, -1, 1);
  return t;
}

/* Forward; with dy also backward, x->grad is then set. The context stays with
 * the caller for its tensors. */
static hy_tensor *
run(program *p, const hy_tensor *dy, hy_ctx *c)
{
  hy_batch b = {.n_rows = 1, .seq_len = p->n_tokens, .n_tokens = p->n_tokens};
  hy_ctx plan;
  hy_tensor *y;

  for (int real = 0; real < 2; real++) {
    hy_ctx *at = real ? c : &plan;

    hy_ctx_init(at, real ? test_backend() : test_backend()->plan, &p->grid, 1,
                1);
    if (real)
      assert_int_equal(hy_ctx_reserve(c, &plan), 0);
    at->batch = &b;
    hy_ctx_reset(at, 1);
    p->x->want = 1;
    p->x->has = 0;
    p->x->grad = NULL;
    test_grad(p->x, NAN);
    y = p->text(at, p, p->x);
    if (dy) {
      y->has = 1;
      y->grad = (float *)dy->data;
    }
    if (dy || !y)
      hy_backward(at);
  }
  test_backend()->mem->wait();
  assert_true(plan.act.peak == c->act.peak);
  hy_ctx_free(&plan);
  return y;
}

/* --- between layers ------------------------------------------------------ */

static hy_tensor *
layer_text(hy_ctx *c, const program *p, hy_tensor *x)
{
  hy_tensor *h = hy_enter_tp(c, x);

  return hy_leave_tp(c, hy_linear(c, h, p->w));
}

/* A layer with each rank's own weights: with sp the slices of what it gives
 * without. */
static void
test_sp(void **state)
{
  int me = grid.tp.rank;

  (void)state;
  EACH_SIZE(T)
  {
    int64_t from = slice_at(*T, me), to = slice_at(*T, me + 1);
    hy_tensor *x = random_rows(*T, D, 1), *dy = random_rows(*T, K, 2), *y, *ys;
    program all = {.text = layer_text, .grid = grid, .n_tokens = *T, .x = x};
    program cut;
    hy_ctx c[2];

    all.w = random_rows(K, D, 3 + (uint64_t)me);
    cut = all;
    cut.grid.sp = 1;
    cut.x = rows_of(x, from, to);
    y = run(&all, dy, &c[0]);
    ys = run(&cut, rows_of(dy, from, to), &c[1]);
    assert_true(ys->dim[0] == to - from);
    assert_memory_equal(hy_f32(ys), hy_f32(y) + from * K,
                        hy_bytes(HY_F32, (to - from) * K));
    assert_memory_equal(cut.x->grad, x->grad + from * D,
                        hy_bytes(HY_F32, (to - from) * D));
    hy_ctx_free(&c[0]);
    hy_ctx_free(&c[1]);
    test_release();
  }
}

static hy_tensor *
slice_text(hy_ctx *c, const program *p, hy_tensor *x)
{
  hy_tensor *h = hy_slice_tp(c, x);

  (void)p;
  assert_true(hy_token_at(c, h->dim[0]) ==
                  slice_at(c->batch->n_tokens, c->grid->tp.rank) ||
              h->dim[0] == c->batch->n_tokens);
  return hy_unslice_tp(c, hy_relu2(c, h));
}

/* Each rank works on its tokens, everybody gets all. */
static void
test_slices(void **state)
{
  (void)state;
  EACH_SIZE(T)
  {
    hy_tensor *x = random_rows(*T, D, 1), *dy = random_rows(*T, D, 2), *y;
    program p = {.text = slice_text, .grid = grid, .n_tokens = *T, .x = x};
    hy_ctx c;

    y = run(&p, dy, &c);
    for (int64_t i = 0; i < *T * D; i++) {
      float v = hy_f32(x)[i];

      assert_true(hy_f32(y)[i] == (v > 0 ? v * v : 0));
      assert_true(x->grad[i] == (v > 0 ? 2 * v * hy_f32(dy)[i] : 0));
    }
    hy_ctx_free(&c);
    test_release();
  }
}

/* --- groups over some of the ranks --------------------------------------- */

static hy_tensor *
near_text(hy_ctx *c, const program *p, hy_tensor *x)
{
  return hy_sum_near(c, hy_relu2(c, x), (int)p->first);
}

static void
test_near(void **state)
{
  (void)state;
  for (int f = 1; f <= grid.tp.size && grid.tp.size % f == 0; f *= 2) {
    int at = grid.tp.rank / f * f;
    hy_tensor *x = test_tensor(3, 1, 0), *dy = test_tensor(3, 1, 0), *y;
    program p = {.text = near_text, .grid = grid, .n_tokens = 3, .x = x};
    float sum = 0, back = 0;
    hy_ctx c;

    p.first = f;
    for (int i = 0; i < 3; i++) {
      hy_f32(x)[i] = (float)(grid.tp.rank + 1);
      hy_f32(dy)[i] = (float)(grid.tp.rank + 2);
    }
    for (int r = at; r < at + f; r++) {
      sum += (float)((r + 1) * (r + 1));
      back += (float)(r + 2);
    }
    y = run(&p, dy, &c);
    for (int i = 0; i < 3; i++) {
      assert_true(hy_f32(y)[i] == sum);
      assert_true(x->grad[i] == back * 2 * (float)(grid.tp.rank + 1));
    }
    hy_ctx_free(&c);
    test_release();
  }
}

/* --- the vocabulary ------------------------------------------------------- */

static hy_tensor *
ce_text(hy_ctx *c, const program *p, hy_tensor *x)
{
  program *q = (program *)(uintptr_t)p;

  hy_ce(c, x, hy_share_stat(c, x, p->id, p->weight, p->first), p->id, p->weight,
        p->first, 0.5, NULL, &q->loss);
  return NULL;
}

/* Columns of every rank against the whole row. */
static void
ce_case(int64_t T, int64_t vocab)
{
  int64_t lo = slice_at(vocab, grid.tp.rank);
  int64_t n = slice_at(vocab, grid.tp.rank + 1) - lo;
  hy_tensor *z = random_rows(T, vocab, 4), *own = test_tensor(T, n, 0);
  hy_tensor *whole = rows_of(z, 0, T);
  int32_t *id = test_alloc((size_t)T, sizeof *id);
  float *weight = test_alloc((size_t)T, sizeof *weight);
  program one = {.text = ce_text, .grid = grid, .n_tokens = T, .x = whole}, cut;
  hy_ctx c[2];

  for (int64_t t = 0; t < T; t++) {
    id[t] = (int32_t)((t * 11 + 5) % vocab);
    weight[t] = t % 4 == 1 ? 0.0f : 1.0f;
    if (n)
      memcpy(hy_f32(own) + t * n, hy_f32(z) + t * vocab + lo,
             hy_bytes(HY_F32, n));
  }
  one.grid.tp = (hy_comm){.size = 1};
  one.id = id;
  one.weight = weight;
  cut = one;
  cut.grid = grid;
  cut.x = own;
  cut.first = lo;
  run(&one, NULL, &c[0]);
  run(&cut, NULL, &c[1]);
  assert_true(fabs(cut.loss - one.loss) <= 1e-12 + 2e-7 * fabs(one.loss));
  for (int64_t i = 0; i < T * n; i++) /* the gradient took their place */
    assert_true(fabsf(hy_f32(own)[i] -
                      hy_f32(whole)[i / n * vocab + lo + i % n]) <= 2e-7f);
  hy_ctx_free(&c[0]);
  hy_ctx_free(&c[1]);
  test_release();
}

static void
test_ce(void **state)
{
  static const int64_t vocab[] = {1, 2, 3, 29, 777};

  (void)state;
  for (int i = 0; i < 5; i++)
    EACH_SIZE(T)
  ce_case(*T, vocab[i]);
}

static hy_tensor *
cols_text(hy_ctx *c, const program *p, hy_tensor *x)
{
  return hy_gather_cols(c, x, p->first);
}

static void
test_cols(void **state)
{
  static const int64_t vocab[] = {1, 3, 29};

  (void)state;
  for (int i = 0; i < 3; i++)
    EACH_SIZE(T)
    {
      int64_t v = vocab[i], lo = slice_at(v, grid.tp.rank);
      int64_t n = slice_at(v, grid.tp.rank + 1) - lo;
      hy_tensor *z = random_rows(*T, v, 4), *own = test_tensor(*T, n, 0), *y;
      hy_tensor *none = test_tensor(*T, v, 0);
      program p = {.text = cols_text, .grid = grid, .n_tokens = *T, .x = own};
      hy_ctx c;

      for (int64_t t = 0; t < *T && n; t++)
        memcpy(hy_f32(own) + t * n, hy_f32(z) + t * v + lo,
               hy_bytes(HY_F32, n));
      p.first = v;
      y = run(&p, none, &c);
      assert_memory_equal(hy_f32(y), hy_f32(z), hy_bytes(HY_F32, *T * v));
      hy_ctx_free(&c);
      test_release();
    }
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_sp),   cmocka_unit_test(test_slices),
      cmocka_unit_test(test_near), cmocka_unit_test(test_ce),
      cmocka_unit_test(test_cols),
  };
  hy_deck_grid d = {.ep = 1, .cp = 1, .pp = 1};
  int failed = 0, size;

  MPI_Init(&argc, &argv);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  d.tp = size;
  if (hy_grid_new(&grid, MPI_COMM_WORLD, &d))
    MPI_Abort(MPI_COMM_WORLD, 1);
  for (int i = 0; i < TEST_WAYS; i++) {
    test_open(&grid);
    failed += cmocka_run_group_tests(test, NULL, NULL);
    test_close(&grid);
  }
  if (failed) /* the other ranks may wait in a collective */
    MPI_Abort(MPI_COMM_WORLD, 1);
  hy_grid_free(&grid);
  MPI_Finalize();
  return failed;
}
