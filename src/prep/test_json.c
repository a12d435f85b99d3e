/* The parser of records against jansson's: the same texts are taken, and the
 * same values come out. */
#include "base/mem.h"
#include "base/rng.h"
#include "prep/json.h"
#include "text/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test_fixture.h"

/* jansson's value, integers beyond 64 bits as reals. */
static json_t *
judge(const char *text, size_t n)
{
  size_t flags = JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
  json_error_t e;
  json_t *o = json_loadb(text, n, flags, &e);

  if (!o && json_error_code(&e) == json_error_numeric_overflow)
    o = json_loadb(text, n, flags | JSON_DECODE_INT_AS_REAL, &e);
  return o;
}

/* Equal, but that 1 may be 1.0. */
static int
alike(const json_t *a, const json_t *b)
{
  const char *key;
  json_t *v;
  size_t i;

  if (json_is_number(a) && json_is_number(b))
    return json_number_value(a) == json_number_value(b);
  if (json_is_array(a) && json_array_size(a) == json_array_size(b)) {
    json_array_foreach((json_t *)a, i, v)
    {
      if (!alike(v, json_array_get(b, i)))
        return 0;
    }
    return 1;
  }
  if (json_is_object(a) && json_object_size(a) == json_object_size(b)) {
    json_object_foreach((json_t *)a, key, v)
    {
      if (!json_object_get(b, key) || !alike(v, json_object_get(b, key)))
        return 0;
    }
    return 1;
  }
  return json_equal(a, b);
}

/* \return 1 if the text is taken. */
static int
check(const char *text, size_t n)
{
  json_t *want = judge(text, n), *got;
  const char *why = hy_json_parse(text, n, &got);
  int taken = got != NULL;

  if ((want != NULL) != taken || (why != NULL) == taken ||
      (taken && !alike(want, got)))
    fail_msg("%.*s: %s", (int)n, text, why ? why : "taken");
  json_decref(want);
  json_decref(got);
  return taken;
}

/* JSON, and what is nearly JSON. */
static const char *const written[] = {
    "",
    " ",
    "{}",
    "[]",
    " [ ] ",
    "{ }",
    "[1,2]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\":1}",
    "{\"a\" : [ { } ] }",
    "{\"a\":1,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":1},\"b\":{\"b\":1}}",
    "{\"\":1}",
    "{\"a\\u0000\":1}",
    "{\"\\u0061\":1,\"a\":1}",
    "nul",
    "null",
    "nulls",
    "true",
    "tru",
    "false",
    "True",
    "NaN",
    "Infinity",
    "\"\"",
    "\"a",
    "\"\\\"",
    "\"\\\\\"",
    "\"\\/\\b\\f\\n\\r\\t\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    "\"\\u00e9\\u20ac\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ud83d\\u0041\"",
    "\"\\ude00\"",
    "\"\\ud83d\\n\"",
    "\"\\u0000\"",
    "\"a\tb\"",
    "\"a\nb\"",
    "\"\x7f\"",
    "\"\x01\"",
    "'a'",
    "0",
    "-0",
    "-",
    "+1",
    "01",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+5",
    "1e-5",
    "1e",
    "1e+",
    "-1.5e300",
    "1e999",
    "-1e999",
    "1e-999",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "123456789012345678901234567890",
    "1 ",
    "1 1",
    "[1]]",
    "{}{}",
    "\"0123456789\"",
    "\"01234567\\n89012345678901\"",
    "\"0123456\\\"\"",
    "[\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 long enough for words\"]",
    "/**/1",
    "[1,2,3,[4,[5,{\"a\":[6]}]]]"};

static void
test_texts(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof written / sizeof *written; i++)
    for (size_t n = 0; n <= strlen(written[i]); n++) {
      char *copy = hy_strndup(written[i], n); /* its end is the end of memory */

      if (hy_utf8_ok(copy, n))
        check(copy, n);
      free(copy);
    }
  assert_false(check("{\"a\":\"\0\"}", 9));
  assert_true(check("{\"a\":\"\\u0000\"}", 14));
}

static void
test_deep(void **state)
{
  char *text = hy_malloc(5000);
  int taken = 0;

  (void)state;
  for (size_t depth = 2040; depth < 2056; depth++) {
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    taken += check(text, 2 * depth);
  }
  assert_true(taken > 0 && taken < 16);
  free(text);
}

/* Lines of the fixtures, and what becomes of them by chance. */
static void
test_changed(void **state)
{
  static const char *const file[] = {"data/chat.jsonl", "data/helpsteer3.jsonl",
                                     "parquet/flat.jsonl",
                                     "parquet/nested.jsonl"};
  static const char with[] = "\"\\,:[]{}0123456789.eE+-tfnul \n";
  uint64_t key = hy_rng_key(1, "json"), i = 0;
  int taken = 0, all = 0;

  (void)state;
  for (size_t f = 0; f < sizeof file / sizeof *file; f++) {
    char *path = fixture(file[f]), line[1 << 16];
    FILE *in = fopen(path, "r");

    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
      size_t n = strlen(line);

      assert_true(check(line, n));
      for (int k = 0; k < 200 && n < 8000; k++, all++) {
        size_t at = (size_t)(hy_rng_u64(key, i++) % n);
        char was = line[at];

        line[at] = with[hy_rng_u64(key, i++) % (sizeof with - 1)];
        if (hy_utf8_ok(line, n))
          taken += check(line, n);
        line[at] = was;
      }
    }
    fclose(in);
    free(path);
  }
  assert_true(taken > 100 && taken < all);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts),
                                     cmocka_unit_test(test_deep),
                                     cmocka_unit_test(test_changed)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
