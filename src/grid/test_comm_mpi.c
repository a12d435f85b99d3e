/* Collectives and layouts on any number of ranks; started on 1, 2 and 4. */
#include "grid/comm.h"
#include "grid/grid.h"
#include "grid/share.h"
#include "grid/threads.h"
#include "base/err.h"
#include "base/rng.h"
#include "grid/test_mpi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static hy_comm world; /* set once in main */

/* Element i of rank r: sizes so different that the order of a sum shows. */
static float
element(int r, size_t i)
{
  uint64_t key = hy_rng_key((uint64_t)r, "comm");
  double scale = i % 3 == 0 ? 1e6 : i % 3 == 1 ? 1 : 1e-6;

  return (float)(hy_rng_normal(key, i) * scale * (1 + r % 3 * 1e3));
}

static void
check_sum(size_t n)
{
  /* exactly n floats of scratch: the sanitizer build sees one more */
  float *x = hy_malloc(n * sizeof *x), *scratch = hy_malloc(n * sizeof *x);

  for (size_t i = 0; i < n; i++)
    x[i] = element(world.rank, i);
  hy_sum_f32(&world, x, scratch, n);
  for (size_t i = 0; i < n; i++) {
    float want = element(0, i);

    for (int r = 1; r < world.size; r++)
      want += element(r, i);
    if (memcmp(&want, &x[i], sizeof want))
      fail_msg("n %zu, element %zu: %.9g, not %.9g", n, i, (double)x[i],
               (double)want);
  }
  free(x);
  free(scratch);
}

static void
test_sum_f32(void **state)
{
  (void)state;
  for (size_t n = 0; n < 20; n++)
    check_sum(n);
  check_sum(1000);
  check_sum(4097);
}

static void
test_sum_small(void **state)
{
  double x[3], want[3] = {0};
  int64_t k[2] = {world.rank + 1, INT64_C(1) << 60};

  (void)state;
  for (int i = 0; i < 3; i++) {
    x[i] = (double)element(world.rank, (size_t)i) / 3;
    for (int r = 0; r < world.size; r++)
      want[i] += (double)element(r, (size_t)i) / 3;
  }
  hy_sum_f64(&world, x, 3);
  assert_memory_equal(x, want, sizeof want);
  hy_sum_f64(&world, x, 0);
  hy_sum_i64(&world, k, 2);
  assert_int_equal(k[0], world.size * (world.size + 1) / 2);
  assert_true(k[1] == world.size * (INT64_C(1) << 60));
  assert_int_equal(hy_max_i64(&world, -world.rank), 0);
}

static void
test_bcast(void **state)
{
  char a[5] = "....";

  (void)state;
  if (world.rank == world.size - 1)
    strcpy(a, "data");
  hy_bcast(&world, a, sizeof a, world.size - 1);
  assert_string_equal(a, "data");
  hy_bcast(&world, a, 0, 0);
}

/* The first rank with the largest code speaks for all. */
static void
test_agree(void **state)
{
  int last = world.size - 1, err;

  (void)state;
  assert_int_equal(hy_agree(&world, 0), 0);
  assert_string_equal(hy_err_text(), "");
  err = world.rank == last ? hy_fail(HY_EDATA, "from rank %d", last)
        : world.rank == 0  ? hy_fail(HY_EUSAGE, "from rank 0")
                           : 0;
  assert_int_equal(hy_agree(&world, err), HY_EDATA);
  hy_err_clear();
  err = hy_fail(HY_EFILE, "rank %d", world.rank);
  assert_int_equal(hy_agree(&world, err), HY_EFILE);
  assert_string_equal(hy_err_text(), "rank 0");
  hy_err_clear();
}

static void
test_grid(void **state)
{
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  hy_grid g, plan;

  (void)state;
  for (int tp = 1; tp <= world.size; tp *= 2) {
    d.tp = tp;
    d.n_ranks = world.size;
    assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
    assert_int_equal(hy_grid_plan(&plan, &d, 0, NULL), 0);
    assert_int_equal(g.tp.size, tp);
    assert_int_equal(g.dp.size, world.size / tp);
    assert_int_equal(g.tp.rank, world.rank % tp); /* tp is fastest */
    assert_int_equal(g.dp.rank, world.rank / tp);
    assert_int_equal(g.dp_cp.size, g.dp.size * g.cp.size);
    assert_int_equal(g.ep.size, 1);
    assert_int_equal(g.edp.size, world.size);
    assert_int_equal(plan.tp.size, g.tp.size);
    assert_int_equal(plan.dp.size, g.dp.size);
    assert_int_equal(plan.edp.size, g.edp.size);
    assert_int_equal(plan.world.size, world.size);
    hy_grid_free(&g);
  }
  d.tp = world.size + 1;
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "cannot be cut into pp*cp*tp"));
  hy_err_clear();
}

static void
test_share(void **state)
{
  hy_deck d;

  (void)state;
  hy_deck_init(&d);
  if (world.rank == 0) {
    assert_int_equal(hy_deck_parse(&d,
                                   "&optim lr=0.123456789012345678 /\n"
                                   "&prepare input='a','b' /",
                                   "t.nml", "dir"),
                     0);
    assert_int_equal(hy_deck_set(&d, "job.name=it's"), 0);
    assert_int_equal(hy_deck_fill(&d, "model.vocab", "7", "c.json"), 0);
    d.path = hy_strdup("dir/t.nml");
  }
  assert_int_equal(hy_deck_share(&d, &world), 0);
  assert_true(d.optim.lr == 0.123456789012345678);
  assert_string_equal(d.prepare.input.s[1], "dir/b");
  assert_string_equal(d.job.name, "it's");
  assert_int_equal(d.model.vocab, 7);
  assert_string_equal(d.path, "dir/t.nml");
  assert_true(hy_deck_given(&d, "job.name"));
  assert_false(hy_deck_given(&d, "model.vocab"));
  assert_false(hy_deck_given(&d, "model.d_ff"));
  hy_deck_free(&d);
}

static void
test_threads(void **state)
{
  hy_deck_grid layout = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  hy_deck *d = hy_calloc(1, sizeof *d);
  hy_grid g;

  (void)state;
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &layout), 0);
  d->job.n_threads = 3;
  assert_int_equal(hy_threads_of(d, &g), 3);
  d->job.n_threads = 0;
  setenv("OMP_NUM_THREADS", "5", 1);
  assert_int_equal(hy_threads_of(d, &g), 5);
  unsetenv("OMP_NUM_THREADS");
  assert_true(hy_threads_of(d, &g) >= 1);
  hy_grid_free(&g);
  free(d);
}

static const struct CMUnitTest test[] = {
    cmocka_unit_test(test_sum_f32), cmocka_unit_test(test_sum_small),
    cmocka_unit_test(test_bcast),   cmocka_unit_test(test_agree),
    cmocka_unit_test(test_grid),    cmocka_unit_test(test_share),
    cmocka_unit_test(test_threads)};

TEST_MPI_MAIN(test)
