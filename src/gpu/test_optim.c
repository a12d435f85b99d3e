/* test_optim.c: what the optimizer does to lists of runs in the memory of a GPU
 * against the CPU: runs of odd lengths and places, what is not finite, router
 * biases. Without a GPU the kernels run through the shim. */
#include "cpu/cpu_kit.h"
#include "cpu/test_op.h"
#include "gpu/gpu.h"

#include <float.h>

/* ---- runs -----------------------------------------------------------------
 */

enum { N_RUN = 9 };
static const int64_t length[N_RUN] = {1,    0,    16,    8191, 8192,
                                      8193, 3000, 20005, 5};
static const int shift[N_RUN] = {0, 0, 0, 0, 0, 0, 1, 0, 3};

typedef struct {
  const hy_backend *be;
  float *x[4]; /* w, m, v, g */
  void *low;
  hy_run run[N_RUN];
  hy_runs *list;
  size_t n;
} arrays;

static size_t
total(void)
{
  size_t n = 0;

  for (int i = 0; i < N_RUN; i++)
    n += (size_t)(length[i] + 31) / 16 * 16;
  return n;
}

static void
open_arrays(arrays *a, const hy_backend *be, hy_fmt fmt)
{
  size_t at = 0;

  *a = (arrays){.be = be, .n = total()};
  for (int k = 0; k < 4; k++)
    a->x[k] = be->mem->get(a->n * sizeof(float));
  a->low = be->mem->get(hy_bytes(fmt, (int64_t)a->n));
  for (int i = 0; i < N_RUN; i++) {
    size_t p = at + (size_t)shift[i];

    a->run[i] = (hy_run){a->x[0] + p,
                         a->x[1] + p,
                         a->x[2] + p,
                         a->x[3] + p,
                         hy_at(a->low, fmt, (int64_t)p),
                         fmt,
                         i % 2,
                         length[i]};
    at += (size_t)(length[i] + 31) / 16 * 16;
  }
  a->list = be->kit->runs_new(a->run, N_RUN);
}

static void
close_arrays(arrays *a)
{
  a->be->kit->runs_free(a->list);
  for (int k = 0; k < 4; k++)
    a->be->mem->put(a->x[k]);
  a->be->mem->put(a->low);
}

static float *
look(const arrays *a, int k)
{
  float *x = test_alloc(a->n, sizeof *x);

  a->be->mem->read(x, a->x[k], a->n * sizeof *x);
  return x;
}

static void
equal(const char *what, const float *a, const float *b, size_t n, double bound)
{
  double worst = 0;

  for (size_t i = 0; i < n; i++)
    worst = fmax(worst, fabs((double)a[i] - (double)b[i]) /
                            (fabs((double)b[i]) + 1e-3));
  if (!(worst <= bound))
    fail_msg("%s: differs by %.2e", what, worst);
}

/* The model's copy is the master, rounded; between the runs nothing changes. */
static void
check_low(const arrays *a, hy_fmt fmt, const float *w)
{
  size_t bytes = hy_bytes(fmt, (int64_t)a->n);
  char *got = test_alloc(bytes, 1), *want = test_alloc(bytes, 1);

  a->be->mem->read(got, a->low, bytes);
  for (int i = 0; i < N_RUN; i++) {
    size_t at = (size_t)((char *)a->run[i].low - (char *)a->low);

    hy_from_f32(want + at, w + (a->run[i].w - a->x[0]), fmt, length[i]);
  }
  assert_memory_equal(got, want, bytes);
}

static void
step_runs(hy_fmt fmt)
{
  const hy_adamw_rates k = {0.9f,  0.95f, 1e-3f, 0.5f,
                            1e-2f, 1.7f,  1.3f,  {1, 0.999f}};
  float *start = test_alloc(total(), sizeof *start);
  arrays a, b;
  double sa, sb;

  open_arrays(&a, &hy_backend_cpu, fmt);
  open_arrays(&b, &gpu_backend_fp32, fmt);
  for (int x = 0; x < 4; x++) {
    for (size_t i = 0; i < a.n; i++)
      start[i] = (float)(x == 2 ? fabs(test_random()) : test_random());
    a.be->mem->load(a.x[x], start, a.n * sizeof *start);
    b.be->mem->load(b.x[x], start, b.n * sizeof *start);
  }
  for (int s = 0; s < 2; s++) {
    a.be->kit->adamw(a.list, &k, 1);
    b.be->kit->adamw(b.list, &k, 1);
  }
  equal("w", look(&b, 0), look(&a, 0), a.n, 1e-5);
  equal("m", look(&b, 1), look(&a, 1), a.n, 1e-5);
  equal("v", look(&b, 2), look(&a, 2), a.n, 1e-5);
  check_low(&b, fmt, look(&b, 0));
  sa = a.be->kit->sum_squares(a.list);
  sb = b.be->kit->sum_squares(b.list);
  assert_true(fabs(sa - sb) < 1e-6 * sa);
  assert_true(sb == b.be->kit->sum_squares(b.list));
  close_arrays(&a);
  close_arrays(&b);
}

static void
test_runs(void **state)
{
  (void)state;
  test_seed = 3;
  step_runs(HY_F32);
  step_runs(HY_BF16);
  test_release();
}

/* One bad number in each place of a run in turn. */
static void
test_bad(void **state)
{
  static const float bad[] = {INFINITY, -INFINITY, NAN};
  const float one = 1, top = FLT_MAX;
  arrays a;

  (void)state;
  open_arrays(&a, &gpu_backend_fp32, HY_F32);
  for (int i = 0; i < N_RUN; i++)
    for (int k = 0; k < 3 && length[i]; k++) {
      int64_t at = k == 0 ? 0 : k == 1 ? length[i] - 1 : length[i] / 2;
      unsigned char flag[N_RUN];
      float *p = (float *)(uintptr_t)a.run[i].g + at;

      a.be->mem->load(p, &bad[k], sizeof one);
      a.be->kit->not_finite(a.list, flag);
      for (int j = 0; j < N_RUN; j++)
        assert_int_equal(flag[j], i == j);
      assert_false(isfinite(a.be->kit->sum_squares(a.list)));
      a.be->mem->load(p, k ? &one : &top, sizeof one);
      a.be->kit->not_finite(a.list, flag);
      for (int j = 0; j < N_RUN; j++)
        assert_int_equal(flag[j], 0);
      a.be->mem->load(p, &one, sizeof one);
    }
  assert_true(isfinite(a.be->kit->sum_squares(a.list)));
  close_arrays(&a);
  test_release();
}

static void
test_bias(void **state)
{
  const int64_t n = 300;
  int64_t *count = test_alloc((size_t)n, sizeof *count), sum = 0;
  float *bias = test_alloc((size_t)n, sizeof *bias), *b;
  int64_t *c;

  (void)state;
  for (int64_t e = 0; e < n; e++)
    sum += count[e] = (int64_t)(100 * fabs(test_random()));
  count[7] += n - sum % n; /* the mean is a whole number, that of one expert */
  count[9] = (sum + n - sum % n) / n;
  b = gpu_mem.get((size_t)n * sizeof *b);
  c = gpu_mem.get((size_t)n * sizeof *c);
  gpu_mem.load(c, count, (size_t)n * sizeof *c);
  cpu_kit.bias_update(bias, count, n, 0.5f);
  gpu_kit.bias_update(b, c, n, 0.5f);
  gpu_mem.read(count, b, (size_t)n * sizeof *b);
  assert_memory_equal(count, bias, (size_t)n * sizeof *b);
  gpu_mem.put(b);
  gpu_mem.put(c);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_runs),
      cmocka_unit_test(test_bad),
      cmocka_unit_test(test_bias),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
