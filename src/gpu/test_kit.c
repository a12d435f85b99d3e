/* test_kit.c: array functions of the CUDA backend against those of the CPU, in
 * both formats, at odd and at aligned lengths. */
#include "cpu/cpu_kit.h"
#include "cpu/test_op.h"
#include "gpu/gpu.h"

static const hy_mem *const mem = &gpu_mem;
static void *block[32];
static int n_block;

/* `bytes` of GPU memory that holds what `host` does, `shift` bytes behind an
 * aligned address. */
static void *
put(const void *host, size_t bytes, size_t shift)
{
  char *p = mem->get(bytes + shift);

  assert_non_null(p);
  assert_true(n_block < 32);
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

/* `bytes` of GPU memory that hold other things. */
static void *
filled(size_t bytes)
{
  void *p = test_alloc(bytes + 1, 1);

  memset(p, 0xff, bytes);
  return put(p, bytes, 0);
}

static void
same_bytes(const void *p, const void *want, size_t bytes)
{
  void *got = test_alloc(bytes + 1, 1);

  mem->read(got, p, bytes);
  assert_memory_equal(got, want, bytes);
}

/* k ascending experts of 5 n_rank for each of T rows. */
static int32_t *
experts(int64_t T, int64_t k, int n_rank)
{
  int32_t *idx = test_alloc((size_t)(T * k) + 1, sizeof *idx);

  for (int64_t t = 0, i = 0; t < T; t++)
    for (int32_t e = 0, left = (int32_t)k; left > 0; e++)
      if ((test_random() + 1) / 2 * (double)(5 * n_rank - e) < (double)left) {
        idx[i++] = e;
        left--;
      }
  return idx;
}

/* Rows out and back again, and their weights. */
static void
check_rows(const hy_places *at, const hy_places *gpu, int64_t n_copy,
           hy_fmt fmt, int64_t n, int64_t gap)
{
  int64_t T = at->n_row, k = at->top_k, ld = n + gap, all = T * k;
  float *x = numbers(T * ld), *copies = numbers(n_copy * n);
  float *w = numbers(all), *g = numbers(all);
  void *dx = put(rounded(x, fmt, T * ld), hy_bytes(fmt, T * ld), 0);
  void *to = filled(hy_bytes(fmt, n_copy * n));
  void *dg = put(g, (size_t)all * sizeof *g, 0);

  gpu_travel.spread(gpu, to, dx, ld, fmt, n, 1);
  cpu_travel.spread(at, copies, x, ld, HY_F32, n, 1);
  same(to, fmt, copies, n_copy * n);
  for (int beta = 1; beta >= 0; beta--) {
    gpu_travel.gather(gpu, dx, ld, to, fmt, n, (float)beta, 1);
    cpu_travel.gather(at, x, ld, copies, HY_F32, n, (float)beta, 1);
    same(dx, fmt, x, T * ld);
    gpu_travel.weights(gpu, dg, k, put(w, (size_t)all * sizeof *w, 0),
                       (float)beta);
    cpu_travel.weights(at, g, k, w, (float)beta);
    same(dg, HY_F32, g, all);
  }
}

/* The choices of all ranks as if they had come to one. */
static void
check_choices(const hy_places *at, const hy_places *gpu, const int32_t *idx,
              const int32_t *didx, int64_t n_copy)
{
  int64_t n = at->n_row * at->top_k;
  size_t bytes = (size_t)n * sizeof(hy_choice), ints = (size_t)n * 4;
  size_t ends = (size_t)(n_copy + 1) * sizeof(int32_t);
  hy_choice *all = test_alloc(bytes + 1, 1);
  int32_t *e = test_alloc(ints + 1, 1), *list = test_alloc(ends, 1);
  float *w = numbers(n), *back = numbers(n);
  void *dall = filled(bytes), *de = filled(ints), *dw = filled(ints);
  void *dlist = filled(ends);

  cpu_travel.pack(at, all, idx, w, at->top_k, 5);
  gpu_travel.pack(gpu, dall, didx, put(w, ints, 0), at->top_k, 5);
  same_bytes(dall, all, bytes);
  cpu_travel.unpack(all, n, n_copy, e, list, back, NULL);
  gpu_travel.unpack(dall, n, n_copy, de, dlist, dw,
                    filled(hy_travel_room(n, 1)));
  same_bytes(de, e, ints);
  same_bytes(dlist, list, ends);
  same_bytes(dw, back, ints);
}

static void
check_travel(int64_t T, int64_t k, int n_rank, hy_fmt fmt, int64_t n,
             int64_t gap)
{
  size_t ints = (size_t)(T * k) * sizeof(int32_t);
  size_t ends = (size_t)(2 * n_rank + 1) * sizeof(int32_t);
  int32_t *at = test_alloc(ends, 1), *idx = experts(T, k, n_rank);
  void *dat = filled(ends), *didx = put(idx, ints, 0);
  hy_places p = {T, k, test_alloc(ints + 1, 1), test_alloc(ints + 1, 1)};
  hy_places d = {T, k, filled(ints), filled(ints)};
  int64_t n_copy;

  cpu_travel.places(&p, at, idx, 5, n_rank, NULL);
  gpu_travel.places(&d, dat, didx, 5, n_rank,
                    filled(hy_travel_room(2 * T * k, 2 * n_rank)));
  same_bytes(dat, at, ends);
  same_bytes(d.row, p.row, ints);
  same_bytes(d.choice, p.choice, ints);
  n_copy = at[2 * n_rank] - at[n_rank];
  check_rows(&p, &d, n_copy, fmt, n, gap);
  check_choices(&p, &d, idx, didx, n_copy);
  put_back();
}

static void
test_travel(void **state)
{
  static const int64_t rows[] = {0, 1, 70, 300};

  (void)state;
  for (int i = 0; i < 4; i++)
    for (int f = 0; f < 2; f++) {
      check_travel(rows[i], 1, 2, both[f], 8, 0);
      check_travel(rows[i], 6, 4, both[f], 7, 2);
      check_travel(rows[i], 3, 40, both[f], 24, 8);
    }
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
      cmocka_unit_test(test_cast),      cmocka_unit_test(test_add),
      cmocka_unit_test(test_sum_parts), cmocka_unit_test(test_counts),
      cmocka_unit_test(test_least),     cmocka_unit_test(test_travel),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
