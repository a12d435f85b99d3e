/* test_kit.c: array functions of the CUDA backend against those of the CPU, in
 * both formats, at odd and at aligned lengths. */
#include "cpu/cpu_kit.h"
#include "cpu/test_op.h"
#include "gpu/gpu.h"

static const hy_mem *const mem = &gpu_mem;
static void *block[16];
static int n_block;

/* `bytes` of GPU memory that holds what `host` does, `shift` bytes behind an
 * aligned address. */
static void *
put(const void *host, size_t bytes, size_t shift)
{
  char *p = mem->get(bytes + shift);

  assert_non_null(p);
  assert_true(n_block < 16);
  block[n_block++] = p;
  mem->load(p + shift, host, bytes);
  return p + shift;
}

static void
put_back(void)
{
  while (n_block > 0)
    mem->put(block[--n_block]);
  test_release();
}

/* Small multiples of 1/4: sums are exact in both formats. */
static float *
numbers(int64_t n)
{
  float *x = test_alloc((size_t)n + 1, sizeof *x);

  for (int64_t i = 0; i < n; i++)
    x[i] = (float)(int)(8 * test_random()) / 4;
  return x;
}

static void *
rounded(const float *x, hy_fmt fmt, int64_t n)
{
  void *p = test_alloc((size_t)n + 1, sizeof *x);

  hy_from_f32(p, x, fmt, n);
  return p;
}

/* GPU memory p against the n numbers of want. */
static void
same(const void *p, hy_fmt fmt, const float *want, int64_t n)
{
  void *raw = test_alloc((size_t)n + 1, sizeof *want);
  float *got = test_alloc((size_t)n + 1, sizeof *want);

  mem->read(raw, p, hy_bytes(fmt, n));
  hy_to_f32(got, raw, fmt, n);
  for (int64_t i = 0; i < n; i++)
    if (!(got[i] == want[i]))
      fail_msg("element %lld of %lld: %g, not %g", (long long)i, (long long)n,
               (double)got[i], (double)want[i]);
}

static const hy_fmt both[] = {HY_F32, HY_BF16};
static const struct {
  int64_t n, gap;
  size_t shift;
} shape[] = {{1, 0, 0},  {8, 0, 0},   {64, 8, 0},
             {72, 3, 4}, {259, 0, 0}, {520, 0, 0}};
enum { N_SHAPE = sizeof shape / sizeof *shape };

static void
test_cast(void **state)
{
  (void)state;
  for (int k = 0; k < N_SHAPE; k++)
    for (int a = 0; a < 2; a++)
      for (int b = 0; b < 2; b++) {
        int64_t n = 3 * shape[k].n;
        float *x = numbers(n);
        void *from =
            put(rounded(x, both[a], n), hy_bytes(both[a], n), shape[k].shift);
        void *to = put(x, hy_bytes(both[b], n), 0);

        gpu_kit.cast(to, both[b], from, both[a], n);
        same(to, both[b], x, n);
        put_back();
      }
}

static void
test_add(void **state)
{
  (void)state;
  for (int k = 0; k < N_SHAPE; k++)
    for (int f = 0; f < 2; f++)
      for (int beta = 0; beta < 2; beta++) {
        int64_t n = shape[k].n, ld = n + shape[k].gap, rows = 37;
        float *x = numbers(rows * n), *y = numbers(rows * ld);
        size_t shift = shape[k].shift;
        void *dx = put(rounded(x, both[f], rows * n),
                       hy_bytes(both[f], rows * n), shift);
        void *dy = put(rounded(y, both[f], rows * ld),
                       hy_bytes(both[f], rows * ld), shift);

        gpu_kit.add(dy, ld, dx, n, both[f], rows, n, (float)beta);
        cpu_kit.add(y, ld, x, n, HY_F32, rows, n, (float)beta);
        same(dy, both[f], y, rows * ld);
        put_back();
      }
}

static void
test_sum_parts(void **state)
{
  (void)state;
  for (int k = 0; k < N_SHAPE; k++)
    for (int f = 0; f < 2; f++)
      for (int more = 0; more < 2; more++)
        for (int in_place = 0; in_place < 2; in_place++) {
          int64_t n = shape[k].n;
          int n_part = k % 2 ? 5 : 1;
          float *x = numbers(n_part * n), *y = in_place ? x : numbers(n);
          void *dx = put(rounded(x, both[f], n_part * n),
                         hy_bytes(both[f], n_part * n), shape[k].shift);
          void *dy = in_place
                         ? dx
                         : put(rounded(y, both[f], n), hy_bytes(both[f], n), 0);

          gpu_kit.sum_parts(dy, dx, both[f], n, n_part, more);
          cpu_kit.sum_parts(y, x, HY_F32, n, n_part, more);
          same(dy, both[f], y, n);
          put_back();
        }
}

static void
test_chosen_rows(void **state)
{
  (void)state;
  for (int k = 0; k < N_SHAPE; k++)
    for (int f = 0; f < 2; f++) {
      int64_t n = shape[k].n, ld = n + shape[k].gap, rows = 40, n_row = 37;
      float *x = numbers(n_row * n), *y = numbers(rows * ld);
      int32_t row[37];
      const void *drow;
      void *dx, *dy;

      for (int i = 0; i < 37; i++)
        row[i] = (i * 7 + 3) % 40; /* no row twice */
      drow = put(row, sizeof row, 0);
      dx = put(rounded(x, both[f], n_row * n), hy_bytes(both[f], n_row * n),
               shape[k].shift);
      dy = put(rounded(y, both[f], rows * ld), hy_bytes(both[f], rows * ld), 0);
      gpu_kit.add_rows(dy, ld, dx, drow, both[f], n_row, n);
      cpu_kit.add_rows(y, ld, x, row, HY_F32, n_row, n);
      same(dy, both[f], y, rows * ld);
      gpu_kit.take_rows(dx, dy, ld, drow, both[f], n_row, n);
      cpu_kit.take_rows(x, y, ld, row, HY_F32, n_row, n);
      same(dx, both[f], x, n_row * n);
      put_back();
    }
}

/* Numbers that are no floats travel as they are. */
static void
test_chosen_bytes(void **state)
{
  uint8_t from[5 * 7], want[3 * 5], got[3 * 5];
  const int32_t row[3] = {4, 0, 2};
  void *to, *at;

  (void)state;
  for (int i = 0; i < 35; i++)
    from[i] = (uint8_t)(3 * i);
  to = put(want, sizeof want, 0);
  at = put(from, sizeof from, 0);
  gpu_kit.take_rows(to, at, 7, put(row, sizeof row, 0), HY_U8, 3, 5);
  cpu_kit.take_rows(want, from, 7, row, HY_U8, 3, 5);
  mem->read(got, to, sizeof got);
  assert_memory_equal(got, want, sizeof got);
  put_back();
}

static void
test_counts(void **state)
{
  int64_t to[300], got[300];
  int32_t x[300];
  void *d;

  (void)state;
  for (int i = 0; i < 300; i++) {
    to[i] = ((int64_t)1 << 40) + i;
    x[i] = 5 * i - 7;
  }
  d = put(to, sizeof to, 0);
  gpu_kit.add_counts(d, put(x, sizeof x, 0), 300);
  cpu_kit.add_counts(to, x, 300);
  mem->read(got, d, sizeof got);
  assert_memory_equal(got, to, sizeof got);
  put_back();
}

static void
test_least(void **state)
{
  const float pair[][2] = {{3, 2}, {2, 3}, {INFINITY, -1}};

  (void)state;
  for (int i = 0; i < 3; i++) {
    float want = pair[i][0];
    void *to = put(&pair[i][0], sizeof(float), 0);

    gpu_kit.least(to, put(&pair[i][1], sizeof(float), 0));
    cpu_kit.least(&want, &pair[i][1]);
    same(to, HY_F32, &want, 1);
    put_back();
  }
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_cast),         cmocka_unit_test(test_add),
      cmocka_unit_test(test_sum_parts),    cmocka_unit_test(test_chosen_rows),
      cmocka_unit_test(test_chosen_bytes), cmocka_unit_test(test_counts),
      cmocka_unit_test(test_least),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
