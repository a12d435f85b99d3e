/* Files that say mixes: what is read, what is refused, what the deck makes of
 * them on all ranks. */
#include "base/err.h"
#include "base/file.h"
#include "data/blend_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static hy_comm world;
static char *name; /* of a file that all ranks share */

static int
read_text(const char *text, hy_mix mix[3])
{
  char *path = hy_asprintf("%s.%d.json", name, world.rank);
  int err;

  assert_int_equal(hy_file_write(path, text, strlen(text)), HY_OK);
  err = hy_blend_file_read(path, mix);
  unlink(path);
  free(path);
  return err;
}

static void
test_file(void **state)
{
  char *dir = hy_path_dir(name), *want = hy_path_join(dir, "sub/a b");
  hy_mix mix[3];

  (void)state;
  assert_int_equal(
      read_text("{\"train\": [\"0.7\", \"sub/a b\", 3e-1, \"/c\"], \"valid\": "
                "\" 1.0\\t/d\\n2 mock \", \"test\": null}",
                mix),
      HY_OK);
  assert_int_equal(mix[0].n, 2);
  assert_string_equal(mix[0].path[0], want);
  assert_true(mix[0].weight[0] == 0.7 && mix[0].weight[1] == 0.3);
  assert_int_equal(mix[1].n, 2);
  assert_string_equal(mix[1].path[0], "/d");
  assert_string_equal(mix[1].path[1], "mock");
  assert_int_equal(mix[2].n, 0);
  for (int i = 0; i < 3; i++)
    hy_mix_clear(&mix[i]);
  assert_int_equal(
      read_text("{\"train\": \"/x\", \"valid\": [\"/y\"], \"test\": []}", mix),
      HY_OK);
  assert_string_equal(mix[0].path[0], "/x");
  assert_string_equal(mix[1].path[0], "/y");
  for (int i = 0; i < 3; i++)
    hy_mix_clear(&mix[i]);
  free(want);
  free(dir);
}

static void
test_bad_file(void **state)
{
  static const char *const bad[][2] = {
      {"", "broken JSON"},
      {"{\"train\": ", "broken JSON"},
      {"[]", "is no JSON object"},
      {"{\"train\": [], \"valid\": []}", "key \"test\" is missing"},
      {"{\"train\": [], \"train\": [], \"valid\": [], \"test\": []}",
       "duplicate object key"},
      {"{\"train\": [], \"valid\": [], \"test\": [], \"tset\": []}",
       "key \"tset\" is not known"},
      {"{\"datasets\": []}", "is a raw blend"},
      {"{\"train\": 3, \"valid\": [], \"test\": []}", "neither a list"},
      {"{\"train\": [\"a\", \"b\"], \"valid\": [], \"test\": []}",
       "\"a\" is not a weight"},
      {"{\"train\": [\"1\", \"a\", \"2\"], \"valid\": [], \"test\": []}",
       "\"2\" has no path"},
      {"{\"train\": \"1 a 2\", \"valid\": [], \"test\": []}",
       "\"2\" has no path"},
      {"{\"train\": [\"-1\", \"a\"], \"valid\": [], \"test\": []}",
       "a weight is negative"},
      {"{\"train\": [\"nan\", \"a\"], \"valid\": [], \"test\": []}",
       "\"nan\" is not a weight"},
      {"{\"train\": [\"1e999\", \"a\"], \"valid\": [], \"test\": []}",
       "is not a weight"},
      {"{\"train\": [0, \"a\", 0, \"b\"], \"valid\": [], \"test\": []}",
       "no weight is above 0"},
      {"{\"train\": [1, \"a\", 1, \"a\"], \"valid\": [], \"test\": []}",
       "a path is there twice"},
      {"{\"train\": [1, [\"a\"]], \"valid\": [], \"test\": []}",
       "entry 2 is neither"},
      {"{\"train\": [1, \"\"], \"valid\": [], \"test\": []}", "has no path"},
  };
  hy_mix mix[3];

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(read_text(bad[i][0], mix), HY_EDATA);
    if (!strstr(hy_err_text(), bad[i][1]))
      fail_msg("%s gives '%s', not '%s'", bad[i][0], hy_err_text(), bad[i][1]);
    assert_int_equal(mix[0].n + mix[1].n + mix[2].n, 0);
    hy_err_clear();
  }
  assert_int_equal(hy_blend_file_read("no/such.json", mix), HY_EFILE);
  hy_err_clear();
}

static void
test_resolve(void **state)
{
  static const char text[] = "{\"train\": [\"2\", \"t\", \"1\", \"/u\"], "
                             "\"valid\": [\"1\", \"v\"], \"test\": []}";
  char *path = hy_asprintf("%s.json", name), *dir = hy_path_dir(path), *t;
  char *set = hy_asprintf("data.train=%s", path);
  hy_deck d;

  (void)state;
  if (world.rank == 0)
    assert_int_equal(hy_file_write(path, text, sizeof text - 1), HY_OK);
  MPI_Barrier(MPI_COMM_WORLD);
  hy_deck_init(&d);
  assert_int_equal(hy_deck_set(&d, set), HY_OK);
  assert_int_equal(hy_blend_file_resolve(&d, &world), HY_OK);
  t = hy_path_join(dir, "t");
  assert_int_equal(d.data.train.n, 2);
  assert_string_equal(d.data.train.path[0], t);
  assert_true(d.data.train.weight[0] == 2);
  assert_int_equal(d.data.valid.n, 1);
  assert_int_equal(d.data.test.n, 0);
  assert_int_equal(hy_deck_set(&d, set), HY_OK);
  assert_int_equal(hy_deck_set(&d, "data.valid=mock"), HY_OK);
  assert_int_equal(hy_blend_file_resolve(&d, &world), HY_OK);
  assert_string_equal(d.data.valid.path[0], "mock");
  set[5] = 't'; /* data.test=... has nothing in the file */
  memmove(set + 9, set + 10, strlen(set + 10) + 1);
  memcpy(set + 5, "test", 4);
  assert_int_equal(hy_deck_set(&d, set), HY_OK);
  assert_int_equal(hy_blend_file_resolve(&d, &world), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "test is empty"));
  hy_err_clear();
  hy_deck_free(&d);
  MPI_Barrier(MPI_COMM_WORLD);
  if (world.rank == 0)
    unlink(path);
  free(t);
  free(set);
  free(dir);
  free(path);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_file),
                                     cmocka_unit_test(test_bad_file),
                                     cmocka_unit_test(test_resolve)};
  const char *dir = getenv("HYMN_TESTDIR");
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  name = hy_path_join(dir, "test_blend_file");
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  free(name);
  MPI_Finalize();
  return bad != 0;
}
