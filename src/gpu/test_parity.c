/* test_parity.c: every row of ops.def on the GPU against the CPU: the cases of
 * op/test_ops_*.c and those that a GPU needs (gpu/test_parity_*.c), with fp32
 * and with bf16 activations; rows of odd and of aligned stride, empty and
 * filled gradients, views of columns, twice the same bits. Without a GPU the
 * kernels run through the shim. */
#include "op/test_ops.h"
#include "op/test_ops_case.h"
#include "gpu/gpu.h"

/* Inputs that stay fp32 beside bf16 activations, by op, as bits; vectors and
 * the taps of the convolution always do. */
static const unsigned precise[HY_N_OPS] = {
    [HY_OP_scaled_norm] = 1 << 1,      [HY_OP_ssd_state] = 1 << 1,
    [HY_OP_ssd] = 1 << 1 | 1 << 6,     [HY_OP_router] = 1 << 0,
    [HY_OP_combine] = 1 << 1,          [HY_OP_seq_count] = 1 << 0,
    [HY_OP_seq_aux] = 1 << 0 | 1 << 1, [HY_OP_ce] = 1 << 1,
};

/* Weights of two dimensions: their gradients are fp32. */
static const unsigned matrix[HY_N_OPS] = {
    [HY_OP_linear] = 1 << 1, [HY_OP_embedding] = 1 << 0};

/* Largest scaled errors (see test_error) allowed, as measured; the rest has
 * those of the first row. */
static const struct {
  int op;
  double fp32, bf16;
} bound[] = {
    {-1, 1e-5, 1e-2},
    {HY_OP_embedding, 1e-7, 1e-7},
    {HY_OP_rmsnorm, 6e-6, 8e-3},
    {HY_OP_gated_rmsnorm, 3e-6, 8e-3},
    {HY_OP_gate, 8e-7, 8e-3},
    /* a reference that is not vectorised adds rows of 16416 one by one */
    {HY_OP_sum_squares, 1e-5, 8e-3},
    {HY_OP_scaled_norm, 5e-6, 8e-3},
    {HY_OP_silu, 6e-7, 8e-3},
    {HY_OP_relu2, 1e-7, 8e-3},
    {HY_OP_softplus, 9e-7, 8e-3},
    {HY_OP_add, 0, 8e-3},
    {HY_OP_concat, 0, 8e-3},
    {HY_OP_conv1d, 1.2e-6, 8e-3},
    {HY_OP_ssd_state, 2.5e-6, 8e-3},
    {HY_OP_ssd, 5e-6, 1.2e-2},
    {HY_OP_linear, 5e-6, 7e-3},
    {HY_OP_grouped_linear, 2e-6, 7e-3},
    {HY_OP_attention, 3e-6, 1e-2},
    {HY_OP_attention_block, 3e-6, 1e-2},
    {HY_OP_ce_stat, 1e-6, 1e-6},
    {HY_OP_ce, 2e-6, 5e-3},
    {HY_OP_router, 5e-7, 5e-7},
    {HY_OP_permute, 3e-8, 1e-2},
    {HY_OP_combine, 2e-6, 1e-2}, /* fp32: the dot products of the CPU, -O1 */
    {HY_OP_seq_count, 0, 0},
    {HY_OP_seq_aux, 1.2e-6, 1.2e-6},
};

int ops_n_checked;
static int ops_row;
static const hy_grid one_rank = {
    .world = {.size = 1}, .tp = {.size = 1}, .dp = {.size = 1}};

void *
test_pinned(size_t bytes)
{
  void *p = gpu_mem.get_host(bytes);

  if (p != NULL)
    memset(p, 0, bytes);
  return p;
}

void
test_unpin(void *p)
{
  gpu_mem.put_host(p);
}

/* --- one run on a backend ------------------------------------------------ */

typedef struct {
  const hy_backend *be;
  hy_fmt act;  /* whose rounding the numbers have, on the CPU too */
  int64_t gap; /* between rows; -1: none but what aligns them */
  int views;
  float held;
  hy_ctx plan, ctx;
  hy_tensor *in[OPS_MAX_IN], *wide, *y;
  void *block[64]; /* of backend memory */
  int n_block;
  /* results, fp32, without gaps */
  double *out, *grad[OPS_MAX_IN];
  double value;
} run;

static void *
room(run *r, size_t bytes)
{
  char poison[256];
  char *p = r->be->mem->get(bytes);

  assert_non_null(p);
  assert_true(r->n_block < 64);
  memset(poison, 0xff, sizeof poison);
  for (size_t at = 0; at < bytes; at += sizeof poison)
    r->be->mem->load(p + at, poison,
                     bytes - at < sizeof poison ? bytes - at : sizeof poison);
  return r->block[r->n_block++] = p;
}

static int
is_precise(const ops_case *s, int i)
{
  return (precise[ops_row] | s->precise) >> i & 1;
}

static hy_fmt
fmt_of(const ops_case *s, const run *r, int i)
{
  if (s->in[i]->n_dim == 1 || (ops_row == HY_OP_conv1d && i == 1) ||
      is_precise(s, i))
    return HY_F32;
  return r->act;
}

/* Rows of numbers into backend memory; from: (rows, cols), or NULL: `value`. */
static void
put_rows(run *r, void *to, hy_fmt fmt, int64_t ld, int64_t rows, int64_t cols,
         const double *from, float value)
{
  float *row = test_alloc((size_t)cols + 1, sizeof *row);
  char *raw = test_alloc((size_t)cols + 1, sizeof *row);

  for (int64_t t = 0; t < rows && cols > 0; t++) {
    for (int64_t j = 0; j < cols; j++)
      row[j] = from != NULL ? (float)from[t * cols + j] : value;
    hy_from_f32(raw, row, fmt, cols);
    r->be->mem->load(hy_at(to, fmt, t * ld), raw, hy_bytes(fmt, cols));
  }
}

static double *
get_rows(const run *r, const void *from, hy_fmt fmt, int64_t ld, int64_t rows,
         int64_t cols)
{
  double *out = test_alloc((size_t)(rows * cols), sizeof *out);
  float *row = test_alloc((size_t)cols + 1, sizeof *row);
  char *raw = test_alloc((size_t)cols + 1, sizeof *row);

  for (int64_t t = 0; t < rows && cols > 0; t++) {
    r->be->mem->read(raw, hy_at(from, fmt, t * ld), hy_bytes(fmt, cols));
    hy_to_f32(row, raw, fmt, cols);
    for (int64_t j = 0; j < cols; j++)
      out[t * cols + j] = row[j];
  }
  return out;
}

static hy_tensor *
new_tensor(run *r, const hy_tensor *like, hy_fmt fmt, int64_t cols)
{
  hy_tensor *t = test_alloc(1, sizeof *t);

  *t = *like;
  t->fmt = r->be->act == HY_F32 ? HY_F32 : fmt;
  t->gfmt = like->n_dim == 2 ? t->fmt : HY_F32; /* a weight's is fp32 */
  t->dim[1] = like->n_dim == 2 ? cols : like->dim[1];
  t->ld = like->n_dim != 2 ? cols
          : r->gap >= 0    ? cols + r->gap
                           : (cols + 15) / 8 * 8;
  t->data = room(r, hy_bytes(t->fmt, t->dim[0] * t->ld));
  t->grad = NULL;
  return t;
}

static void
want(run *r, hy_tensor *t, int wanted)
{
  t->want = (unsigned char)wanted;
  t->has = !isnan(r->held);
  t->grad = NULL;
  if (!wanted)
    return;
  t->grad = room(r, hy_bytes(t->gfmt, t->dim[0] * t->ld));
  if (t->has)
    put_rows(r, t->grad, t->gfmt, t->ld, t->dim[0], t->ld, NULL, r->held);
}

static int
is_view(const ops_case *s, const run *r, int i)
{
  return r->views && s->view[i] && !is_precise(s, i);
}

/* The numbers of input i as this run's format has them. */
static double *
rounded(const ops_case *s, const run *r, int i)
{
  int64_t n = s->in[i]->dim[0] * hy_cols(s->in[i]);
  double *x = test_alloc((size_t)n, sizeof *x);
  int low = fmt_of(s, r, i) == HY_BF16;

  for (int64_t j = 0; j < n; j++) {
    float f = (float)s->x[i][j];

    x[j] = low ? hy_bf16_to_f32(hy_f32_to_bf16(f)) : f;
  }
  return x;
}

static void
make_leaves(const ops_case *s, run *r)
{
  int64_t cols = 8, at = 8;

  for (int i = 0; i < s->n_in; i++) {
    hy_tensor *t = r->in[i] =
        new_tensor(r, s->in[i], fmt_of(s, r, i), hy_cols(s->in[i]));

    if (matrix[ops_row] >> i & 1)
      t->gfmt = HY_F32;
    put_rows(r, t->data, t->fmt, t->ld, t->dim[0], hy_cols(t), rounded(s, r, i),
             0);
    want(r, t, !s->frozen[i] && !is_view(s, r, i));
    if (is_view(s, r, i))
      cols += hy_cols(t) + 8;
  }
  if (cols == 8)
    return;
  r->wide = new_tensor(r, s->in[0], r->act, cols);
  want(r, r->wide, 1);
  for (int i = 0; i < s->n_in; i++) {
    hy_tensor *w = r->wide;

    if (!is_view(s, r, i))
      continue;
    put_rows(r, hy_at(w->data, w->fmt, at), w->fmt, w->ld, s->in[i]->dim[0],
             hy_cols(s->in[i]), rounded(s, r, i), 0);
    at += hy_cols(s->in[i]) + 8;
  }
}

static void
forward(ops_case *s, run *r, hy_ctx *c)
{
  hy_tensor *in[OPS_MAX_IN];
  int64_t at = 8;

  c->batch = &s->batch;
  hy_ctx_reset(c, 1);
  for (int i = 0; i < s->n_in; i++) {
    in[i] = r->in[i];
    if (is_view(s, r, i)) {
      in[i] = hy_cols_of(c, r->wide, at, hy_cols(s->in[i]));
      at += hy_cols(s->in[i]) + 8;
    }
  }
  s->value = 0.0;
  r->y = s->call(c, s, in);
  if (!c->be->dry)
    memcpy(r->in, in, sizeof in);
}

static void
poison(const hy_arena *a, const hy_mem *mem)
{
  char *bad = test_alloc(a->size, 1);

  memset(bad, 0xff, a->size);
  if (a->size > 0)
    mem->load(a->base, bad, a->size);
}

static void
run_on(ops_case *s, run *r)
{
  hy_tensor *y;

  make_leaves(s, r);
  hy_ctx_init(&r->plan, r->be->plan, &one_rank, 1, 1);
  forward(s, r, &r->plan);
  if (r->y != NULL)
    r->y->has = 1;
  hy_backward(&r->plan);
  for (int i = 0; i < s->n_in; i++)
    r->in[i]->has = !isnan(r->held);
  if (r->wide != NULL)
    r->wide->has = !isnan(r->held);
  hy_ctx_init(&r->ctx, r->be, &one_rank, 1, 1);
  assert_int_equal(hy_ctx_reserve(&r->ctx, &r->plan), 0);
  poison(&r->ctx.act, r->be->mem);
  poison(&r->ctx.turn[0], r->be->mem);
  poison(&r->ctx.turn[1], r->be->mem);
  forward(s, r, &r->ctx);
  y = r->y;
  if (y != NULL) {
    r->out = get_rows(r, y->data, y->fmt, y->ld, y->dim[0], hy_cols(y));
    y->has = 1;
    y->grad = room(r, hy_bytes(y->gfmt, y->dim[0] * y->ld));
    put_rows(r, y->grad, y->gfmt, y->ld, y->dim[0], hy_cols(y), s->dy, 0);
  }
  r->be->mem->wait();
  r->value = s->value;
  hy_backward(&r->ctx);
  for (int i = 0; i < s->n_in; i++) {
    const hy_tensor *x = r->in[i];

    if (!s->frozen[i])
      r->grad[i] = get_rows(r, x->grad, x->gfmt, x->ld, x->dim[0], hy_cols(x));
  }
}

static void
run_free(run *r)
{
  hy_ctx_free(&r->ctx);
  hy_ctx_free(&r->plan);
  for (int i = 0; i < r->n_block; i++)
    r->be->mem->put(r->block[i]);
}

/* --- the checks ---------------------------------------------------------- */

static double worst[HY_N_OPS][2];

static double
allowed(int low)
{
  for (size_t i = 1; i < sizeof bound / sizeof *bound; i++)
    if (bound[i].op == ops_row)
      return low ? bound[i].bf16 : bound[i].fp32;
  return low ? bound->bf16 : bound->fp32;
}

static void
compare(const ops_case *s, const run *r, const double *got, const double *want_,
        int64_t n, const char *what, int i, hy_fmt fmt)
{
  double top = 0.5, error = 0.0, most;
  int low = r->act == HY_BF16, sharp = low && s->sharp != 0.0 && fmt == HY_F32;

  for (int64_t j = 0; j < n; j++) {
    double d = fabs(got[j] - want_[j]);

    if (s->poisoned && isnan(want_[j]))
      continue;
    top = fmax(top, fabs(want_[j]));
    error = d <= error ? error : d; /* a NaN stays */
  }
  error /= top;
  most = sharp ? s->sharp : allowed(low);
  if (!sharp && !(error <= worst[ops_row][low]))
    worst[ops_row][low] = error;
  if (!(error <= most))
    fail_msg("%s, %s: %s %d: scaled error %.3g, bound %.3g (T = %lld, gap "
             "%lld, views %d, held %g)",
             hy_backend_cpu.op[ops_row].name, hy_fmt_name(r->act), what, i,
             error, most, (long long)s->batch.n_tokens, (long long)r->gap,
             r->views, (double)r->held);
}

static int64_t
count(const hy_tensor *t)
{
  return t->dim[0] * hy_cols(t);
}

static void
check_same(const ops_case *s, const run *a, const run *b)
{
  if (a->out != NULL)
    assert_memory_equal(a->out, b->out, (size_t)s->n_out * sizeof *a->out);
  assert_true(memcmp(&a->value, &b->value, sizeof a->value) == 0);
  for (int i = 0; i < s->n_in; i++)
    if (a->grad[i] != NULL)
      assert_memory_equal(a->grad[i], b->grad[i],
                          (size_t)count(s->in[i]) * sizeof(double));
}

static void
check(ops_case *s, hy_fmt act, int64_t gap, int views, float held, int twice)
{
  const hy_backend *be = act == HY_BF16 ? &gpu_backend_bf16 : &gpu_backend_fp32;
  run cpu = {&hy_backend_cpu, act, .gap = gap, .views = views, .held = held};
  run gpu = {be, act, .gap = gap, .views = views, .held = held}, again = gpu;

  run_on(s, &cpu);
  run_on(s, &gpu);
  if (gpu.y != NULL)
    compare(s, &gpu, gpu.out, cpu.out, count(gpu.y), "output", 0, gpu.y->fmt);
  else
    compare(s, &gpu, &gpu.value, &cpu.value, 1, "value", 0, act);
  for (int i = 0; i < s->n_in; i++)
    if (!s->frozen[i])
      compare(s, &gpu, gpu.grad[i], cpu.grad[i], count(s->in[i]), "gradient", i,
              gpu.in[i]->gfmt);
  if (twice) {
    run_on(s, &again);
    check_same(s, &gpu, &again);
    run_free(&again);
  }
  run_free(&cpu);
  run_free(&gpu);
}

/* HYMN_TEST_CASE=N: the N-th case (from 0) of each op alone, aligned rows only:
 * what ThreadSanitizer has time for. */
static int
one_case(void)
{
  const char *n = getenv("HYMN_TEST_CASE");

  return n ? atoi(n) : -1;
}

void
ops_check(ops_case *s)
{
  int any = 0, only = one_case();

  if (only >= 0 && ops_n_checked != only) {
    test_release();
    ops_n_checked++;
    return;
  }

  s->n_out = s->loss != 0.0 ? 1 : s->n_out;
  s->dy = test_alloc((size_t)s->n_out, sizeof *s->dy);
  for (int64_t i = 0; i < s->n_out; i++)
    s->dy[i] = s->loss != 0.0 ? s->loss
               : s->sharp != 0.0
                   ? (double)(float)test_random()
                   : hy_bf16_to_f32(hy_f32_to_bf16((float)test_random()));
  for (int i = 0; i < s->n_in; i++) {
    s->x[i] = test_double(s->in[i], hy_f32(s->in[i]));
    any |= s->view[i];
  }
  for (int low = 0; low < 2; low++) {
    hy_fmt act = low ? HY_BF16 : HY_F32;

    check(s, act, -1, 0, 0.5f, 0);
    if (only >= 0)
      continue;
    check(s, act, 3, 0, NAN, 1);
    if (any) {
      check(s, act, -1, 1, NAN, 0);
      check(s, act, 3, 1, 0.5f, 0);
    }
  }
  test_release();
  ops_n_checked++;
}

/* --- the rows of ops.def ------------------------------------------------- */

/* Shapes that the tiles of the kernels need. */
#define HY_OP(n) void parity_##n(void);
#include "op/ops.def"
#undef HY_OP

#define HY_OP(n)                                                               \
  static void test_##n(void **state)                                           \
  {                                                                            \
    (void)state;                                                               \
    test_seed = HY_OP_##n;                                                     \
    ops_row = HY_OP_##n;                                                       \
    ops_n_checked = 0;                                                         \
    ops_##n();                                                                 \
    parity_##n();                                                              \
    assert_true(ops_n_checked > 0);                                            \
    print_message("%-16s worst scaled error fp32 %.2e, bf16 %.2e\n", #n,       \
                  worst[ops_row][0], worst[ops_row][1]);                       \
  }
#include "op/ops.def"
#undef HY_OP

int
main(void)
{
  const struct CMUnitTest test[] = {
#define HY_OP(n) cmocka_unit_test(test_##n),
#include "op/ops.def"
#undef HY_OP
  };
  const char *only = getenv("HYMN_TEST_OP"); /* one op alone */

  if (only)
    cmocka_set_test_filter(only);
  return cmocka_run_group_tests(test, NULL, NULL);
}
