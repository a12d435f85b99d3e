/* What a raw blend says, and what is wrong with one. */
#include "base/err.h"
#include "prep/raw_blend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A "{\"name\":\"a\",\"path\":\"a.jsonl\",\"weight\":2}"
#define B "{\"name\":\"b\",\"path\":[\"/b\",\"c*\"],\"weight\":\"1e-1\"}"

static void
test_good(void **state)
{
  static const char text[] =
      "{\"phases\":[{\"tokens\":100,\"datasets\":[" A "," B "]},"
      "{\"tokens\":50,\"datasets\":[" B
      ",{\"name\":\"d\",\"path\":\"d\",\"weight\":3,\"reader\":\"pair\","
      "\"text_field\":\"it's\",\"split\":null,\"subset\":\"\"}]}]}";
  hy_raw_blend b;
  hy_deck deck, one;

  (void)state;
  assert_int_equal(
      hy_raw_blend_parse(&b, text, sizeof text - 1, "dir/raw.json"), HY_OK);
  assert_int_equal(b.n_sets, 3);
  assert_int_equal(b.n_phases, 2);
  assert_int_equal(b.tokens[0], 100);
  assert_int_equal(b.tokens[1], 50);
  assert_string_equal(b.set[0].path.s[0], "dir/a.jsonl");
  assert_string_equal(b.set[1].path.s[0], "/b");
  assert_string_equal(b.set[1].path.s[1], "dir/c*");
  assert_true(b.set[0].weight[0] == 2 && b.set[0].weight[1] == 0);
  assert_true(b.set[1].weight[0] == 0.1 && b.set[1].weight[1] == 0.1);
  assert_true(b.set[2].weight[0] == 0 && b.set[2].weight[1] == 3);
  hy_deck_init(&deck);
  assert_int_equal(hy_raw_set_deck(&one, &deck, &b.set[2], "raw.json"), HY_OK);
  assert_string_equal(one.prepare.reader, "pair");
  assert_string_equal(one.prepare.field, "it's");
  assert_string_equal(one.prepare.prompt, "prompt");
  assert_int_equal(one.prepare.input.n, 1);
  assert_string_equal(deck.prepare.reader, "auto");
  hy_deck_free(&deck);
  hy_raw_blend_free(&b);
}

static void
refused(const char *text, const char *word)
{
  hy_raw_blend b;

  hy_err_clear();
  assert_int_equal(hy_raw_blend_parse(&b, text, strlen(text), "raw.json"),
                   HY_EDATA);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  hy_raw_blend_free(&b);
}

#define ONE(members) "{\"datasets\":[{" members "}]}"
#define NAMED(members) ONE("\"name\":\"a\",\"path\":\"a\"," members)

static void
test_bad(void **state)
{
  (void)state;
  refused("", "raw.json:1: broken JSON");
  refused("[]", "no JSON object");
  refused("{}", "neither");
  refused("{\"datasets\":[" A "],\"phases\":[]}", "both");
  refused("{\"datasets\":[" A "],\"datasets\":[" A "]}", "duplicate");
  refused("{\"dataset\":[" A "]}", "did you mean \"datasets\"");
  refused("{\"datasets\":{}}", "no list");
  refused("{\"datasets\":[]}", "no list");
  refused("{\"datasets\":[1]}", "has no \"name\"");
  refused("{\"phases\":[]}", "0 entries");
  refused("{\"phases\":[1]}", "phase 1: is no JSON object");
  refused("{\"phases\":[{\"datasets\":[" A "]}]}", "\"tokens\"");
  refused("{\"phases\":[{\"tokens\":-4,\"datasets\":[" A "]}]}", "\"tokens\"");
  refused("{\"phases\":[{\"tokens\":1,\"datasets\":[" A
          "]},{\"tokens\":1,\"datasets\":[" A "]},{\"tokens\":1}]}",
          "3 entries");
  refused("{\"phases\":[{\"tokens\":1,\"datasets\":[" A "]},{\"tokens\":1,"
          "\"datasets\":[{\"name\":\"a\",\"path\":\"b\",\"weight\":1}]}]}",
          "data set a: differs between the phases");
  refused("{\"datasets\":[" A "," A "]}", "named twice");
  refused(ONE("\"name\":\"../a\",\"path\":\"a\",\"weight\":1"), "a folder");
  refused(ONE("\"name\":\"a\\u0000\",\"path\":\"a\",\"weight\":1"), "broken JSON");
  refused(ONE("\"name\":\"a\",\"weight\":1"), "has no \"path\"");
  refused(ONE("\"name\":\"a\",\"path\":\"a\""), "has no \"weight\"");
  refused(ONE("\"name\":\"a\",\"path\":[],\"weight\":1"), "empty list");
  refused(ONE("\"name\":\"a\",\"path\":[7],\"weight\":1"), "no path");
  refused(NAMED("\"weight\":-1"), "\"weight\"");
  refused(NAMED("\"weight\":\"1x\""), "\"weight\"");
  refused(NAMED("\"weight\":\"nan\""), "\"weight\"");
  refused(NAMED("\"weight\":\"1e999\""), "\"weight\"");
  refused(NAMED("\"weight\":[1]"), "\"weight\"");
  refused(NAMED("\"weight\":0"), "all weights are 0");
  refused(NAMED("\"weight\":1,\"wieght\":1"), "did you mean \"weight\"");
  refused(NAMED("\"weight\":1,\"subset\":\"en\""), "\"subset\"");
  refused(NAMED("\"weight\":1,\"split\":\"../x\""), "\"split\"");
  refused(NAMED("\"weight\":1,\"reader\":3"), "\"reader\"");
}

/* A value that the key of the deck does not take. */
static void
test_bad_value(void **state)
{
  static const char text[] = NAMED("\"weight\":1,\"loss\":\"some\"");
  hy_raw_blend b;
  hy_deck deck, one;

  (void)state;
  hy_deck_init(&deck);
  assert_int_equal(hy_raw_blend_parse(&b, text, sizeof text - 1, "raw.json"),
                   HY_OK);
  hy_err_clear();
  assert_int_equal(hy_raw_set_deck(&one, &deck, &b.set[0], "raw.json"),
                   HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "data set a: \"loss\""));
  hy_raw_blend_free(&b);
  hy_deck_free(&deck);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
                                     cmocka_unit_test(test_bad),
                                     cmocka_unit_test(test_bad_value)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
