/* Parquet and indexed data as inputs: every record once whatever the shards. */
#include "config.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_fixture.h"
#include "test_records.h"

/* Records of a file in shards of any size; the most shards there are. */
static int64_t
check(const char *name, const char *want)
{
  char *path = fixture(name);
  hy_buf got = {0};
  int64_t most = 0;

  for (int64_t bytes = 1; bytes < INT64_MAX / 8; bytes *= 8) {
    int64_t n = read_all(path, bytes, &got);

    most = n > most ? n : most;
    assert_string_equal(got.data, want);
  }
  free(got.data);
  free(path);
  return most;
}

/* The lines that say what a file holds, written as read_all writes them. */
static char *
lines_of(const char *name)
{
  char *path = fixture(name);
  hy_buf b = {0};

  read_all(path, INT64_MAX, &b);
  free(path);
  return b.data;
}

static void
test_parquet(void **state)
{
  char *want = lines_of("parquet/packed_snappy.jsonl");

  (void)state;
#ifdef HAVE_SNAPPY
  assert_int_equal(check("parquet/packed_snappy.parquet", want), 2);
#endif
  assert_int_equal(check("parquet/packed_gzip.parquet", want), 2);
  free(want);
}

#ifdef HAVE_SNAPPY
/* A row that cannot be had is no end; its number counts the whole file. */
static void
test_rows(void **state)
{
  char *path = fixture("parquet/values.parquet"), *line;
  hy_buf got = {0};
  int n = 0, bad = 0, shown;

  (void)state;
  read_all(path, 1, &got);
  for (line = strtok(got.data, "\n"); line; line = strtok(NULL, "\n")) {
    n++;
    if (*line == '{')
      continue;
    bad++;
    assert_int_equal(sscanf(line, "values.parquet: record %d:", &shown), 1);
    assert_int_equal(shown, n);
  }
  assert_true(bad > 0 && bad < n);
  free(got.data);
  free(path);
}

#endif

/* Documents of several sequences. */
static void
test_indexed(void **state)
{
  char *path = fixture("indexed/megatron_i32.expected.json");
  json_t *o = json_load_file(path, 0, NULL);
  const json_t *seq = json_object_get(o, "sequences");
  const json_t *doc = json_object_get(o, "document_indices");
  hy_buf want = {0};
  size_t n = json_array_size(doc) - 1;

  (void)state;
  for (size_t d = 0; d < n; d++) {
    json_int_t to = json_integer_value(json_array_get(doc, d + 1));
    json_t *ids = json_array();
    char *text;

    for (json_int_t i = json_integer_value(json_array_get(doc, d)); i < to; i++)
      json_array_extend(ids, json_array_get(seq, (size_t)i));
    text = json_dumps(ids, JSON_COMPACT);
    hy_buf_printf(&want, "{\"ids\":%s}\n", text);
    free(text);
    json_decref(ids);
  }
  assert_int_equal(check("indexed/megatron_i32.idx", want.data), n);
  json_decref(o);
  free(want.data);
  free(path);
}

static void
test_refused(void **state)
{
  static const struct {
    const char *name, *says;
    int code;
  } bad[] = {{"parquet/empty.parquet", "is empty", HY_EDATA},
             {"parquet/lz4.parquet", "LZ4", HY_EDATA},
             {"indexed/bad_magic.idx", "bad_magic", HY_EFILE}};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char *path = fixture(bad[i].name);
    hy_input in;
    hy_buf out = {0};
    int err;

    hy_err_clear();
    err = hy_input_measure(&in, path, 1);
    if (!err)
      err = read_shard(&in, 0, &out);
    assert_int_equal(err, bad[i].code);
    assert_non_null(strstr(hy_err_text(), bad[i].says));
    hy_input_free(&in);
    free(out.data);
    free(path);
  }
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
#ifdef HAVE_SNAPPY
      cmocka_unit_test(test_rows),
#endif
      cmocka_unit_test(test_parquet), cmocka_unit_test(test_indexed),
      cmocka_unit_test(test_refused)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
