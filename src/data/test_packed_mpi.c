/* Damaged packed files are refused by name; --inspect; n-gram losses against
 * naive sums; the writer that takes pieces. */
#include "base/err.h"
#include "base/file.h"
#include "data/ngram.h"
#include "data/test_pack.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static hy_comm world;
static stream s;
static char *path;

static void
fresh(int weights)
{
  char hash[HY_SHA_HEX];

  assert_int_equal(stream_write(&s, path, weights, &world, hash), HY_OK);
}

static void
opens(int code, const char *word)
{
  hy_packed *p;

  MPI_Barrier(world.mpi);
  hy_err_clear();
  assert_int_equal(hy_packed_open(&p, path, &world), code);
  assert_int_equal(p != NULL, code == HY_OK);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  hy_packed_free(p);
  MPI_Barrier(world.mpi);
}

/* Rank 0 changes element i of a dataset. */
static void
poke(const char *name, hsize_t i, int64_t value)
{
  hid_t file, set, space, mem;
  hsize_t one[2] = {1, 1}, at[2] = {i, 0};

  MPI_Barrier(world.mpi);
  if (world.rank != 0)
    return;
  file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  set = H5Dopen2(file, name, H5P_DEFAULT);
  space = H5Dget_space(set);
  mem = H5Screate_simple(1, one, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, one, NULL);
  assert_true(
      H5Dwrite(set, H5T_NATIVE_INT64, mem, space, H5P_DEFAULT, &value) >= 0);
  H5Sclose(mem);
  H5Sclose(space);
  H5Dclose(set);
  H5Fclose(file);
}

static void
unlink_set(const char *name)
{
  hid_t file;

  if (world.rank == 0) {
    file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(file, name, H5P_DEFAULT);
    H5Fclose(file);
  }
}

static void
test_damage(void **state)
{
  (void)state;
  fresh(1);
  opens(HY_OK, "");
  poke("doc_start", 3, 100000);
  opens(HY_EDATA, "doc_start");
  fresh(1);
  poke("rows", 2, -5);
  opens(HY_EDATA, "rows");
  fresh(1);
  unlink_set("tokens");
  opens(HY_EDATA, "tokens");
  fresh(1);
  MPI_Barrier(world.mpi);
  if (world.rank == 0)
    assert_int_equal(truncate(path, 3000), 0);
  opens(HY_EFILE, "truncated");
  if (world.rank == 0)
    assert_int_equal(hy_file_write(path, "text", 4), HY_OK);
  opens(HY_EFILE, "HDF5");
}

/* A token out of range shows when its row is read, and in --inspect. */
static void
test_token(void **state)
{
  int32_t token[SEQ_LEN], target[SEQ_LEN], start[SEQ_LEN];
  float weight[SEQ_LEN];
  uint8_t pad[SEQ_LEN];
  hy_row r = {token, target, weight, start, pad, 0, 0};
  FILE *out = tmpfile();
  hy_packed *p;

  (void)state;
  fresh(0);
  assert_int_equal(hy_packed_inspect(path, out), HY_OK);
  assert_true(ftell(out) > 200);
  assert_int_equal(hy_packed_is(path), 1);
  poke("tokens", 2 * SEQ_LEN + 1, VOCAB);
  MPI_Barrier(world.mpi);
  assert_int_equal(hy_packed_open(&p, path, &world), HY_OK);
  assert_int_equal(hy_packed_row(p, 1, &r), HY_OK);
  hy_err_clear();
  assert_int_equal(hy_packed_row(p, 2, &r), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "row 2"));
  hy_packed_free(p);
  hy_err_clear();
  assert_int_equal(hy_packed_inspect(path, out), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "/tokens"));
  fclose(out);
  MPI_Barrier(world.mpi);
}

/* ---- the stream ---- */

static void
in_head(hy_packed_head *h, int weights)
{
  *h = (hy_packed_head){.n_tokens = s.n,
                        .n_docs = N_DOCS,
                        .n_rows = (s.n + SEQ_LEN - 1) / SEQ_LEN,
                        .weights = weights,
                        .seq_len = SEQ_LEN,
                        .vocab = VOCAB,
                        .eos = -1,
                        .packing = "concatenative"};
}

/* Pieces of three tokens, documents one by one, rows two by two, each by
 * another rank. */
static int
put_pieces(hy_packed_out *o, int weights)
{
  int64_t at = 0, n_rows = (s.n + SEQ_LEN - 1) / SEQ_LEN;
  int err = HY_OK, turn = 0;

  for (int64_t i = 0; i < s.n && !err; i += 3)
    if (turn++ % world.size == world.rank)
      err = hy_packed_put_tokens(o, i, s.n - i < 3 ? s.n - i : 3, s.token + i,
                                 weights ? s.weight + i : NULL);
  for (int64_t d = 0; d <= N_DOCS && !err; d++) {
    if (turn++ % world.size == world.rank)
      err = hy_packed_put_docs(o, d, 1, &at);
    at += d < N_DOCS ? s.doc_len[d] : 0;
  }
  for (int64_t r = 0; r < n_rows && !err; r += 2) {
    int64_t row[2][2] = {{r * SEQ_LEN, SEQ_LEN}, {(r + 1) * SEQ_LEN, SEQ_LEN}};

    for (int k = 0; k < 2; k++)
      if (s.n - row[k][0] < SEQ_LEN)
        row[k][1] = s.n - row[k][0];
    if (turn++ % world.size == world.rank)
      err = hy_packed_put_rows(o, r, n_rows - r < 2 ? n_rows - r : 2,
                               (const int64_t(*)[2])row);
  }
  return err;
}

static char *
file_text(const char *name, size_t *n)
{
  hy_buf b = {0};

  MPI_Barrier(world.mpi);
  assert_int_equal(hy_file_read(name, &b), HY_OK);
  *n = b.len;
  MPI_Barrier(world.mpi);
  return b.data;
}

static void
test_stream(void **state)
{
  char hash[HY_SHA_HEX], again[HY_SHA_HEX], *want, *got;
  size_t n_want, n_got;
  hy_packed_head head;
  hy_packed_out *o;

  (void)state;
  for (int weights = 0; weights < 2; weights++) {
    assert_int_equal(stream_write(&s, path, weights, &world, hash), HY_OK);
    want = file_text(path, &n_want);
    in_head(&head, weights);
    assert_int_equal(hy_packed_create(&o, path, &head, &world), HY_OK);
    assert_int_equal(hy_packed_close(o, put_pieces(o, weights), again), HY_OK);
    got = file_text(path, &n_got);
    assert_string_equal(hash, again);
    assert_int_equal(n_got, n_want);
    assert_memory_equal(got, want, n_want);
    free(want);
    free(got);
  }
}

/* Long texts do not fit into an object header; they come back. */
static void
test_long_attr(void **state)
{
  char *sources = hy_malloc(300000), hash[HY_SHA_HEX];
  hy_packed_head head;
  hy_packed_out *o;
  hy_packed *p;
  FILE *out = tmpfile();

  (void)state;
  memset(sources, ' ', 300000);
  memcpy(sources, "[", 1);
  memcpy(sources + 299998, "]", 2);
  in_head(&head, 1);
  head.sources = head.lineage = sources;
  assert_int_equal(hy_packed_create(&o, path, &head, &world), HY_OK);
  assert_int_equal(hy_packed_close(o, put_pieces(o, 1), hash), HY_OK);
  assert_int_equal(hy_packed_open(&p, path, &world), HY_OK);
  assert_string_equal(hy_packed_lineage(p), sources);
  assert_string_equal(hy_packed_hash(p), hash);
  hy_packed_free(p);
  assert_int_equal(hy_packed_inspect(path, out), HY_OK);
  fclose(out);
  free(sources);
  MPI_Barrier(world.mpi);
}

/* A rank that fails, and a file that may not grow: nothing is left. */
static void
test_stream_fails(void **state)
{
  struct rlimit old, small;
  char hash[HY_SHA_HEX], *tmp = hy_asprintf("%s.tmp", path);
  hy_packed_head head;
  hy_packed_out *o;

  (void)state;
  MPI_Barrier(world.mpi);
  unlink(path);
  MPI_Barrier(world.mpi);
  in_head(&head, 1);
  assert_int_equal(hy_packed_create(&o, path, &head, &world), HY_OK);
  hy_err_clear();
  assert_int_equal(
      hy_packed_close(
          o, world.rank == world.size - 1 ? hy_fail(HY_EDATA, "no more") : 0,
          hash),
      HY_EDATA);
  assert_string_equal(hy_err_text(), "no more");
  MPI_Barrier(world.mpi);
  assert_false(hy_path_exists(path) || hy_path_exists(tmp));
  MPI_Barrier(world.mpi);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 1 << 20;
  setrlimit(RLIMIT_FSIZE, &small);
  head.n_tokens = 1 << 20;
  hy_err_clear();
  assert_int_equal(hy_packed_create(&o, path, &head, &world), HY_ERES);
  assert_null(o);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_non_null(strstr(hy_err_text(), "no room for 8."));
  MPI_Barrier(world.mpi);
  assert_false(hy_path_exists(path) || hy_path_exists(tmp));
  MPI_Barrier(world.mpi);
  free(tmp);
}

/* By the formulas, pair by pair. */
static void
naive(double *unigram, double *bigram)
{
  double sum1 = 0, sum2 = 0, w = 0;
  static int pair[VOCAB][VOCAB], count[VOCAB], context[VOCAB];
  int n = 0;

  for (int64_t i = 1; i < s.n; i++)
    if (s.doc[i] == s.doc[i - 1] && s.weight[i] > 0) {
      pair[s.token[i - 1]][s.token[i]]++;
      count[s.token[i]]++;
      context[s.token[i - 1]]++;
      n++;
    }
  for (int64_t i = 1; i < s.n; i++) {
    int u = s.token[i - 1], t = 0;
    double p1 = (count[s.token[i]] + 1.0) / (n + VOCAB);

    if (s.doc[i] != s.doc[i - 1])
      continue;
    for (int k = 0; k < VOCAB; k++)
      t += pair[u][k] > 0;
    w += (double)s.weight[i];
    sum1 -= (double)s.weight[i] * log(p1);
    if (s.weight[i] > 0)
      sum2 -= (double)s.weight[i] *
              log((pair[u][s.token[i]] + t * p1) / (context[u] + t));
  }
  *unigram = sum1 / w;
  *bigram = sum2 / w;
}

static void
test_ngram(void **state)
{
  double u, b, naive_u, naive_b;
  hy_packed *p;

  (void)state;
  fresh(1);
  assert_int_equal(hy_packed_open(&p, path, &world), HY_OK);
  assert_int_equal(hy_ngram_losses(p, p, VOCAB, &u, &b), HY_OK);
  naive(&naive_u, &naive_b);
  assert_true(fabs(u - naive_u) < 1e-12);
  assert_true(fabs(b - naive_b) < 1e-12);
  assert_true(b < u);
  hy_err_clear();
  assert_int_equal(hy_ngram_losses(p, p, 3, &u, &b), HY_EDATA);
  hy_packed_free(p);
  MPI_Barrier(world.mpi);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_damage),       cmocka_unit_test(test_token),
      cmocka_unit_test(test_stream),       cmocka_unit_test(test_long_attr),
      cmocka_unit_test(test_stream_fails), cmocka_unit_test(test_ngram)};
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  stream_make(&s);
  path = scratch("test_packed.h5");
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  if (world.rank == 0)
    unlink(path);
  free(path);
  MPI_Finalize();
  return bad != 0;
}
