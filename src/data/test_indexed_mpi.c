/* Indexed data: what the fixtures hold, the same bytes written again by any
 * number of ranks, damaged pairs refused by name. */
#include "base/err.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/indexed.h"
#include "grid/test_mpi.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static hy_comm world;

static const char *const pair[] = {"megatron_u16", "megatron_i32",
                                   "megatron_edge_i32", "megatron_edge_u8"};

static char *
fixture(const char *name, const char *suffix)
{
  const char *src = getenv("HYMN_SRCDIR");

  return hy_asprintf("%s/regression/fixtures/indexed/%s%s", src ? src : ".",
                     name, suffix);
}

static char *
scratch(const char *suffix)
{
  const char *dir = getenv("HYMN_TESTDIR");

  return hy_asprintf("%s/test_indexed%s", dir ? dir : ".", suffix);
}

static void
read_both(const char *path, const char *suffix, hy_buf *out)
{
  char *name = hy_asprintf("%s%s", path, suffix);

  out->len = 0;
  assert_int_equal(hy_file_read(name, out), HY_OK);
  free(name);
}

/* ---- reading ---- */

static json_int_t
number(json_t *o, const char *key, size_t i)
{
  json_t *v = json_object_get(o, key);

  if (json_is_array(v))
    v = json_array_get(v, i);
  assert_true(json_is_integer(v));
  return json_integer_value(v);
}

static void
holds(const hy_indexed *x, json_t *said)
{
  json_t *seqs = json_object_get(said, "sequences"), *seq, *id;
  int64_t n_seq = number(said, "sequence_count", 0);
  size_t i, k;

  assert_int_equal(hy_indexed_type(x), number(said, "dtype_code", 0));
  assert_string_equal(hy_indexed_type_name(x),
                      json_string_value(json_object_get(said, "dtype")));
  assert_int_equal(hy_indexed_n_seq(x), n_seq);
  assert_int_equal(hy_indexed_n_docs(x) + 1, number(said, "document_count", 0));
  assert_int_equal(hy_indexed_n_tokens(x), number(said, "total_tokens", 0));
  for (int64_t d = 0; d <= hy_indexed_n_docs(x); d++)
    assert_int_equal(hy_indexed_doc(x, d),
                     number(said, "document_indices", (size_t)d));
  assert_int_equal(json_array_size(seqs), n_seq);
  json_array_foreach(seqs, i, seq)
  {
    int64_t n = hy_indexed_len(x, (int64_t)i);
    int32_t *v = hy_malloc((size_t)n * sizeof *v + 1);

    assert_int_equal(n, json_array_size(seq));
    assert_int_equal(hy_indexed_ids(x, hy_indexed_start(x, (int64_t)i), n, v),
                     HY_OK);
    json_array_foreach(seq, k, id)
        assert_int_equal(v[k], json_integer_value(id));
    free(v);
  }
  assert_int_equal(hy_indexed_start(x, n_seq), hy_indexed_n_tokens(x));
}

static void
test_read(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
    char *path = fixture(pair[i], i % 2 ? ".idx" : "");
    char *expected = fixture(pair[i], ".expected.json");
    char one[HY_SHA_HEX], all[HY_SHA_HEX];
    json_t *said = json_load_file(expected, 0, NULL);
    hy_indexed *x;

    assert_int_equal(hy_indexed_is(path), 1);
    assert_int_equal(hy_indexed_open(&x, path), HY_OK);
    holds(x, said);
    hy_indexed_hash(x, one);
    hy_indexed_hash_all(x, &world, all);
    assert_string_equal(one, all);
    hy_indexed_free(x);
    json_decref(said);
    free(expected);
    free(path);
  }
}

/* ---- writing ---- */

/* This rank gives every size-th piece of n, the last ones first. */
#define PIECES(total, step, first, n, call)                                    \
  for (int64_t first = ((total)-1) / (step) * (step); first >= 0;              \
       first -= (step))                                                        \
    if ((total) > 0 && first / (step) % world.size == world.rank) {            \
      int64_t n = (total)-first < (step) ? (total)-first : (step);             \
                                                                               \
      call;                                                                    \
    }

static int
write_again(const hy_indexed *x, const char *path, int step, int one_seq)
{
  hy_indexed_head h = {hy_indexed_type(x), hy_indexed_n_tokens(x),
                       hy_indexed_n_seq(x), hy_indexed_n_docs(x)};
  int32_t *id = hy_malloc(((size_t)h.n_tokens + 1) * sizeof *id);
  int64_t *seq = hy_malloc(((size_t)h.n_seq + 1) * sizeof *seq);
  int64_t *doc = hy_malloc(((size_t)h.n_docs + 1) * sizeof *doc);
  hy_indexed_out *o;

  assert_int_equal(hy_indexed_ids(x, 0, h.n_tokens, id), HY_OK);
  for (int64_t i = 0; i < h.n_seq; i++)
    seq[i] = hy_indexed_start(x, i);
  for (int64_t d = 0; d < h.n_docs; d++)
    doc[d] = hy_indexed_doc(x, d);
  if (one_seq)
    assert_int_equal(
        hy_indexed_create(&o, path, h.type, h.n_tokens, h.n_docs, &world),
        HY_OK);
  else
    assert_int_equal(hy_indexed_create_seq(&o, path, &h, &world), HY_OK);
  PIECES(h.n_tokens, 7 * step, at, n, hy_indexed_put_ids(o, at, n, id + at))
  PIECES(h.n_seq, step, at, n, hy_indexed_put_docs(o, at, n, seq + at))
  if (!one_seq)
    PIECES(h.n_docs, step, at, n, hy_indexed_put_borders(o, at, n, doc + at))
  free(id);
  free(seq);
  free(doc);
  return hy_indexed_close(o, HY_OK);
}

static void
same_bytes(const char *a, const char *b)
{
  static const char *const suffix[] = {".idx", ".bin"};
  hy_buf x = {0}, y = {0};

  for (int i = 0; i < 2; i++) {
    read_both(a, suffix[i], &x);
    read_both(b, suffix[i], &y);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
  }
  free(x.data);
  free(y.data);
}

static void
gone(const char *path)
{
  static const char *const suffix[] = {".idx", ".bin", ".idx.tmp", ".bin.tmp"};

  MPI_Barrier(world.mpi);
  for (int i = 0; i < 4; i++) {
    char *name = hy_asprintf("%s%s", path, suffix[i]);

    assert_int_equal(hy_path_exists(name), 0);
    free(name);
  }
  MPI_Barrier(world.mpi); /* before a rank makes them again */
}

static void
remove_both(const char *path)
{
  char *idx = hy_asprintf("%s.idx", path), *bin = hy_asprintf("%s.bin", path);

  MPI_Barrier(world.mpi);
  if (world.rank == 0) {
    unlink(idx);
    unlink(bin);
  }
  MPI_Barrier(world.mpi);
  free(idx);
  free(bin);
}

static void
test_write(void **state)
{
  static const int step[] = {1, 3, 1000};
  char *out = scratch("");

  (void)state;
  for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
    for (int k = 0; k < 3; k++) {
      char *path = fixture(pair[i], "");
      hy_indexed *x;

      assert_int_equal(hy_indexed_open(&x, path), HY_OK);
      assert_int_equal(write_again(x, out, step[k], 0), HY_OK);
      same_bytes(path, out);
      if (!strcmp(pair[i], "megatron_u16")) {
        assert_int_equal(write_again(x, out, step[k], 1), HY_OK);
        same_bytes(path, out);
      }
      MPI_Barrier(world.mpi);
      hy_indexed_free(x);
      free(path);
    }
  assert_int_equal(hy_indexed_type_of(65499), 8);
  assert_int_equal(hy_indexed_type_of(65500), 4);
  remove_both(out);
  free(out);
}

/* Every type gives back what was put, nothing at all too. */
static void
test_types(void **state)
{
  char *path = scratch("");
  int32_t id[100], back[100];
  hy_indexed_out *o;
  hy_indexed *x;

  (void)state;
  for (int i = 0; i < 100; i++)
    id[i] = (int32_t)(hy_rng_u64(3, (uint64_t)i) % 128);
  for (int type = 1; type <= 8; type++) {
    int64_t r = world.rank, from = 100 * r / world.size;
    int64_t n = 100 * (r + 1) / world.size - from;

    assert_int_equal(hy_indexed_create(&o, path, type, 100, 1, &world), HY_OK);
    hy_indexed_put_ids(o, from, n, id + from);
    if (r == 0)
      hy_indexed_put_docs(o, 0, 1, (int64_t[]){0});
    assert_int_equal(hy_indexed_close(o, HY_OK), HY_OK);
    assert_int_equal(hy_indexed_open(&x, path), HY_OK);
    assert_int_equal(hy_indexed_ids(x, 0, 100, back), HY_OK);
    assert_memory_equal(id, back, sizeof id);
    hy_indexed_free(x);
    MPI_Barrier(world.mpi);
  }
  assert_int_equal(hy_indexed_create(&o, path, 4, 0, 0, &world), HY_OK);
  assert_int_equal(hy_indexed_close(o, HY_OK), HY_OK);
  assert_int_equal(hy_indexed_open(&x, path), HY_OK);
  assert_int_equal(hy_indexed_n_tokens(x), 0);
  assert_int_equal(hy_indexed_n_docs(x), 0);
  hy_indexed_free(x);
  remove_both(path);
  free(path);
}

/* Nothing is left of a pair that was not finished. */
static void
test_refused(void **state)
{
  char *path = scratch("");
  struct rlimit old, small = {64, 64};
  int32_t id[2] = {5, 70000};
  int64_t start[1] = {0};
  hy_indexed_out *o;

  (void)state;
  /* an id that the type cannot hold, on the last rank */
  assert_int_equal(hy_indexed_create(&o, path, 8, 2, 1, &world), HY_OK);
  if (world.rank == 0)
    hy_indexed_put_docs(o, 0, 1, start);
  if (world.rank == world.size - 1)
    hy_indexed_put_ids(o, 0, 2, id);
  assert_int_equal(hy_indexed_close(o, HY_OK), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "id 70000"));
  gone(path);
  hy_err_clear();
  /* a document missing */
  assert_int_equal(hy_indexed_create(&o, path, 4, 2, 2, &world), HY_OK);
  if (world.rank == 0) {
    hy_indexed_put_docs(o, 0, 1, start);
    hy_indexed_put_ids(o, 0, 2, id);
  }
  assert_int_equal(hy_indexed_close(o, HY_OK), HY_EBUG);
  gone(path);
  hy_err_clear();
  /* a rank that failed elsewhere */
  assert_int_equal(hy_indexed_create(&o, path, 4, 2, 1, &world), HY_OK);
  assert_int_equal(
      hy_indexed_close(o, world.rank ? HY_OK : hy_fail(HY_ERES, "full")),
      HY_ERES);
  gone(path);
  hy_err_clear();
  /* no room */
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  small.rlim_max = old.rlim_max;
  setrlimit(RLIMIT_FSIZE, &small);
  assert_int_equal(hy_indexed_create(&o, path, 4, 20000, 1, &world), HY_ERES);
  assert_null(o);
  setrlimit(RLIMIT_FSIZE, &old);
  gone(path);
  hy_err_clear();
  free(path);
}

/* ---- damaged pairs ---- */

static void
opens(const char *path, int code, const char *word)
{
  hy_indexed *x;

  hy_err_clear();
  assert_int_equal(hy_indexed_open(&x, path), code);
  assert_int_equal(x != NULL, code == HY_OK);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  hy_indexed_free(x);
  hy_err_clear();
}

/* edge_i32 with n bytes of a file at place `at` replaced; cut: bytes added to
 * its end, or taken from it. */
static void
damaged(const char *suffix, size_t at, const void *with, size_t n, int cut,
        int code, const char *word)
{
  char *from = fixture("megatron_edge_i32", ""), *name, *to = scratch("_bad");
  static const char *const both[] = {".idx", ".bin"};
  hy_buf b = {0};

  for (int i = 0; i < 2; i++) {
    read_both(from, both[i], &b);
    if (!strcmp(both[i], suffix)) {
      assert_true(at + n <= b.len);
      if (n)
        memcpy(b.data + at, with, n);
      if (cut > 0)
        hy_buf_add(&b, "some bytes more", (size_t)cut);
      else
        b.len -= (size_t)-cut;
    }
    name = hy_asprintf("%s%s", to, both[i]);
    assert_int_equal(hy_file_write(name, b.data, b.len), HY_OK);
    free(name);
  }
  opens(to, code, word);
  free(b.data);
  free(from);
  free(to);
}

#define NUMBER64(v) (const uint64_t[]){v}, 8
#define NUMBER32(v) (const uint32_t[]){v}, 4

static void
test_damage(void **state)
{
  /* edge_i32: 4 sequences, so lengths at 34, offsets at 50, borders at 82 */
  enum { LENGTH = 34, OFFSET = 50, BORDER = 82 };
  char *path;

  (void)state;
  if (world.rank)
    return;
  damaged("", 0, NULL, 0, 0, HY_OK, "");
  damaged(".idx", 0, "X", 1, 0, HY_EFILE, "magic");
  damaged(".idx", 9, NUMBER64(2), 0, HY_EFILE, "version 2");
  damaged(".idx", 17, "c", 1, 0, HY_EDATA, "type 99");
  damaged(".idx", 17, "", 1, 0, HY_EDATA, "type 0");
  damaged(".idx", 18, NUMBER64(5), 0, HY_EFILE, "truncated");
  damaged(".idx", 18, NUMBER64(UINT64_MAX), 0, HY_EFILE, "truncated");
  damaged(".idx", 18, NUMBER64(UINT64_MAX / 12 + 2), 0, HY_EFILE, "truncated");
  damaged(".idx", 18, NUMBER64(3), 0, HY_EDATA, "12 bytes more");
  damaged(".idx", 26, NUMBER64(0), 0, HY_EDATA, "no borders");
  damaged(".idx", 26, NUMBER64(UINT64_MAX), 0, HY_EFILE, "truncated");
  damaged(".idx", 26, NUMBER64(3), 0, HY_EDATA, "8 bytes more");
  damaged(".idx", 0, NULL, 0, -1, HY_EFILE, "truncated");
  damaged(".idx", 0, NULL, 0, -90, HY_EFILE, "truncated");
  damaged(".idx", 0, NULL, 0, 4, HY_EDATA, "modes");
  damaged(".idx", 0, NULL, 0, 5, HY_EDATA, "5 bytes more");
  damaged(".idx", LENGTH + 4, NUMBER32(UINT32_MAX), 0, HY_EDATA,
          "sequence 1 has a negative length");
  damaged(".idx", LENGTH + 4, NUMBER32(1), 0, HY_EDATA, "sequence 2");
  damaged(".idx", LENGTH + 12, NUMBER32(INT32_MAX), 0, HY_EFILE, ".bin");
  damaged(".idx", LENGTH + 12, NUMBER32(0), 0, HY_EDATA, "4 bytes more");
  damaged(".idx", OFFSET, NUMBER64(4), 0, HY_EDATA, "sequence 0");
  damaged(".idx", OFFSET + 24, NUMBER64((uint64_t)-4), 0, HY_EDATA,
          "sequence 3");
  damaged(".idx", BORDER, NUMBER64(1), 0, HY_EDATA, "border 0");
  damaged(".idx", BORDER + 8, NUMBER64(2), 0, HY_EDATA, "border 2");
  damaged(".idx", BORDER + 24, NUMBER64(3), 0, HY_EDATA, "border 3");
  damaged(".bin", 0, NULL, 0, -1, HY_EFILE, "truncated");
  damaged(".bin", 0, NULL, 0, -36, HY_EFILE, "truncated");
  damaged(".bin", 0, NULL, 0, 4, HY_EDATA, "4 bytes more");
  path = scratch("_bad.bin");
  unlink(path);
  opens(path, HY_EFILE, "_bad.bin: cannot read");
  free(path);
  path = scratch("_bad.idx");
  assert_int_equal(hy_file_write(path, "", 0), HY_OK);
  opens(path, HY_EFILE, "magic");
  unlink(path);
  opens(path, HY_EFILE, "_bad.idx: cannot read");
  free(path);
}

static void
test_bad_fixtures(void **state)
{
  static const char *const bad[][2] = {{"bad_magic.idx", "magic"},
                                       {"bad_version.idx", "version"},
                                       {"bad_dtype.idx", "type 99"},
                                       {"bad_truncated.idx", "truncated"}};

  (void)state;
  for (int i = 0; i < 4; i++) {
    char *path = fixture(bad[i][0], "");

    opens(path, i == 2 ? HY_EDATA : HY_EFILE, bad[i][1]);
    free(path);
  }
}

/* Ids that are none are named by sequence. */
static void
test_ids(void **state)
{
  static const struct {
    int type, size;
    const char *bytes;
  } bad[] = {{2, 1, "\1\377"},
             {4, 4, "\1\0\0\0\0\0\0\200"},
             {5, 8, "\1\0\0\0\0\0\0\0\0\0\0\200\0\0\0\0"},
             {6, 8, "\0\0\0\0\0\0\360\77\0\0\0\0\0\0\370\77"},
             {7, 4, "\0\0\200\77\0\0\300\177"}};
  char *path = scratch("_ids"), *bin = hy_asprintf("%s.bin", path);
  int32_t id[2] = {1, 1};

  (void)state;
  for (int i = 0; i < 5; i++) {
    hy_indexed_out *o;
    hy_indexed *x;

    assert_int_equal(hy_indexed_create(&o, path, bad[i].type, 2, 2, &world),
                     HY_OK);
    if (world.rank == 0) {
      hy_indexed_put_ids(o, 0, 2, id);
      hy_indexed_put_docs(o, 0, 2, (int64_t[]){0, 1});
    }
    assert_int_equal(hy_indexed_close(o, HY_OK), HY_OK);
    if (world.rank == 0)
      assert_int_equal(
          hy_file_write(bin, bad[i].bytes, 2 * (size_t)bad[i].size), HY_OK);
    MPI_Barrier(world.mpi);
    assert_int_equal(hy_indexed_open(&x, path), HY_OK);
    assert_int_equal(hy_indexed_ids(x, 0, 1, id), HY_OK);
    assert_int_equal(id[0], 1);
    assert_int_equal(hy_indexed_ids(x, 0, 2, id), HY_EDATA);
    assert_non_null(strstr(hy_err_text(), "sequence 1, number 0"));
    id[0] = id[1] = 1;
    hy_err_clear();
    hy_indexed_free(x);
    MPI_Barrier(world.mpi);
  }
  remove_both(path);
  free(bin);
  free(path);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_read),   cmocka_unit_test(test_write),
    cmocka_unit_test(test_types),  cmocka_unit_test(test_refused),
    cmocka_unit_test(test_damage), cmocka_unit_test(test_bad_fixtures),
    cmocka_unit_test(test_ids),
};

TEST_MPI_MAIN(tests)
