/* test_travel_mpi.c: experts over ranks on the GPU against the same on the CPU,
 * forward and backward, in both formats: rows and choices find their ways in
 * the memory of the GPU; the same bits again; memory as planned. */
#include "cpu/test_op.h"
#include "gpu/gpu.h"
#include "gpu/gpu_module.h"
#include "grid/test_mpi.h"
#include "op/region.h"

enum { E = 8, MOST = 40 };
enum { RANDOM, ONE_RANK, LAST_RANK, BY_TURNS, N_KINDS };

static hy_comm world; /* set once in main */

/* A layer's shapes and inputs, fp32 with the rounding of act. */
typedef struct {
  int64_t T, k, d, f;
  hy_fmt act;
  int32_t *idx;
  float *weight, *x, *dy, *up, *down; /* up, down: of all experts */
} layer;

/* What comes out. */
typedef struct {
  float *y, *dx, *dw, *dup;
} result;

/* --- memory of a backend ------------------------------------------------- */

static void *block[32];
static int n_block;

static void *
room(const hy_mem *mem, size_t bytes)
{
  void *p = mem->get(bytes);

  assert_non_null(p);
  assert_true(n_block < 32);
  return block[n_block++] = p;
}

/* n numbers into backend memory; NULL: NaN. */
static void *
put(const hy_mem *mem, const float *x, hy_fmt fmt, int64_t n)
{
  size_t bytes = hy_bytes(fmt, n);
  void *raw = test_alloc(bytes, 1), *p = room(mem, bytes);

  memset(raw, 0xff, bytes);
  if (x)
    hy_from_f32(raw, x, fmt, n);
  mem->load(p, raw, bytes);
  return p;
}

static float *
get(const hy_mem *mem, const void *from, hy_fmt fmt, int64_t n)
{
  float *x = test_alloc((size_t)n, sizeof *x);
  void *raw = test_alloc(hy_bytes(fmt, n), 1);

  mem->read(raw, from, hy_bytes(fmt, n));
  hy_to_f32(x, raw, fmt, n);
  return x;
}

static hy_tensor
leaf(const hy_mem *mem, hy_fmt fmt, int64_t a, int64_t b, int64_t d,
     const float *x)
{
  int n_dim = d > 0 ? 3 : 2;
  int64_t n = a * b * (d > 0 ? d : 1);
  hy_fmt gfmt = n_dim == 3 ? HY_F32 : fmt; /* a weight's is fp32 */

  return (hy_tensor){.fmt = fmt,
                     .gfmt = gfmt,
                     .n_dim = n_dim,
                     .dim = {a, b, d > 0 ? d : 1, 1},
                     .ld = n / (a > 0 ? a : 1),
                     .data = put(mem, x, fmt, n),
                     .grad = put(mem, NULL, gfmt, n),
                     .want = 1};
}

/* --- one layer ----------------------------------------------------------- */

static float *
numbers(int64_t n, hy_fmt act)
{
  float *p = test_alloc((size_t)n, sizeof *p);

  for (int64_t i = 0; i < n; i++) {
    p[i] = (float)test_random();
    p[i] = act == HY_BF16 ? hy_bf16_to_f32(hy_f32_to_bf16(p[i])) : p[i];
  }
  return p;
}

/* k experts of token t, ascending. */
static void
choose(int kind, int64_t t, int64_t k, int32_t *idx)
{
  int64_t n = 0;

  for (int32_t e = 0; e < E && n < k; e++) {
    double left = (double)(E - e);

    if (kind == RANDOM      ? (test_random() + 1) / 2 * left < (double)(k - n)
        : kind == BY_TURNS  ? (e + t) % E < k
        : kind == LAST_RANK ? left <= (double)k
                            : 1)
      idx[n++] = e;
  }
  assert_true(n == k);
}

static layer
layer_new(int64_t T, int64_t k, int64_t d, hy_fmt act, int kind)
{
  layer m = {.T = T, .k = k, .d = d, .f = d + 3, .act = act};

  test_seed = 77; /* the same weights on every rank */
  m.up = numbers(E * m.f * d, act);
  m.down = numbers(E * d * m.f, act);
  test_seed = 1000 + (uint64_t)world.rank;
  m.x = numbers(T * d, act);
  m.dy = numbers(T * d, act);
  m.weight = numbers(T * k, HY_F32);
  m.idx = test_alloc((size_t)(T * k), sizeof *m.idx);
  for (int64_t t = 0; t < T; t++)
    choose(kind, t, k, m.idx + t * k);
  return m;
}

/* The text of a layer in a context that is planned for the worst. */
static hy_tensor *
text(hy_ctx *c, const layer *m, const int32_t *idx, hy_tensor *in)
{
  hy_route route = {.weight = &in[1], .idx = idx};
  hy_dispatched d;
  hy_tensor *y;

  hy_ctx_reset(c, 1);
  if (m->k > 2) /* both ways */
    hy_announce(c, &route, E);
  d = hy_dispatch(c, &in[0], &route, E);
  y = hy_grouped_linear(c, d.x, &in[2], d.offset);
  y = hy_grouped_linear(c, hy_relu2(c, y), &in[3], d.offset);
  y = hy_combine(c, y, &d);
  assert_int_equal(y->dim[0], m->T);
  y->has = 1;
  return y;
}

static result
run(const layer *m, const hy_backend *be, const hy_grid *g)
{
  int64_t own = E / g->ep.size, at = own * g->ep.rank * m->f * m->d;
  hy_fmt act = be->act;
  const hy_mem *mem = be->mem;
  hy_batch b = {.n_rows = 1, .seq_len = MOST, .n_tokens = m->T};
  size_t bytes = (size_t)(m->T * m->k) * sizeof *m->idx;
  int32_t *idx = room(mem, bytes);
  hy_tensor in[4] = {leaf(mem, act, m->T, m->d, 0, m->x),
                     leaf(mem, HY_F32, m->T, m->k, 0, m->weight),
                     leaf(mem, act, own, m->f, m->d, m->up + at),
                     leaf(mem, act, own, m->d, m->f, m->down + at)};
  hy_tensor *y, first[4];
  hy_ctx c, plan;
  result r;

  mem->load(idx, m->idx, bytes);
  memcpy(first, in, sizeof in);
  hy_ctx_init(&plan, be->plan, g, 1, 4);
  plan.worst = 1;
  plan.batch = &b;
  y = text(&plan, m, idx, in);
  hy_backward(&plan);
  memcpy(in, first, sizeof in);
  hy_ctx_init(&c, be, g, 1, 4);
  assert_int_equal(hy_ctx_reserve(&c, &plan), 0);
  c.batch = &b;
  y = text(&c, m, idx, in);
  y->grad = put(mem, m->dy, act, m->T * m->d);
  r.y = get(mem, y->data, act, m->T * m->d);
  hy_backward(&c);
  r.dx = get(mem, in[0].grad, act, m->T * m->d);
  r.dw = get(mem, in[1].grad, HY_F32, m->T * m->k);
  r.dup = get(mem, in[2].grad, HY_F32, own * m->f * m->d);
  mem->wait();
  hy_ctx_free(&c);
  hy_ctx_free(&plan);
  while (n_block > 0)
    mem->put(block[--n_block]);
  return r;
}

/* --- the checks ---------------------------------------------------------- */

static double worst[2];

static void
near(const layer *m, const float *a, const float *b, int64_t n,
     const char *what)
{
  double diff = 0, top = 1e-3, bound = m->act == HY_BF16 ? 3e-2 : 2e-6;

  for (int64_t i = 0; i < n; i++) {
    double d = fabs((double)a[i] - (double)b[i]);

    assert_false(isnan(a[i]));
    diff = fmax(diff, d);
    top = fmax(top, fabs((double)b[i]));
  }
  worst[m->act == HY_BF16] = fmax(worst[m->act == HY_BF16], diff / top);
  if (diff > bound * top)
    fail_msg("%s, %s: %.2e of %.2e", what, hy_fmt_name(m->act), diff, top);
}

static void
check(const hy_grid *gpu, const hy_grid *cpu, int64_t T, int64_t k, int64_t d,
      int kind)
{
  hy_fmt act = gpu->backend->act;
  layer m = layer_new(T, k, d, act, kind);
  result want = run(&m, &hy_backend_cpu, cpu);
  result got = run(&m, gpu->backend, gpu), again = run(&m, gpu->backend, gpu);
  int64_t n = E / gpu->ep.size * m.f * d;

  assert_memory_equal(got.y, again.y, (size_t)(T * d) * sizeof(float));
  assert_memory_equal(got.dx, again.dx, (size_t)(T * d) * sizeof(float));
  assert_memory_equal(got.dw, again.dw, (size_t)(T * k) * sizeof(float));
  assert_memory_equal(got.dup, again.dup, (size_t)n * sizeof(float));
  near(&m, got.y, want.y, T * d, "y");
  near(&m, got.dx, want.dx, T * d, "dx");
  near(&m, got.dw, want.dw, T * k, "routing weights");
  near(&m, got.dup, want.dup, n, "up");
  test_release();
}

static void
check_all(int ep, hy_fmt act)
{
  hy_deck_grid d = {.tp = 1, .ep = ep, .cp = 1, .pp = 1};
  const hy_gpu_module *gpu = hy_gpu_module_get();
  hy_grid on, off;

  assert_int_equal(hy_grid_new(&off, MPI_COMM_WORLD, &d), 0);
  assert_int_equal(hy_grid_new(&on, MPI_COMM_WORLD, &d), 0);
  assert_int_equal(gpu->open(&on, act), 0);
  for (int kind = 0; kind < N_KINDS; kind++) {
    int64_t k = 1 + (kind + 2) % 4; /* of 3, 4, 1, 2 experts */

    check(&on, &off, world.rank == 1 ? 0 : MOST - world.rank, k, 13, kind);
    check(&on, &off, 4 + world.rank, k + 2, 8, kind);
  }
  check(&on, &off, world.rank == 0 ? 1 : 0, 2, 8, RANDOM);
  check(&on, &off, 0, 2, 8, RANDOM);
  gpu->close(&on);
  hy_grid_free(&on);
  hy_grid_free(&off);
}

static void
test_ranks(void **state)
{
  (void)state;
  for (int ep = 1; ep <= world.size; ep *= 2) {
    check_all(ep, HY_F32);
    check_all(ep, HY_BF16);
  }
  if (world.rank == 0)
    print_message("worst scaled error fp32 %.2e, bf16 %.2e\n", worst[0],
                  worst[1]);
}

static const struct CMUnitTest test[] = {
    cmocka_unit_test(test_ranks),
};

TEST_MPI_MAIN(test)
