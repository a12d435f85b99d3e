/* Weight folders: out and in under another layout; folders that do not belong
 * to the configuration are refused by name. */
#include "base/file.h"
#include "io/ckpt.h"
#include "io/hf.h"
#include "base/lineage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/test_rig.h"

static hy_comm world;
static char *dir;

/* Remove the folder that an export made. */
static void
remove_folder(const char *to)
{
  static const char *const file[] = {"config.json",
                                     HY_HF_LINEAGE,
                                     "model.safetensors.index.json",
                                     "model.safetensors",
                                     "model-00001-of-00003.safetensors",
                                     "model-00002-of-00003.safetensors",
                                     "model-00003-of-00003.safetensors"};

  MPI_Barrier(world.mpi);
  for (size_t i = 0; world.rank == 0 && i < sizeof file / sizeof *file; i++) {
    char *path = hy_path_join(to, file[i]);

    unlink(path);
    free(path);
  }
  if (world.rank == 0)
    assert_int_equal(rmdir(to), 0); /* nothing else was in it */
  MPI_Barrier(world.mpi);
}

/* Weight folder out and in under another layout, and once more from it. */
static void
test_folder(void **state)
{
  char *to = hy_path_join(dir, "folder"), a[HY_SHA_HEX], b[HY_SHA_HEX];
  hy_fmt fmt[128];
  int tp = world.size % 2 ? 1 : 2;
  int64_t n = 0;
  rig r, q;

  (void)state;
  rig_new(&r, &world, tp, NULL);
  rig_new(&q, &world, 1, NULL);
  assert_in_range(r.plan.n_spec, 1, 128);
  hy_ckpt_content(&r.p, &r.grid, a);
  hy_ckpt_content(&q.p, &q.grid, b);
  assert_string_equal(a, b);
  for (int small = 0; small < 2; small++) {
    hy_hf_options opt = {.fmt = fmt, .shard_bytes = small ? 16000 : 1 << 20};

    hy_hf_formats(fmt, &r.plan, "fp32", NULL);
    if (hy_hf_export(&r.p, to, &opt, &r.grid, &n))
      fail_msg("%s", hy_err_text());
    wipe(&q);
    if (hy_hf_import(&q.p, to, &q.grid, NULL))
      fail_msg("%s", hy_err_text());
    hy_ckpt_content(&q.p, &q.grid, b);
    assert_string_equal(a, b);
    hy_err_clear();
    assert_int_equal(hy_hf_export(&r.p, to, &opt, &r.grid, &n), HY_EFILE);
    hy_err_clear();
    remove_folder(to);
  }
  rig_free(&r);
  rig_free(&q);
  free(to);
}

/* What an import says when folder and configuration differ. */
static void
test_refused(void **state)
{
  static const struct {
    const char *set, *word;
  } t[] = {
      {"model.pattern='ME*-'", "unexpected (mtp."},
      {"model.pattern='ME*-/*E/*E'", "missing (mtp.layers.2"},
      {"model.n_experts=3", "gate"},
      {"model.vocab=30", "padding rows"},
      {"model.d_ff=32", "shape [24, 16] found, [32, 16] wanted"},
      {"model.tie=.true.", "lm_head.weight differs"},
      {"model.d_latent=0", "experts.0.up_proj"},
  };
  char *to = hy_path_join(dir, "folder");
  hy_hf_options opt = {.shard_bytes = 1 << 20};
  hy_fmt fmt[128];
  rig r;

  (void)state;
  rig_new(&r, &world, 1, NULL);
  hy_hf_formats(fmt, &r.plan, "bf16", NULL);
  opt.fmt = fmt;
  assert_int_equal(hy_hf_export(&r.p, to, &opt, &r.grid, NULL), HY_OK);
  rig_free(&r);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    rig_new(&r, &world, 1, t[i].set);
    assert_int_equal(hy_hf_import(&r.p, to, &r.grid, NULL), HY_EDATA);
    if (!strstr(hy_err_text(), t[i].word))
      fail_msg("no '%s' in: %s", t[i].word, hy_err_text());
    hy_err_clear();
    rig_free(&r);
  }
  remove_folder(to);
  free(to);
}

static void
test_lineage(void **state)
{
  hy_buf inner = {0}, b = {0};

  (void)state;
  hy_lineage_add(&inner, "packed data", "abc", NULL);
  hy_lineage_add(&b, "weight folder", "def", "");
  hy_lineage_add(&b, "checkpoint", "0123", inner.data);
  assert_string_equal(
      b.data, "[{\"kind\":\"weight folder\",\"content\":\"def\"},"
              "{\"kind\":\"checkpoint\",\"content\":\"0123\",\"lineage\":"
              "[{\"kind\":\"packed data\",\"content\":\"abc\"}]}]");
  free(inner.data);
  free(b.data);
}

/* Looking into a list, and notes beside what others' formats hold. */
static void
test_notes(void **state)
{
  static const char bad[][64] = {"", "[]", "{\"format\":\"hymn lineage\"}",
                                 "{\"format\":7,\"content\":\"a\"}"};
  static const char list[] = "[{\"kind\":\"a\",\"content\":\"1\",\"lineage\":"
                             "[{\"kind\":\"b\",\"content\":\"2\"}]},"
                             "{\"kind\":\"b\",\"content\":\"3\"}]";
  char *path = hy_asprintf("%s.note.%d", dir, world.rank);
  char hash[HY_SHA_HEX], full[HY_SHA_HEX];
  hy_buf trail = {0}, back = {0};

  (void)state;
  memset(full, 'f', sizeof full);
  full[HY_SHA_HEX - 1] = '\0';
  assert_int_equal(hy_lineage_find(list, "2", &trail), 1);
  assert_string_equal(trail.data, "a <- b");
  trail.len = 0;
  assert_int_equal(hy_lineage_find(list, "3", &trail), 1);
  assert_string_equal(trail.data, "b");
  trail.len = 0;
  assert_int_equal(hy_lineage_find(list, "4", &trail), 0);
  assert_int_equal(trail.len, 0);
  assert_int_equal(hy_lineage_find("torn [", "4", &trail), 0);
  hy_lineage_of_kind(list, "b", hash);
  assert_string_equal(hash, "3");
  hy_lineage_of_kind(list, "c", hash);
  assert_string_equal(hash, "");
  assert_int_equal(hy_lineage_write(path, "a", full, list), HY_OK);
  assert_int_equal(hy_lineage_read(path, hash, &back), HY_OK);
  assert_string_equal(hash, full);
  assert_string_equal(back.data, list);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(hy_file_write(path, bad[i], strlen(bad[i])), HY_OK);
    assert_int_equal(hy_lineage_read(path, hash, &back), HY_EDATA);
    assert_non_null(strstr(hy_err_text(), "is no note"));
    hy_err_clear();
  }
  unlink(path);
  assert_int_equal(hy_lineage_read(path, hash, &back), HY_OK);
  assert_string_equal(hash, "");
  free(trail.data);
  free(back.data);
  free(path);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_folder), cmocka_unit_test(test_refused),
      cmocka_unit_test(test_lineage), cmocka_unit_test(test_notes)};
  const char *where = getenv("HYMN_TESTDIR");
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  dir = hy_asprintf("%s/test_hf.dir", where ? where : ".");
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  if (world.rank == 0)
    rmdir(dir);
  free(dir);
  MPI_Finalize();
  return bad != 0;
}
