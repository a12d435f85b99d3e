/* Parquet: what other writers made is read, value for value; what is damaged or
 * not covered is refused by name and never read beyond its end. */
#include "config.h"
#include "base/err.h"
#include "base/file.h"
#include "data/parquet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *
fixture(const char *name, const char *suffix)
{
  const char *src = getenv("HYMN_SRCDIR");

  return hy_asprintf("%s/regression/fixtures/parquet/%s%s", src ? src : ".",
                     name, suffix);
}

static char *
scratch(void)
{
  const char *dir = getenv("HYMN_TESTDIR");

  return hy_asprintf("%s/test_parquet.parquet", dir ? dir : ".");
}

/* Write these bytes and open them. */
static int
open_bytes(hy_parquet **p, const void *data, size_t n)
{
  char *path = scratch();
  FILE *f = fopen(path, "wb"); /* hy_file_write would wait for the disk */
  int err;

  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  hy_err_clear();
  err = hy_parquet_open(p, path);
  unlink(path);
  free(path);
  return err;
}

/* All rows of an open file; how many can be had. \return the first error */
static int
read_all(hy_parquet *p, int64_t *n)
{
  int64_t g, i;
  int err = 0;
  json_t *v;
  const char *why;

  for (*n = g = 0; g < hy_parquet_n_groups(p) && !err; g++) {
    err = hy_parquet_load(p, g);
    for (i = 0; i < hy_parquet_group_rows(p, g) && !err; i++) {
      err = hy_parquet_row(p, i, &v, &why);
      assert_true(err || !v == (why != NULL));
      *n += v != NULL;
      json_decref(v);
    }
  }
  return err;
}

/* Row i of all equals the JSON. */
static void
same_row(hy_parquet *p, int64_t i, json_t *want)
{
  const char *why;
  int64_t g = 0;
  json_t *v;
  char *a, *b;

  for (; i >= hy_parquet_group_rows(p, g); g++)
    i -= hy_parquet_group_rows(p, g);
  if (hy_parquet_load(p, g) || hy_parquet_row(p, i, &v, &why))
    fail_msg("%s", hy_err_text());
  assert_non_null(v);
  if (!json_equal(v, want)) {
    a = json_dumps(v, JSON_ENCODE_ANY);
    b = json_dumps(want, JSON_ENCODE_ANY);
    fail_msg("row %lld of group %lld is\n%.999s\nnot\n%.999s", (long long)i,
             (long long)g, a, b);
  }
  json_decref(v);
}

/* The file holds the lines of another, every row when asked by itself. */
static void
holds(const char *name, const char *lines)
{
  char *path = fixture(name, ".parquet"), *text = fixture(lines, ".jsonl");
  hy_buf b = {0};
  hy_parquet *p;
  json_error_t e;
  json_t *want;
  int64_t n = 0, total;
  char *line, *rest;

  if (hy_parquet_open(&p, path) || read_all(p, &total))
    fail_msg("%s", hy_err_text());
  assert_int_equal(hy_file_read(text, &b), HY_OK);
  for (line = strtok_r(b.data, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest), n++) {
    want = json_loads(line, JSON_ALLOW_NUL, &e);
    assert_non_null(want);
    same_row(p, n, want);
    json_decref(want);
  }
  assert_int_equal(n, hy_parquet_n_rows(p));
  assert_int_equal(n, total);
  hy_parquet_free(p);
  free(b.data);
  free(path);
  free(text);
}

static void
test_types(void **state)
{
  (void)state;
  holds("flat", "flat");
  holds("legacy", "legacy");
  holds("delta", "delta");
  holds("nested_v2", "nested");
  holds("packed_gzip", "packed_snappy");
#ifdef HAVE_SNAPPY
  holds("empty", "empty");
  holds("nested", "nested");
  holds("packed_snappy", "packed_snappy");
#endif
#ifdef HAVE_ZSTD
  holds("flat_v2", "flat");
  holds("packed_zstd", "packed_snappy");
#endif
}

/* Columns by name, rows back and forth. */
static void
test_access(void **state)
{
  char *path = fixture("packed_gzip", ".parquet");
  const char *why;
  hy_parquet *p;
  json_t *a, *b;

  (void)state;
  assert_int_equal(hy_parquet_open(&p, path), HY_OK);
  assert_int_equal(hy_parquet_n_groups(p), 2);
  assert_string_equal(hy_parquet_column(p, 0), "input_ids");
  assert_string_equal(hy_parquet_column(p, 2), "seq_start_id");
  assert_null(hy_parquet_column(p, 3));
  assert_true(hy_parquet_has(p, "loss_mask"));
  assert_false(hy_parquet_has(p, "element"));
  assert_int_equal(hy_parquet_load(p, 0), HY_OK);
  assert_int_equal(hy_parquet_row(p, 1, &a, &why), HY_OK);
  assert_int_equal(hy_parquet_row(p, 0, &b, &why), HY_OK);
  assert_false(json_equal(a, b));
  json_decref(b);
  assert_int_equal(hy_parquet_row(p, 1, &b, &why), HY_OK);
  assert_true(json_equal(a, b));
  json_decref(a);
  json_decref(b);
  hy_parquet_free(p);
  free(path);
}

/* The whole set of reference files. */
static void
test_oracle(void **state)
{
  const char *dir = getenv("ORACLE"), *key;
  static const char *const shard[] = {"shard_000", "shard_001"};
  char *path =
      hy_asprintf("%s/data_formats/packed_sft.expected.json", dir ? dir : "");
  json_t *all, *rows, *want, *v;
  const char *why;
  hy_parquet *p;
  size_t k = 0;
  int64_t g, i;

  (void)state;
  all = json_load_file(path, 0, NULL);
  rows = json_object_get(all, "rows");
  free(path);
  if (!rows)
    skip();
  for (int f = 0; f < 2; f++) {
    path =
        hy_asprintf("%s/data_formats/packed_sft/%s.idx.parquet", dir, shard[f]);
    assert_int_equal(hy_parquet_open(&p, path), HY_OK);
    for (g = 0; g < hy_parquet_n_groups(p); g++) {
      assert_int_equal(hy_parquet_load(p, g), HY_OK);
      for (i = 0; i < hy_parquet_group_rows(p, g); i++, k++) {
        json_t *row;

        assert_int_equal(hy_parquet_row(p, i, &row, &why), HY_OK);
        want = json_array_get(rows, k);
        json_object_foreach(row, key, v)
            assert_true(json_equal(v, json_object_get(want, key)));
        json_decref(row);
      }
    }
    hy_parquet_free(p);
    free(path);
  }
  assert_int_equal(k, json_array_size(rows));
  json_decref(all);
}

static void
refused(const char *name, const char *word)
{
  char *path = fixture(name, ".parquet");
  hy_parquet *p;
  int64_t n;

  hy_err_clear();
  assert_int_equal(hy_parquet_open(&p, path), HY_OK);
  assert_int_equal(read_all(p, &n), HY_EDATA);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  assert_int_equal(n, 0);
  hy_parquet_free(p);
  free(path);
}

static void
test_not_covered(void **state)
{
  (void)state;
  refused("lz4", "column 'x', row group 0: is compressed by LZ4");
  refused("brotli", "compressed by Brotli");
  refused("keys", "column 'm.key_value.key'");
  refused("int96", "holds INT96");
  refused("decimal38", "DECIMAL of more than 15 digits");
#ifndef HAVE_SNAPPY
  refused("packed_snappy", "by Snappy, which this build does not read");
#endif
#ifndef HAVE_ZSTD
  refused("packed_zstd", "by zstd, which this build does not read");
#endif
}

/* A value that JSON cannot hold costs its row, not those behind. */
static void
test_values(void **state)
{
#ifdef HAVE_SNAPPY
  static const char *const want[] = {NULL, "UTF-8", "number", NULL};
  char *path = fixture("values", ".parquet");
  const char *why;
  hy_parquet *p;
  json_t *v;

  assert_int_equal(hy_parquet_open(&p, path), HY_OK);
  assert_int_equal(hy_parquet_load(p, 0), HY_OK);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(hy_parquet_row(p, i, &v, &why), HY_OK);
    assert_int_equal(v == NULL, want[i] != NULL);
    assert_int_equal(why == NULL, want[i] == NULL);
    if (want[i])
      assert_non_null(strstr(why, want[i]));
    json_decref(v);
  }
  hy_parquet_free(p);
  free(path);
#endif
  (void)state;
}

static void
bad_bytes(const void *data, size_t n, int code, const char *word)
{
  hy_parquet *p;

  if (open_bytes(&p, data, n) != code)
    fail_msg("code is not %d: %s", code, hy_err_text());
  assert_null(p);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
}

static void
test_torn(void **state)
{
  char *path = fixture("legacy", ".parquet");
  hy_buf b = {0};
  hy_parquet *p;
  size_t n;

  (void)state;
  assert_int_equal(hy_parquet_open(&p, "no_such.parquet"), HY_EFILE);
  hy_err_clear();
  assert_int_equal(hy_parquet_open(&p, "."), HY_EFILE);
  assert_int_equal(hy_file_read(path, &b), HY_OK);
  bad_bytes("", 0, HY_EFILE, "is empty");
  bad_bytes("PAR1", 4, HY_EFILE, "no footer");
  bad_bytes("PAR1PAR1", 8, HY_EFILE, "no footer");
  bad_bytes("PAR1\0\0\0\0PAR1", 12, HY_EDATA, "damaged");
  bad_bytes("PAR1\0\1\0\0\0PAR1", 13, HY_EDATA, "no schema");
  bad_bytes("PAR1\1\0\0\0PAR1", 12, HY_EFILE, "footer longer than the file");
  bad_bytes("{\"text\":\"not at all\"}", 21, HY_EFILE, "no Parquet file");
  bad_bytes("PARE\0\0\0\0PARE", 12, HY_EDATA, "encrypted");
  for (n = 1; n < b.len; n++)
    assert_int_equal(open_bytes(&p, b.data, n), HY_EFILE);
  free(b.data);
  free(path);
}

/* Every bit of a file turned over, one after another: read or refused, and
 * with checksums never read as something else. */
static void
flip(const char *name, int step)
{
  char *path = fixture(name, ".parquet");
  hy_buf b = {0};
  hy_parquet *p;
  int64_t n;
  size_t i;
  int err;

  assert_int_equal(hy_file_read(path, &b), HY_OK);
  for (i = 0; i < 8 * b.len; i += (size_t)step) {
    b.data[i / 8] ^= (char)(1 << i % 8);
    err = open_bytes(&p, b.data, b.len);
    if (!err)
      err = read_all(p, &n);
    assert_true(!err || err == HY_EDATA || err == HY_EFILE);
    assert_int_equal(!err, !*hy_err_text());
    hy_parquet_free(p);
    b.data[i / 8] ^= (char)(1 << i % 8);
  }
  free(b.data);
  free(path);
}

static void
test_flipped(void **state)
{
  (void)state;
  flip("legacy", 1);
  flip("nested_v2", 7);
  flip("delta", 37);
  flip("flat_v2", 23);
}

/* A bit of a page's data is noticed by its checksum. */
static void
test_checksum(void **state)
{
  char *path = fixture("flat", ".parquet"), *at;
  hy_buf b = {0};
  hy_parquet *p;
  int64_t n;

  (void)state;
  assert_int_equal(hy_file_read(path, &b), HY_OK);
  at = memmem(b.data, b.len, "abdxyz", 6);
  assert_non_null(at);
  *at ^= 1;
  assert_int_equal(open_bytes(&p, b.data, b.len), HY_OK);
  assert_int_equal(read_all(p, &n), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "column 'fixed', row group"));
  assert_non_null(strstr(hy_err_text(), "checksum"));
  hy_parquet_free(p);
  free(b.data);
  free(path);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_types),   cmocka_unit_test(test_access),
      cmocka_unit_test(test_oracle),  cmocka_unit_test(test_not_covered),
      cmocka_unit_test(test_values),  cmocka_unit_test(test_torn),
      cmocka_unit_test(test_flipped), cmocka_unit_test(test_checksum),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
