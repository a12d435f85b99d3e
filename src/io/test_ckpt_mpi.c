/* Checkpoints: any layout reads any layout's file, bit by bit; damage anywhere
 * is found and named; a failed write leaves what was there. */
#include "base/err.h"
#include "base/file.h"
#include "io/ckpt.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/test_rig.h"

static hy_comm world;
static char *dir;

static int
save(rig *r, int64_t step, int keep, int with_optim)
{
  hy_ckpt_state st = {.step = step, .samples = 8, .tokens = 9, .seed = 5};

  hy_ckpt_set_f64(&st, "loss", 1.5);
  hy_ckpt_set_i64(&st, "n_bad", -3);
  return hy_ckpt_write(dir, &r->p, with_optim ? r->m : NULL,
                       with_optim ? r->v : NULL, &st, &r->d, &r->grid, keep);
}

/* 1 if what was read is what rig_new made. */
static int
is_whole(const rig *r, int with_optim)
{
  rig q;
  int ok = 1;

  rig_new(&q, &world, r->grid.tp.size, NULL);
  for (int i = 0; i < r->p.n; i++) {
    const hy_param_ref *a = r->p.ref + i, *b = q.p.ref + i;
    size_t n = hy_bytes(HY_F32, hy_shard_size(&a->shard));

    ok &= !memcmp(r->p.w + a->at, q.p.w + b->at, n);
    if (a->spec->kind != HY_WEIGHT)
      continue;
    if (!with_optim) {
      memset(q.m + b->at, 0, n);
      memset(q.v + b->at, 0, n);
    }
    ok &= !memcmp(r->m + a->at, q.m + b->at, n);
    ok &= !memcmp(r->v + a->at, q.v + b->at, n);
  }
  rig_free(&q);
  return ok;
}

static void
remove_all(void)
{
  static const int64_t step[] = {0, 1, 2, 3, 4, 5, 7, 9};
  char *latest = hy_path_join(dir, "latest");

  MPI_Barrier(world.mpi);
  for (size_t i = 0; world.rank == 0 && i < sizeof step / sizeof *step; i++) {
    char *name = hy_asprintf("%s/step_%07lld.h5", dir, (long long)step[i]);

    unlink(name);
    free(name);
  }
  if (world.rank == 0)
    unlink(latest);
  free(latest);
  MPI_Barrier(world.mpi);
}

static char *
file_of(int64_t step)
{
  return hy_asprintf("%s/step_%07lld.h5", dir, (long long)step);
}

static void
test_layouts(void **state)
{
  char hash[HY_SHA_HEX], again[HY_SHA_HEX], *path = file_of(7);
  int n_tp = world.size % 2 ? 1 : 2;

  (void)state;
  for (int a = 1; a <= n_tp; a++)
    for (int b = 1; b <= n_tp; b++) {
      hy_ckpt_state st;
      rig w, r;

      rig_new(&w, &world, a, NULL);
      assert_int_equal(save(&w, 7, 0, 1), HY_OK);
      assert_int_equal(hy_sha256_file(path, hash), HY_OK);
      MPI_Barrier(world.mpi);
      assert_int_equal(save(&w, 7, 0, 1), HY_OK); /* the same bytes */
      assert_int_equal(hy_sha256_file(path, again), HY_OK);
      assert_string_equal(hash, again);
      rig_free(&w);
      rig_new(&r, &world, b, NULL);
      wipe(&r);
      if (hy_ckpt_read(&r.p, r.m, r.v, &st, path, &r.grid))
        fail_msg("%s", hy_err_text());
      assert_true(is_whole(&r, 1));
      assert_int_equal(st.step, 7);
      assert_int_equal(st.tokens, 9);
      assert_int_equal(st.has_optim, 1);
      assert_true(hy_ckpt_get_f64(&st, "loss", 0) == 1.5);
      assert_int_equal(hy_ckpt_get_i64(&st, "n_bad", 0), -3);
      assert_int_equal(hy_ckpt_get_i64(&st, "none", 12), 12);
      rig_free(&r);
      MPI_Barrier(world.mpi);
    }
  free(path);
  remove_all();
}

static void
test_without_optim(void **state)
{
  char *path = file_of(0);
  hy_ckpt_state st;
  rig r;

  (void)state;
  rig_new(&r, &world, 1, NULL);
  assert_int_equal(save(&r, 0, 0, 0), HY_OK);
  wipe(&r);
  assert_int_equal(hy_ckpt_read(&r.p, r.m, r.v, &st, path, &r.grid), HY_OK);
  assert_true(is_whole(&r, 0));
  assert_int_equal(st.has_optim, 0);
  rig_free(&r);
  free(path);
  remove_all();
}

/* Rank 0 flips one bit; or cuts the file when mask is 0. */
static void
damage(const char *path, off_t at, int mask)
{
  unsigned char c;
  int fd;

  MPI_Barrier(world.mpi);
  if (world.rank == 0 && mask == 0)
    assert_int_equal(truncate(path, at), 0);
  if (world.rank == 0 && mask) {
    fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (unsigned char)(c ^ mask);
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
  }
  MPI_Barrier(world.mpi);
}

static void
refuses(rig *r, const char *path, int code, const char *word)
{
  hy_err_clear();
  if (hy_ckpt_read(&r->p, r->m, r->v, NULL, path, &r->grid) != code)
    fail_msg("code is not %d: %s", code, hy_err_text());
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  hy_err_clear();
}

/* First byte of the k-th extent in the block. */
static off_t
extent(const char *path, int k)
{
  hy_buf text = {0};
  const char *p;
  long long at;

  assert_int_equal(hy_file_read(path, &text), HY_OK);
  p = strstr(text.data, "extents ");
  assert_non_null(p);
  for (int i = 0; i <= k; i++)
    p = strchr(p, '\n') + 1;
  at = atoll(p);
  free(text.data);
  return (off_t)at;
}

static void
test_damage(void **state)
{
  static const off_t head[] = {0, 3, 20, 30, 50, 100, 300, 4000, 4095};
  char *path = file_of(7);
  struct stat st;
  rig r;

  (void)state;
  rig_new(&r, &world, 1, NULL);
  assert_int_equal(save(&r, 7, 0, 1), HY_OK);
  assert_int_equal(stat(path, &st), 0);
  for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
    damage(path, head[i], 4);
    hy_err_clear();
    assert_in_range(hy_ckpt_read(&r.p, r.m, r.v, NULL, path, &r.grid), HY_EFILE,
                    HY_EDATA);
    damage(path, head[i], 4);
  }
  for (int i = 1; i < 8; i++) { /* between block and first tensor, and at the
                                   end of the file */
    off_t at = extent(path, 0) - 7 * i;

    damage(path, at, 1 << i);
    refuses(&r, path, HY_EDATA, "header does not match");
    damage(path, at, 1 << i);
  }
  for (int k = 0; k < 60; k += 13) {
    off_t at = extent(path, k) + 2;

    damage(path, at, 0x20);
    refuses(&r, path, HY_EDATA, "damaged: tensor /");
    damage(path, at, 0x20);
  }
  wipe(&r);
  assert_int_equal(hy_ckpt_read(&r.p, r.m, r.v, NULL, path, &r.grid), HY_OK);
  assert_true(is_whole(&r, 1)); /* all bits are back */
  damage(path, st.st_size - 1, 0);
  refuses(&r, path, HY_EFILE, "was written with");
  damage(path, 5000, 0);
  refuses(&r, path, HY_EFILE, "cut short");
  damage(path, 0, 0);
  refuses(&r, path, HY_EFILE, "not a checkpoint");
  rig_free(&r);
  free(path);
  remove_all();
}

static void
test_other_model(void **state)
{
  static const struct {
    const char *set, *word;
  } t[] = {{"model.pattern='ME*-'", "its pattern is ME*-/*E"},
           {"model.d_ff=32", "[24, 16]"},
           {"model.n_experts=8", "[4, 16]"},
           {"model.d_latent=0", "of another model"},
           {"model.tie=.true.", "it holds"}};
  char *path = file_of(7);
  rig r;

  (void)state;
  rig_new(&r, &world, 1, NULL);
  assert_int_equal(save(&r, 7, 0, 1), HY_OK);
  rig_free(&r);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    rig_new(&r, &world, 1, t[i].set);
    refuses(&r, path, HY_EDATA, t[i].word);
    rig_free(&r);
  }
  free(path);
  remove_all();
}

static void
finds(int64_t step, int code, int64_t want)
{
  char *path = NULL, *name = file_of(want);

  hy_err_clear();
  assert_int_equal(hy_ckpt_find(&path, dir, step), code);
  if (code)
    assert_null(path);
  else
    assert_string_equal(path, name);
  free(path);
  free(name);
  hy_err_clear();
  MPI_Barrier(world.mpi);
}

static void
test_find(void **state)
{
  char *path = file_of(5), *latest = hy_path_join(dir, "latest");
  rig r;

  (void)state;
  finds(0, HY_EFILE, 0);
  rig_new(&r, &world, 1, NULL);
  for (int64_t step = 1; step <= 5; step++)
    assert_int_equal(save(&r, step, 3, 1), HY_OK);
  finds(0, HY_OK, 5);
  finds(3, HY_OK, 3);
  finds(2, HY_EFILE, 0); /* beyond the newest 3 */
  finds(9, HY_EFILE, 0);
  damage(path, 30, 1);
  finds(0, HY_OK, 4); /* the newest whole one */
  damage(path, 30, 1);
  finds(0, HY_OK, 5);
  MPI_Barrier(world.mpi);
  if (world.rank == 0)
    unlink(latest);
  MPI_Barrier(world.mpi);
  finds(0, HY_OK, 5);
  assert_int_equal(save(&r, 3, 1, 1), HY_OK); /* later ones stay */
  finds(0, HY_OK, 3);
  finds(5, HY_OK, 5);
  rig_free(&r);
  free(path);
  free(latest);
  remove_all();
}

/* A limit on the size of files stands for a full disk. */
static void
test_full(void **state)
{
  struct rlimit old, low;
  char *path = file_of(9), *tmp = hy_asprintf("%s/.step_0000009.h5.tmp", dir);
  int code;
  rig r;

  (void)state;
  rig_new(&r, &world, 1, NULL);
  assert_int_equal(save(&r, 7, 0, 1), HY_OK);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  low = old;
  low.rlim_cur = 20000;
  setrlimit(RLIMIT_FSIZE, &low);
  hy_err_clear();
  code = save(&r, 9, 1, 1);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_int_equal(code, HY_ERES);
  assert_non_null(strstr(hy_err_text(), "no room"));
  assert_false(hy_path_exists(path));
  assert_false(hy_path_exists(tmp));
  finds(0, HY_OK, 7);
  hy_err_clear();
  wipe(&r);
  free(path);
  path = file_of(7);
  assert_int_equal(hy_ckpt_read(&r.p, r.m, r.v, NULL, path, &r.grid), HY_OK);
  assert_true(is_whole(&r, 1));
  rig_free(&r);
  free(path);
  free(tmp);
  remove_all();
}

static int
begin(rig *r, hy_ckpt_save **s, int64_t step)
{
  hy_ckpt_state st = {.step = step, .samples = 8, .tokens = 9, .seed = 5};

  return hy_ckpt_save_begin(s, dir, &r->p, r->m, r->v, &st, &r->d, &r->grid, 0);
}

/* A save beside the steps writes the state it began with, the same bytes as one
 * that the training waits for. */
static void
test_async(void **state)
{
  hy_ckpt_state st = {.step = 7, .samples = 8, .tokens = 9, .seed = 5};
  char hash[HY_SHA_HEX], again[HY_SHA_HEX], *path = file_of(7);
  int n_tp = world.size % 2 ? 1 : 2;
  hy_ckpt_save *s = NULL;
  rig r;

  (void)state;
  rig_new(&r, &world, n_tp, NULL);
  assert_int_equal(hy_ckpt_write(dir, &r.p, r.m, r.v, &st, &r.d, &r.grid, 0),
                   HY_OK);
  assert_int_equal(hy_sha256_file(path, hash), HY_OK);
  remove_all();
  for (int poll = 0; poll < 2; poll++) {
    assert_int_equal(begin(&r, &s, 7), HY_OK);
    wipe(&r); /* the training goes on */
    while (poll && s)
      assert_int_equal(hy_ckpt_save_poll(&s), HY_OK);
    assert_int_equal(hy_ckpt_save_wait(&s), HY_OK);
    assert_null(s);
    assert_int_equal(hy_sha256_file(path, again), HY_OK);
    assert_string_equal(hash, again);
    assert_int_equal(hy_ckpt_read(&r.p, r.m, r.v, NULL, path, &r.grid), HY_OK);
    assert_true(is_whole(&r, 1));
    remove_all();
  }
  assert_int_equal(hy_ckpt_save_wait(&s), HY_OK); /* none is under way */
  rig_free(&r);
  free(path);
}

/* Its failure is told to all ranks when they next ask. */
static void
test_async_full(void **state)
{
  struct rlimit old, low;
  char *path = file_of(9), *tmp = hy_asprintf("%s/.step_0000009.h5.tmp", dir);
  hy_ckpt_save *s = NULL;
  int code = HY_OK;
  rig r;

  (void)state;
  rig_new(&r, &world, 1, NULL);
  assert_int_equal(save(&r, 7, 0, 1), HY_OK);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  low = old;
  low.rlim_cur = 20000;
  setrlimit(RLIMIT_FSIZE, &low);
  hy_err_clear();
  assert_int_equal(begin(&r, &s, 9), HY_OK);
  while (s && !code)
    code = hy_ckpt_save_poll(&s);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_null(s);
  assert_int_equal(code, HY_ERES);
  assert_non_null(strstr(hy_err_text(), "no room"));
  assert_false(hy_path_exists(path));
  assert_false(hy_path_exists(tmp));
  finds(0, HY_OK, 7);
  hy_err_clear();
  rig_free(&r);
  free(path);
  free(tmp);
  remove_all();
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layouts), cmocka_unit_test(test_without_optim),
      cmocka_unit_test(test_damage),  cmocka_unit_test(test_other_model),
      cmocka_unit_test(test_find),    cmocka_unit_test(test_full),
      cmocka_unit_test(test_async),   cmocka_unit_test(test_async_full)};
  const char *where = getenv("HYMN_TESTDIR");
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  dir = hy_asprintf("%s/test_ckpt.dir", where ? where : ".");
  if (world.rank == 0 && hy_make_dirs(dir))
    return 1;
  remove_all();
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  if (world.rank == 0)
    rmdir(dir);
  free(dir);
  MPI_Finalize();
  return bad != 0;
}
