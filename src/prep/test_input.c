/* Files with records: every record once whatever the shards, and what is wrong
 * with a record or a file. */
#include "config.h"

#include "base/err.h"
#include "base/file.h"
#include "prep/doc.h"
#include "prep/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_files.h"
#include "test_records.h"

/* The records of a file, and the same from shards of a few bytes. */
static void
same(const char *path, const char *want)
{
  hy_buf got = {0};

  for (int64_t bytes = 1; bytes < 1 << 20; bytes = 3 * bytes + 1) {
    read_all(path, bytes, &got);
    assert_string_equal(got.data ? got.data : "", want);
  }
  free(got.data);
}

/* Code and text of what is wrong with a file. */
static void
refused(const char *path, int code, const char *text)
{
  hy_input in;
  hy_buf out = {0};
  int err;

  hy_err_clear();
  err = hy_input_measure(&in, path, 1 << 20);
  if (!err)
    err = read_shard(&in, 0, &out);
  assert_int_equal(err, code);
  assert_non_null(strstr(hy_err_text(), text));
  hy_input_free(&in);
  free(out.data);
}

/* ---- lines ---- */

static void
test_lines(void **state)
{
  char *p = put_text("lines.jsonl", "\xEF\xBB\xBF{\"a\":1}\r\n"
                                    "\n"
                                    "  {\"a\": \"\\u0000\xC3\xA9\"} \n"
                                    "{\"a\":18446744073709551615}\n"
                                    "{\"a\":\"\xFF\"}");

  (void)state;
  same(p, "{\"a\":1}\n"
          "lines.jsonl:2: blank line\n"
          "{\"a\":\"\\u0000\xC3\xA9\"}\n"
          "{\"a\":1.8446744073709552e19}\n"
          "(1) {\"a\":\"\xEF\xBF\xBD\"}\n");
  drop(p);
}

static void
test_bad_lines(void **state)
{
  static const char text[] = "{\"a\":1\n"
                             "[1]\n"
                             "{\"a\":1,\"a\":2}\n"
                             "{\"a\":1} x\n"
                             "{\"a\":\"\0\"}\n"
                             "{'a':1}\n"
                             "{\"a\":1e999}\n"
                             "\"text\"\n"
                             "{\"a\":2}\n";
  char *p = put("bad.jsonl", text, sizeof text - 1);

  (void)state;
  same(p, "bad.jsonl:1: JSON that breaks off\n"
          "bad.jsonl:2: no JSON object\n"
          "bad.jsonl:3: duplicated key\n"
          "bad.jsonl:4: broken JSON\n"
          "bad.jsonl:5: NUL byte\n"
          "bad.jsonl:6: broken JSON\n"
          "bad.jsonl:7: number out of range\n"
          "bad.jsonl:8: no JSON object\n"
          "{\"a\":2}\n");
  drop(p);
}

/* Any cut gives every line once and in order; so does a compressed file. */
static void
test_shards(void **state)
{
  hy_buf text = {0}, whole = {0}, got = {0};
  char *p, *gz;
  int64_t most = 0;

  (void)state;
  for (int i = 0; i < 60; i++)
    hy_buf_printf(&text, "{\"n\":%d,\"s\":\"%.*s\"}\n", i, i * 7 % 40,
                  "0123456789012345678901234567890123456789");
  p = put_text("cut.jsonl", text.data);
  gz = put_gz("cut.jsonl.gz", text.data);
  assert_int_equal(read_all(p, INT64_MAX, &whole), 1);
  assert_int_equal(whole.len, text.len);
  for (int64_t bytes = 1; bytes < 200; bytes++) {
    int64_t n = read_all(p, bytes, &got);

    assert_int_equal(n, ((int64_t)text.len - 1) / bytes + 1);
    assert_string_equal(got.data, whole.data);
    if (bytes % 20 == 1) {
      n = read_all(gz, bytes, &got);
      most = n > most ? n : most;
      assert_string_equal(got.data, whole.data);
    }
  }
  assert_int_equal(most, 16);
  drop(p);
  drop(gz);
  free(text.data);
  free(whole.data);
  free(got.data);
}

/* A line that is longer than every buffer. */
static void
test_long_line(void **state)
{
  size_t n = 100u << 20;
  char *text = hy_malloc(n), *p;
  hy_buf got = {0};

  (void)state;
  memset(text, 'x', n);
  memcpy(text, "{\"a\":\"", 6);
  memcpy(text + n - 10, "\"}\n{\"b\":2}", 10);
  p = put("long.jsonl", text, n);
  read_all(p, 1 << 20, &got);
  assert_int_equal(got.len, n + 1);
  assert_memory_equal(got.data, text, n);
  free(got.data);
  free(text);
  drop(p);
}

/* ---- whole files ---- */

static void
test_text(void **state)
{
  char *p = put_text("a.txt", "\xEF\xBB\xBFone\r\ntwo");
  char *gz = put_gz("b.txt.gz", "three"), *nul = put("c.txt", "x\ny\0z", 5);

  (void)state;
  same(p, "one\r\ntwo\n");
  same(gz, "three\n");
  same(nul, "c.txt:2: NUL byte\n");
  drop(p);
  drop(gz);
  drop(nul);
}

static void
test_json(void **state)
{
  char *p =
      put_text("a.json", " [ {\"a\":\"],{\\\"\"} ,\n{\"a\":[1,{}]}, {\"a\":1,"
                         "\"a\":2},7,{\"b\":\"\xFF\"},{\"c\" 1}\n,]\n");

  (void)state;
  same(p, "(1) {\"a\":\"],{\\\"\"}\n"
          "{\"a\":[1,{}]}\n"
          "a.json: record 3: duplicated key\n"
          "a.json: record 4: no JSON object\n"
          "{\"b\":\"\xEF\xBF\xBD\"}\n"
          "a.json: record 6: broken JSON\n"
          "a.json: record 7: JSON that breaks off\n");
  drop(p);
  p = put_text("b.json", "[]");
  same(p, "");
  drop(p);
  p = put_text("c.json", "{\"a\":1}\n");
  same(p, "{\"a\":1}\n");
  drop(p);
  p = put_text("d.json", "{\"data\":[{\"a\":1},{\"a\":2},3]}");
  same(p, "{\"a\":1}\n{\"a\":2}\nd.json: record 3: no JSON object\n");
  drop(p);
}

/* Articles with paragraphs with questions. */
static void
test_nested(void **state)
{
  char *p = put_text(
      "squad.json",
      "{\"version\":\"1.1\",\"data\":[{\"title\":\"T\",\"paragraphs\":["
      "{\"context\":\"C\",\"qas\":[{\"id\":\"1\",\"question\":\"Q\","
      "\"answers\":[{\"text\":\"A\",\"answer_start\":0}]},"
      "{\"id\":\"2\",\"question\":\"R\",\"answers\":[]}]},"
      "{\"context\":\"D\"},{\"context\":\"E\",\"qas\":[]}]},"
      "{\"title\":\"U\",\"paragraphs\":[]}]}");

  (void)state;
  same(p, "{\"answers\":[{\"answer_start\":0,\"text\":\"A\"}],\"context\":"
          "\"C\",\"id\":\"1\",\"question\":\"Q\",\"title\":\"T\"}\n"
          "{\"answers\":[],\"context\":\"C\",\"id\":\"2\",\"question\":\"R\","
          "\"title\":\"T\"}\n"
          "squad.json: record 3: paragraph without a list of questions\n");
  drop(p);
}

static void
test_bad_files(void **state)
{
  static const struct {
    const char *name, *text, *says;
    int code;
  } bad[] = {
      {"empty.jsonl", "", "is empty", HY_EDATA},
      {"torn.json", "[{\"a\":1},{\"a\"", "breaks off", HY_EDATA},
      {"more.json", "[{\"a\":1}] 5", "follows", HY_EDATA},
      {"lines.json", "{\"a\":1}\n{\"a\":2}\n", "name it .jsonl", HY_EDATA},
      {"twice.json", "{\"a\":1,\"a\":2}\n", "uplicate", HY_EDATA},
      {"word.json", "hello", "neither a list nor an object", HY_EDATA},
      {"a.jsonl.gz", "{\"a\":1}", "not in gzip format", HY_EFILE},
#ifdef HAVE_ZSTD
      {"a.jsonl.zst", "{\"a\":1}", "not in zstd format", HY_EFILE},
      {"b.jsonl.zst", "{", "not in zstd format", HY_EFILE},
#else
      {"a.jsonl.zst", "{\"a\":1}", "without zstd", HY_EFILE},
#endif
  };

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char *p = put_text(bad[i].name, bad[i].text);
    hy_input in;

    hy_err_clear();
    if (bad[i].code == HY_EDATA && *bad[i].text) {
      refused(p, HY_EDATA, bad[i].says);
    } else {
      assert_int_equal(hy_input_measure(&in, p, 1), bad[i].code);
      assert_non_null(strstr(hy_err_text(), bad[i].says));
      hy_input_free(&in);
    }
    drop(p);
  }
}

/* ---- names ---- */

static void
found(const char *name, const char *want)
{
  char **path, *copy = hy_strdup(name);
  hy_buf got = {0};
  int n;

  hy_err_clear();
  assert_int_equal(hy_inputs_find(&path, &n, &copy, 1), HY_OK);
  for (int i = 0; i < n; i++) {
    hy_buf_printf(&got, "%s ", strrchr(path[i], '/') + 1);
    free(path[i]);
  }
  assert_string_equal(got.data, want);
  free(path);
  free(copy);
  free(got.data);
}

static void
not_found(const char *name, const char *says)
{
  char **path, *copy = hy_strdup(name);
  int n;

  hy_err_clear();
  assert_int_equal(hy_inputs_find(&path, &n, &copy, 1), HY_EFILE);
  assert_non_null(strstr(hy_err_text(), says));
  assert_null(path);
  free(copy);
}

static void
test_names(void **state)
{
  static const char *const name[] = {"b.jsonl",  "B.txt",    "a.json",
                                     "c.txt.gz", "notes.md", "[x].txt"};
  char *old = dir, *p[6], *pattern;

  (void)state;
  dir = in_dir("names");
  assert_int_equal(hy_make_dirs(dir), HY_OK);
  for (int i = 0; i < 6; i++)
    p[i] = put_text(name[i], "x");
  found(dir, "B.txt [x].txt a.json b.jsonl c.txt.gz ");
  pattern = in_dir("*.[jt]*");
  found(pattern, "B.txt [x].txt a.json b.jsonl c.txt.gz ");
  found(p[5], "[x].txt ");
  not_found(p[4], "of no kind");
  not_found("no_such*.txt", "no such file");
  not_found("no_such.txt", "no such file");
  for (int i = 0; i < 6; i++)
    drop(p[i]);
  not_found(dir, "holds no file");
  rmdir(dir);
  free(pattern);
  free(dir);
  dir = old;
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines),  cmocka_unit_test(test_bad_lines),
      cmocka_unit_test(test_shards), cmocka_unit_test(test_long_line),
      cmocka_unit_test(test_text),   cmocka_unit_test(test_json),
      cmocka_unit_test(test_nested), cmocka_unit_test(test_bad_files),
      cmocka_unit_test(test_names)};

  make_dir("test_input");
  return drop_dir(cmocka_run_group_tests(tests, NULL, NULL));
}
