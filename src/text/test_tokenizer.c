/* The tokenizer against vectors of the `tokenizers` package, and what it has
 * to refuse. */
#include "text/test_tok.h"

static void
check_encode(hy_tok *t, const json_t *text, const json_t *want, int plain)
{
  hy_ids v = {0};
  int64_t n_bad = 0;

  assert_int_equal(hy_tok_encode(t, json_string_value(text),
                                 json_string_length(text), plain, &v, &n_bad),
                   HY_OK);
  same_ids(want, &v);
  assert_int_equal(n_bad, 0);
  free(v.id);
}

static void
check_decode(hy_tok *t, const json_t *ids, const json_t *want, int skip)
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

/* One line of a file of vectors. */
static void
check_vector(hy_tok *t, const json_t *o)
{
  const json_t *text = json_object_get(o, "text");
  const json_t *ids = json_object_get(o, "ids");
  const json_t *plain = json_object_get(o, "ids_plain");
  const json_t *whole = json_object_get(o, "decoded");
  const json_t *skip = json_object_get(o, "decoded_skip_special");

  whole = whole ? whole : text;
  check_encode(t, text, ids, 0);
  check_encode(t, text, plain ? plain : ids, 1);
  check_decode(t, ids, whole, 0);
  check_decode(t, ids, skip ? skip : whole, 1);
}

static void
check_window(hy_tok *t, const json_t *o)
{
  check_decode(t, json_object_get(o, "ids"), json_object_get(o, "text"), 0);
}

static void
check_bytes(hy_tok *t, const json_t *o)
{
  const char *hex = json_string_value(json_object_get(o, "hex"));
  size_t n = strlen(hex) / 2;
  char *raw = hy_malloc(n);
  hy_ids v = {0};
  unsigned c;

  for (size_t i = 0; i < n; i++) {
    assert_int_equal(sscanf(hex + 2 * i, "%2x", &c), 1);
    raw[i] = (char)c;
  }
  assert_int_equal(hy_tok_encode(t, raw, n, 0, &v, NULL), HY_OK);
  same_ids(json_object_get(o, "ids"), &v);
  free(raw);
  free(v.id);
}

static void
test_vectors(void **state)
{
  hy_tok *t = open_fixture();

  (void)state;
  each_line(t, "encode.jsonl", check_vector);
  each_line(t, "decode.jsonl", check_window);
  each_line(t, "invalid_utf8.jsonl", check_bytes);
  hy_tok_free(t);
}

/* The flags of added tokens, and NFC. */
static void
test_added(void **state)
{
  json_t *o = load("tokenizer.json"), *added = load("added_tokens.json");
  hy_tok *t;

  (void)state;
  json_array_extend(json_object_get(o, "added_tokens"), added);
  json_object_set_new(o, "normalizer", json_pack("{s:s}", "type", "NFC"));
  assert_int_equal(open_tree(&t, o), HY_OK);
  each_line(t, "added.jsonl", check_vector);
  hy_tok_free(t);
  json_decref(added);
  json_decref(o);
}

static void
test_facts(void **state)
{
  hy_tok *t = open_fixture();
  const int32_t unknown[] = {5, 4096};
  int64_t n_bad = 0;
  hy_ids v = {0};
  hy_buf b = {0};

  (void)state;
  assert_int_equal(hy_tok_n(t), 4096);
  assert_int_equal(hy_tok_eos(t), 11);
  assert_int_equal(hy_tok_bos(t), 1);
  assert_int_equal(hy_tok_find(t, "</s>"), 2);
  assert_int_equal(hy_tok_find(t, "no such token"), -1);
  assert_int_equal(strlen(hy_tok_hash(t)), 64);
  assert_int_equal(hy_tok_encode(t, "a\xff\xe2\x82z\x80", 6, 0, &v, &n_bad), 0);
  assert_int_equal(n_bad, 3);
  assert_int_equal(hy_tok_decode(t, unknown, 2, 0, &b), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "4096"));
  free(v.id);
  free(b.data);
  hy_tok_free(t);
}

/* A long piece takes the heap, a short one the scan: no seam between them. */
static void
test_long(void **state)
{
  hy_tok *t = open_fixture();

  (void)state;
  for (size_t n = 1; n < 4000; n = n * 3 / 2 + 1) {
    char *s = hy_malloc(n);
    hy_ids v = {0};
    hy_buf b = {0};

    for (size_t i = 0; i < n; i++)
      s[i] = "theranditsof"[(i * i + i / 7) % 12];
    assert_int_equal(hy_tok_encode(t, s, n, 0, &v, NULL), HY_OK);
    assert_true(v.n < n || n < 3);
    assert_int_equal(hy_tok_decode(t, v.id, v.n, 0, &b), HY_OK);
    assert_int_equal(b.len, n);
    assert_memory_equal(b.data, s, n);
    free(s);
    free(v.id);
    free(b.data);
  }
  hy_tok_free(t);
}

/* Change one place of the good file and see the refusal name it. */
typedef struct {
  const char *path[3]; /* keys down to the object */
  const char *key, *value, *word;
  int code;
} change;

static const change changes[] = {
    {{0}, "truncation", "{\"max_length\":5}", "truncation", HY_EFILE},
    {{0}, "surprise", "1", "surprise", HY_EFILE},
    {{0}, "normalizer", "{\"type\":\"NFKC\"}", "NFKC", HY_EFILE},
    {{0}, "decoder", "{\"type\":\"WordPiece\"}", "WordPiece", HY_EFILE},
    {{0}, "pre_tokenizer", "{\"type\":\"Metaspace\"}", "Metaspace", HY_EFILE},
    {{0}, "pre_tokenizer", "null", "ByteLevel", HY_EFILE},
    {{"model"}, "type", "\"Unigram\"", "Unigram", HY_EFILE},
    {{"model"}, "byte_fallback", "true", "byte_fallback", HY_EFILE},
    {{"model"}, "fuse_unk", "true", "fuse_unk", HY_EFILE},
    {{"model"}, "dropout", "0.1", "dropout", HY_EFILE},
    {{"model"}, "end_of_word_suffix", "\"</w>\"", "</w>", HY_EFILE},
    {{"model"},
     "merges",
     "[[\"t\",\"h\"],[\"q\",\"zzq\"]]",
     "number 2",
     HY_EDATA},
    {{"model"}, "merges", "[\"t h x\"]", "number 1", HY_EDATA},
    {{"model", "vocab"}, "twice", "17", "17", HY_EDATA},
    {{"model", "vocab"}, "far", "99999999", "99999999", HY_EDATA},
    {{0},
     "added_tokens",
     "[{\"id\":9,\"content\":\"<s>\",\"special\":true}]",
     "<s>",
     HY_EDATA},
    {{0}, "added_tokens", "[{\"id\":50,\"content\":\"<q>\"}]", "<q>", HY_EDATA},
    {{0},
     "added_tokens",
     "[{\"id\":1,\"content\":\"<s>\",\"odd\":1}]",
     "odd",
     HY_EFILE},
};

static void
test_refused(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    const change *c = &changes[i];
    json_t *o = load("tokenizer.json"), *at = o;
    hy_tok *t;

    for (int k = 0; k < 3 && c->path[k]; k++)
      at = json_object_get(at, c->path[k]);
    json_object_set_new(at, c->key,
                        json_loads(c->value, JSON_DECODE_ANY, NULL));
    assert_int_equal(open_tree(&t, o), c->code);
    assert_null(t);
    if (!strstr(hy_err_text(), c->word))
      fail_msg("%s: no '%s' in: %s", c->key, c->word, hy_err_text());
    json_decref(o);
  }
}

/* Patterns that regex engines read differently. */
static void
test_patterns(void **state)
{
  static const char *const bad[] = {
      "\\H+",   "\\p{N}{1,3}+", "[a[^b]]",    "[a&&b]", "(?m)a.b",
      "a(?i)b", "(?<n>a)\\1",   "\\pL",       "(a",     "[a[b-]c]",
      "[\\W]",  "(?i:miss)",    "[[:graph:]]"};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    json_t *o = load("tokenizer.json");
    hy_tok *t;

    json_object_set_new(o, "pre_tokenizer",
                        json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s}]}",
                                  "type", "Sequence", "pretokenizers", "type",
                                  "Split", "pattern", "Regex", bad[i],
                                  "behavior", "Isolated", "invert", 0, "type",
                                  "ByteLevel"));
    assert_int_equal(open_tree(&t, o), HY_EFILE);
    if (!strstr(hy_err_text(), "split pattern"))
      fail_msg("%s: %s", bad[i], hy_err_text());
    json_decref(o);
  }
}

static void
test_missing(void **state)
{
  hy_tok *t;

  (void)state;
  hy_err_clear();
  assert_int_equal(hy_tok_open(&t, "no/such/folder"), HY_EFILE);
  assert_null(t);
  assert_non_null(strstr(hy_err_text(), "no/such/folder"));
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vectors), cmocka_unit_test(test_added),
      cmocka_unit_test(test_facts),   cmocka_unit_test(test_long),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_patterns),
      cmocka_unit_test(test_missing),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
