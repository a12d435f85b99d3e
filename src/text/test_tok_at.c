/* Places of ids in the text, and what post-processors put around it. */
#include "text/test_tok.h"

/* Number of the character that byte `at` belongs to. */
static int64_t
char_at(const char *s, int32_t at)
{
  int64_t n = -1;

  for (int32_t i = 0; i <= at; i++)
    n += ((unsigned char)s[i] & 0xC0) != 0x80;
  return n;
}

/* Ids are those of hy_tok_encode; the places begin and end with the text and
 * leave nothing out. */
static void
check_whole(hy_tok *t, const json_t *o)
{
  const json_t *text = json_object_get(o, "text");
  const char *s = json_string_value(text);
  size_t n = json_string_length(text);
  hy_tok_places at = {0};
  hy_ids v = {0}, w = {0};
  int32_t done = 0;

  assert_int_equal(hy_tok_encode(t, s, n, 0, &w, NULL), HY_OK);
  assert_int_equal(hy_tok_encode_at(t, s, n, 0, &v, &at), HY_OK);
  assert_int_equal(v.n, w.n);
  assert_int_equal(at.n, w.n);
  for (size_t i = 0; i < v.n; i++) {
    assert_int_equal(v.id[i], w.id[i]);
    assert_true(at.v[i].from <= done && at.v[i].from < at.v[i].to);
    done = at.v[i].to;
  }
  assert_int_equal(done, n);
  free(at.v);
  free(v.id);
  free(w.id);
}

/* The characters that the package names. */
static void
check_places(hy_tok *t, const json_t *o)
{
  const json_t *text = json_object_get(o, "text");
  const json_t *want = json_object_get(o, "places");
  const char *s = json_string_value(text);
  hy_tok_places at = {0};
  hy_ids v = {0};

  assert_int_equal(hy_tok_encode_at(t, s, json_string_length(text), 0, &v, &at),
                   HY_OK);
  assert_int_equal(json_array_size(want), at.n);
  for (size_t i = 0; i < at.n; i++) {
    const json_t *p = json_array_get(want, i);

    assert_int_equal(json_integer_value(json_array_get(p, 0)),
                     char_at(s, at.v[i].from));
    assert_int_equal(json_integer_value(json_array_get(p, 1)),
                     char_at(s, at.v[i].to - 1) + 1);
  }
  free(at.v);
  free(v.id);
}

static hy_tok *
open_added(void)
{
  json_t *o = load("tokenizer.json"), *added = load("added_tokens.json");
  hy_tok *t;

  json_array_extend(json_object_get(o, "added_tokens"), added);
  json_object_set_new(o, "normalizer", json_pack("{s:s}", "type", "NFC"));
  assert_int_equal(open_tree(&t, o), HY_OK);
  json_decref(added);
  json_decref(o);
  return t;
}

static void
test_places(void **state)
{
  hy_tok *t = open_fixture();

  (void)state;
  each_line(t, "encode.jsonl", check_whole);
  hy_tok_free(t);
  t = open_added();
  each_line(t, "places.jsonl", check_places);
  hy_tok_free(t);
}

/* Runs of equal places: from, to, from, to, ..., -1. */
static void
same_places(hy_tok *t, const char *s, const int32_t *want)
{
  hy_tok_places at = {0};
  hy_ids v = {0};
  size_t i = 0;

  assert_int_equal(hy_tok_encode_at(t, s, strlen(s), 0, &v, &at), HY_OK);
  for (; *want >= 0; want += 2) {
    size_t first = i;

    while (i < at.n && at.v[i].from == want[0] && at.v[i].to == want[1])
      i++;
    if (i == first)
      fail_msg("'%s': number %zu: %d..%d", s, i, i < at.n ? at.v[i].from : -1,
               i < at.n ? at.v[i].to : -1);
  }
  assert_int_equal(i, at.n);
  free(at.v);
  free(v.id);
}

/* Characters that NFC changes are held whole by their ids; others shift. */
static void
test_changed(void **state)
{
  hy_tok *t = open_added();

  (void)state;
  same_places(t, "e\xCC\x81", (int32_t[]){0, 3, -1});
  same_places(t,
              "1e\xCC\x81"
              "1",
              (int32_t[]){0, 1, 1, 4, 4, 5, -1});
  /* U+037E becomes ; and U+0344 two marks, twice over */
  same_places(t,
              "1\xCD\xBE"
              "2\xCD\x84"
              "3",
              (int32_t[]){0, 1, 1, 3, 3, 6, 6, 7, -1});
  assert_int_equal(
      hy_tok_encode_at(t, "\xFF", 1, 0, &(hy_ids){0}, &(hy_tok_places){0}),
      HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "UTF-8"));
  hy_tok_free(t);
}

/* A space that only the tokenizer sees. */
static void
test_prefix(void **state)
{
  json_t *o = load("tokenizer.json");
  json_t *pre =
      json_object_get(json_object_get(o, "pre_tokenizer"), "pretokenizers");
  hy_tok *t;

  (void)state;
  json_object_set_new(json_array_get(pre, 1), "add_prefix_space", json_true());
  assert_int_equal(open_tree(&t, o), HY_OK);
  same_places(t, "the", (int32_t[]){0, 3, -1});
  same_places(t, "12", (int32_t[]){0, 1, 1, 2, -1});
  hy_tok_free(t);
  json_decref(o);
}

/* ---- post-processors ---- */

#define TEMPLATE(before, after)                                                \
  "{\"type\":\"TemplateProcessing\",\"single\":[" before                       \
  "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}" after                          \
  "],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"     \
  "\"tokens\":[\"<s>\"]},\"two\":{\"id\":\"two\",\"ids\":[7,9],"               \
  "\"tokens\":[]},\"far\":{\"id\":\"far\",\"ids\":[4096]}}}"
#define SPECIAL(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define ROBERTA                                                                \
  "{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",2],\"cls\":[\"<s>\",1],"  \
  "\"trim_offsets\":true,\"add_prefix_space\":false}"

typedef struct {
  const char *post;
  int32_t before[4], after[4]; /* until -1 */
  const char *word;            /* not NULL: refused, and the message has it */
} around;

static const around arounds[] = {
    {"null", {-1}, {-1}, NULL},
    {"{\"type\":\"ByteLevel\",\"trim_offsets\":true}", {-1}, {-1}, NULL},
    {TEMPLATE(SPECIAL("<s>") ",", ""), {1, -1}, {-1}, NULL},
    {TEMPLATE(SPECIAL("<s>") "," SPECIAL("two") ",", "," SPECIAL("<s>")),
     {1, 7, 9, -1},
     {1, -1},
     NULL},
    {ROBERTA, {1, -1}, {2, -1}, NULL},
    {"{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}," ROBERTA
     "," TEMPLATE(SPECIAL("two") ",", "") "]}",
     {7, 9, 1, -1},
     {2, -1},
     NULL},
    {TEMPLATE(SPECIAL("far") ",", ""), {-1}, {-1}, "4096"},
    {TEMPLATE(SPECIAL("none") ",", ""), {-1}, {-1}, "special token"},
    {TEMPLATE("", ",{\"Sequence\":{\"id\":\"A\"}}"), {-1}, {-1}, "twice"},
    {TEMPLATE("", ",{\"Sequence\":{\"id\":\"B\"}}"), {-1}, {-1}, "single"},
    {"{\"type\":\"TemplateProcessing\",\"single\":[]}", {-1}, {-1}, "without"},
    {"{\"type\":\"TemplateProcessing\",\"x\":1}", {-1}, {-1}, "x"},
    {"{\"type\":\"BertProcessing\"}", {-1}, {-1}, "an id"},
    {"{\"type\":\"Unheard\"}", {-1}, {-1}, "Unheard"},
    {"7", {-1}, {-1}, "(no type)"},
};

static void
same_list(const int32_t *want, const int32_t *got, int n)
{
  for (int i = 0; i < n; i++)
    assert_int_equal(want[i], got[i]);
  assert_int_equal(want[n], -1);
}

static void
test_around(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof arounds / sizeof arounds[0]; i++) {
    const around *a = &arounds[i];
    json_t *o = load("tokenizer.json");
    json_t *post = json_loads(a->post, JSON_DECODE_ANY, NULL);
    const int32_t *before, *after;
    int n_before, n_after;
    hy_tok *t;

    assert_non_null(post);
    json_object_set_new(o, "post_processor", post);
    assert_int_equal(open_tree(&t, o) == HY_OK, !a->word);
    if (a->word && !strstr(hy_err_text(), a->word))
      fail_msg("no '%s' in: %s", a->word, hy_err_text());
    if (t) {
      hy_tok_around(t, &before, &n_before, &after, &n_after);
      same_list(a->before, before, n_before);
      same_list(a->after, after, n_after);
    }
    hy_tok_free(t);
    json_decref(o);
  }
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_changed),
      cmocka_unit_test(test_prefix),
      cmocka_unit_test(test_around),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
