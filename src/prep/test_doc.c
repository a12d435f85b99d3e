/* Tokens and weights of documents: pieces, one text, ids as given, and what
 * stands around them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_reader.h"

#include <unistd.h>

static int32_t s, end; /* <s>, </s> */

/* Encode d after a document that is there already. */
static const char *
encode(const hy_doc *d, hy_tok *t, int32_t eos_id, result *got)
{
  const char *why;
  int64_t n_bad = 0;

  result_clear(got);
  hy_ids_add(&got->ids, 7);
  hy_weights_add(&got->weight, 0.5f, 1);
  assert_int_equal(
      hy_doc_encode(d, t, eos_id, &got->ids, &got->weight, &n_bad, &why),
      HY_OK);
  assert_int_equal(got->ids.id[0], 7);
  assert_true(got->weight.v[0] == 0.5f);
  assert_int_equal(got->ids.n, got->weight.n);
  return why;
}

/* ids[from..] are those of the text, and their weights w. */
static size_t
has_text(const result *got, size_t from, const char *text, float w)
{
  hy_ids want = {0};

  assert_int_equal(hy_tok_encode(tok, text, strlen(text), 0, &want, NULL),
                   HY_OK);
  assert_true(got->ids.n >= from + want.n);
  assert_memory_equal(got->ids.id + from, want.id, want.n * sizeof *want.id);
  for (size_t i = 0; i < want.n; i++)
    assert_true(got->weight.v[from + i] == w);
  from += want.n;
  free(want.id);
  return from;
}

static size_t
has_id(const result *got, size_t at, int32_t id, float w)
{
  assert_true(at < got->ids.n);
  assert_int_equal(got->ids.id[at], id);
  assert_true(got->weight.v[at] == w);
  return at + 1;
}

static void
test_pieces(void **state)
{
  hy_doc d = {0};
  result got = {0};
  size_t at;

  (void)state;
  hy_doc_add(&d, "Hello", 5, 0);
  hy_doc_add(&d, " world", 6, 0.25f);
  d.eos = 1;
  assert_null(encode(&d, tok, eos, &got));
  at = has_text(&got, 1, "Hello", 0);
  at = has_text(&got, at, " world", 0.25f);
  assert_int_equal(has_id(&got, at, eos, 0.25f), got.ids.n);
  assert_null(encode(&d, tok, -1, &got));
  assert_int_equal(at, got.ids.n);
  hy_doc_free(&d);
  result_clear(&got);
}

/* A token over the border of two pieces has weight 0, and so has what is in
 * none. */
static void
test_joined(void **state)
{
  static const char text[] = "The answer: forty two. That is all.";
  hy_doc d = {0};
  result got = {0};
  hy_ids ids = {0};
  hy_tok_places at = {0};

  (void)state;
  hy_buf_add(&d.text, text, sizeof text - 1);
  hy_doc_mark(&d, 0, 6, 0.5f); /* within " answer" */
  hy_doc_mark(&d, 6, 17, 1);
  hy_doc_mark(&d, 23, sizeof text - 1, 2);
  d.joined = 1;
  assert_null(encode(&d, tok, -1, &got));
  assert_int_equal(hy_tok_encode_at(tok, text, sizeof text - 1, 0, &ids, &at),
                   HY_OK);
  assert_int_equal(got.ids.n, ids.n + 1);
  for (size_t i = 0; i < ids.n; i++) {
    size_t from = (size_t)at.v[i].from, to = (size_t)at.v[i].to;
    float w = to <= 6 ? 0.5f : from >= 6 && to <= 17 ? 1 : from >= 23 ? 2 : 0;

    assert_int_equal(got.ids.id[i + 1], ids.id[i]);
    assert_true(got.weight.v[i + 1] == w);
  }
  hy_doc_free(&d);
  result_clear(&got);
  free(ids.id);
  free(at.v);
}

static void
test_ids(void **state)
{
  static const int32_t id[] = {40, 41, 42};
  static const float weight[] = {0, 1, 0.5f};
  hy_doc d = {0};
  result got = {0};

  (void)state;
  hy_doc_add_ids(&d, id, weight, 2);
  hy_doc_add_ids(&d, id + 2, weight + 2, 1);
  d.eos = d.wrap = 1; /* ids are as they are */
  assert_null(encode(&d, tok, 42, &got));
  assert_int_equal(got.ids.n, 4);
  for (size_t i = 0; i < 3; i++)
    has_id(&got, i + 1, id[i], weight[i]);
  assert_null(encode(&d, NULL, 43, &got)); /* no tokenizer is needed */
  assert_int_equal(has_id(&got, 4, 43, 1), got.ids.n);
  hy_doc_clear(&d);
  hy_doc_add_ids(&d, id, NULL, 3);
  assert_null(encode(&d, tok, -1, &got));
  has_id(&got, 1, 40, 1);
  hy_doc_clear(&d);
  hy_doc_add_ids(&d, &(int32_t){4096}, NULL, 1);
  assert_string_equal(encode(&d, tok, -1, &got),
                      "id that is not in the vocabulary");
  assert_int_equal(got.ids.n, 1);
  assert_null(encode(&d, NULL, -1, &got));
  hy_doc_free(&d);
  result_clear(&got);
}

/* The fixture's tokenizer with <s> before a text and </s> after it. */
static hy_tok *
wrapping(void)
{
  char *from = fixture("tokenizer/tokenizer.json");
  const char *dir = getenv("HYMN_TESTDIR");
  char *to = hy_asprintf("%s/test_doc.%d.json", dir ? dir : ".", (int)getpid());
  json_t *o = json_load_file(from, 0, NULL);
  hy_tok *t;

  assert_non_null(o);
  json_object_set_new(
      o, "post_processor",
      json_pack("{s:s, s:[{s:{s:s,s:i}},{s:{s:s,s:i}},{s:{s:s,s:i}}], s:[], "
                "s:{s:{s:s,s:[i],s:[s]},s:{s:s,s:[i],s:[s]}}}",
                "type", "TemplateProcessing", "single", "SpecialToken", "id",
                "<s>", "type_id", 0, "Sequence", "id", "A", "type_id", 0,
                "SpecialToken", "id", "</s>", "type_id", 0, "pair",
                "special_tokens", "<s>", "id", "<s>", "ids", (int)s, "tokens",
                "<s>", "</s>", "id", "</s>", "ids", (int)end, "tokens",
                "</s>"));
  assert_int_equal(json_dump_file(o, to, 0), 0);
  hy_err_clear();
  assert_int_equal(hy_tok_open(&t, to), HY_OK);
  unlink(to);
  json_decref(o);
  free(from);
  free(to);
  return t;
}

static void
test_wrap(void **state)
{
  hy_tok *t = wrapping();
  hy_doc d = {0};
  result got = {0};
  size_t at;

  (void)state;
  hy_doc_add(&d, "prompt", 6, 0);
  hy_doc_add(&d, " answer", 7, 1);
  d.wrap = d.eos = 1;
  assert_null(encode(&d, t, eos, &got));
  at = has_text(&got, has_id(&got, 1, s, 0), "prompt", 0);
  at = has_id(&got, has_text(&got, at, " answer", 1), end, 1);
  assert_int_equal(has_id(&got, at, eos, 1), got.ids.n);
  /* the end token once when the post-processor has put it */
  assert_null(encode(&d, t, end, &got));
  assert_int_equal(at, got.ids.n);
  /* weights that are all 1 stay so; what is there is not put again */
  hy_doc_clear(&d);
  hy_doc_add(&d, "<s>text</s>", 11, 1);
  d.wrap = 1;
  assert_null(encode(&d, t, -1, &got));
  at = has_text(&got, has_id(&got, 1, s, 1), "text", 1);
  assert_int_equal(has_id(&got, at, end, 1), got.ids.n);
  hy_doc_free(&d);
  result_clear(&got);
  hy_tok_free(t);
}

static void
test_none(void **state)
{
  hy_doc d = {.wrap = 1, .eos = 1};
  hy_tok *t = wrapping();
  result got = {0};
  const char *why;

  (void)state;
  assert_ptr_equal(encode(&d, t, eos, &got), hy_why_empty);
  assert_int_equal(got.ids.n, 1);
  assert_ptr_equal(encode(&d, NULL, eos, &got), hy_why_empty);
  hy_doc_add(&d, "text", 4, 1);
  hy_err_clear();
  assert_int_equal(
      hy_doc_encode(&d, NULL, -1, &got.ids, &got.weight, &(int64_t){0}, &why),
      HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "prepare.tokenizer"));
  assert_true(hy_why_harmless(hy_why_empty) && hy_why_harmless(hy_why_blank));
  assert_false(hy_why_harmless("broken JSON"));
  hy_doc_free(&d);
  result_clear(&got);
  hy_tok_free(t);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces), cmocka_unit_test(test_joined),
      cmocka_unit_test(test_ids), cmocka_unit_test(test_wrap),
      cmocka_unit_test(test_none)};

  open_tokenizer();
  s = hy_tok_find(tok, "<s>");
  end = hy_tok_find(tok, "</s>");
  return close_tokenizer(cmocka_run_group_tests(tests, NULL, NULL));
}
