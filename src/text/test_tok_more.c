/* Other tokenizers: variants of the small one, and whole sets of vectors.
 *
 * ORACLE=DIR: a folder with tokenizer/NAME.jsonl, decode_NAME.jsonl,
 * invalid_utf8.jsonl; HYMN_DATA=DIR: one with tokenizer-4k and
 * tokenizers/NAME. Both set: every line of them is tried. */
#include "text/test_tok.h"

static void
check_ids(hy_tok *t, const char *s, size_t n, int plain, const json_t *want)
{
  hy_ids v = {0};

  assert_int_equal(hy_tok_encode(t, s, n, plain, &v, NULL), HY_OK);
  same_ids(want, &v);
  free(v.id);
}

static void
check_text(hy_tok *t, const json_t *ids, int skip, const json_t *want)
{
  hy_ids v = {0};
  hy_buf b = {0};

  for (size_t i = 0; i < json_array_size(ids); i++)
    hy_ids_add(&v, (int32_t)json_integer_value(json_array_get(ids, i)));
  assert_int_equal(hy_tok_decode(t, v.id, v.n, skip, &b), HY_OK);
  same_text(want, &b);
  free(v.id);
  free(b.data);
}

/* Merges as texts "a b" in place of pairs. */
static json_t *
merge_texts(const json_t *pairs)
{
  json_t *texts = json_array();

  for (size_t i = 0; i < json_array_size(pairs); i++) {
    const json_t *p = json_array_get(pairs, i);

    json_array_append_new(
        texts, json_sprintf("%s %s", json_string_value(json_array_get(p, 0)),
                            json_string_value(json_array_get(p, 1))));
  }
  return texts;
}

static void
check_variant(hy_tok *unused, const json_t *v)
{
  json_t *o = load("tokenizer.json"), *model = json_object_get(o, "model");
  json_t *keep = json_object_get(v, "ignore_merges"), *c;
  hy_tok *t;
  size_t i;

  (void)unused;
  json_object_set(o, "pre_tokenizer", json_object_get(v, "pre_tokenizer"));
  if (json_object_get(v, "normalizer"))
    json_object_set(o, "normalizer", json_object_get(v, "normalizer"));
  if (keep)
    json_object_set(model, "ignore_merges", keep);
  if (json_object_get(v, "merges"))
    json_object_set_new(model, "merges",
                        merge_texts(json_object_get(model, "merges")));
  if (open_tree(&t, o))
    fail_msg("%s", hy_err_text());
  json_array_foreach(json_object_get(v, "cases"), i, c)
  {
    const json_t *text = json_object_get(c, "text");

    check_ids(t, json_string_value(text), json_string_length(text), 0,
              json_object_get(c, "ids"));
  }
  hy_tok_free(t);
  json_decref(o);
}

static void
test_variants(void **state)
{
  (void)state;
  each_line(NULL, "variants.jsonl", check_variant);
}

/* ---- whole sets ---- */

static void
check_line(hy_tok *t, const json_t *o)
{
  const json_t *text = json_object_get(o, "text");
  const json_t *ids = json_object_get(o, "ids");
  const json_t *plain = json_object_get(o, "ids_plain");
  const json_t *whole = json_object_get(o, "decoded");
  const json_t *skip = json_object_get(o, "decoded_skip_special");
  const char *s = json_string_value(text);
  size_t n = json_string_length(text);

  whole = whole ? whole : text;
  check_ids(t, s, n, 0, ids);
  check_ids(t, s, n, 1, plain ? plain : ids);
  check_text(t, ids, 0, whole);
  check_text(t, ids, 1, skip ? skip : whole);
}

static void
check_decode(hy_tok *t, const json_t *o)
{
  check_text(t, json_object_get(o, "ids"), 0, json_object_get(o, "text"));
}

static const char *invalid_name; /* whose ids are compared */

static void
check_invalid(hy_tok *t, const json_t *o)
{
  static const char digit[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *b64 = json_string_value(json_object_get(o, "b64"));
  char *raw = hy_malloc(strlen(b64) + 1);
  unsigned bits = 0, n_bits = 0;
  size_t n = 0;

  for (; *b64 && *b64 != '='; b64++) {
    bits = bits << 6 | (unsigned)(strchr(digit, *b64) - digit);
    n_bits += 6;
    if (n_bits >= 8) {
      n_bits -= 8;
      raw[n++] = (char)(bits >> n_bits);
    }
  }
  check_ids(t, raw, n, 0,
            json_object_get(json_object_get(o, "ids"), invalid_name));
  free(raw);
}

/* One set of vectors for the tokenizer in folder/name. */
static void
check_set(const char *folder, const char *oracle, const char *name)
{
  char *path = hy_asprintf("%s/%s", folder, name);
  char *file = hy_asprintf("%s/tokenizer/%s.jsonl", oracle, name);
  char *windows = hy_asprintf("%s/tokenizer/decode_%s.jsonl", oracle, name);
  char *invalid = hy_asprintf("%s/tokenizer/invalid_utf8.jsonl", oracle);
  hy_tok *t;

  if (hy_tok_open(&t, path))
    fail_msg("%s", hy_err_text());
  invalid_name = name;
  each_line_of(t, file, check_line);
  each_line_of(t, windows, check_decode);
  each_line_of(t, invalid, check_invalid);
  hy_tok_free(t);
  free(path);
  free(file);
  free(windows);
  free(invalid);
}

static void
test_whole(void **state)
{
  static const char *const name[] = {"gpt2", "gpt-neox-olmo", "dolma2",
                                     "tekken-shaped-131k", "llama3-style-4k"};
  const char *oracle = getenv("ORACLE"), *data = getenv("HYMN_DATA");
  char *folder;

  (void)state;
  if (!oracle || !data)
    skip();
  folder = hy_asprintf("%s/tokenizers", data);
  for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
    check_set(folder, oracle, name[i]);
  check_set(data, oracle, "tokenizer-4k");
  free(folder);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_variants),
      cmocka_unit_test(test_whole),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
