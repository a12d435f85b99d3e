/* Templates against texts of the public renderer. */
#include "base/hash.h"
#include "text/test_chat.h"

/* check(line) on each line; \return how many. */
static int
each_line(const char *path, void check(const json_t *, void *), void *arg)
{
  FILE *f = fopen(path, "r");
  char *line = NULL;
  size_t cap = 0;
  int count = 0;
  ssize_t n;

  assert_non_null(f);
  while ((n = getline(&line, &cap, f)) > 0) {
    json_t *o = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);

    assert_non_null(o);
    check(o, arg);
    json_decref(o);
    count++;
  }
  fclose(f);
  free(line);
  return count;
}

/* Lines of a file here, and of one in $ORACLE when that is set and has it. */
static void
each_vector(const char *name, const char *oracle,
            void check(const json_t *, void *), void *arg)
{
  const char *dir = getenv("ORACLE");
  char *path = fixture(name);

  assert_true(each_line(path, check, arg) > 0);
  free(path);
  if (dir && dir[0] && oracle) {
    path = hy_asprintf("%s/%s", dir, oracle);
    if (access(path, F_OK) == 0)
      print_message("%s: %d lines\n", path, each_line(path, check, arg));
    free(path);
  }
}

/* Flags of a vector; those it lacks stay. */
static hy_chat_options
options_of(const json_t *o)
{
  hy_chat_options opt;
  const json_t *v;

  hy_chat_defaults(&opt);
  opt.generation_prompt =
      json_is_true(json_object_get(o, "add_generation_prompt"));
  if ((v = json_object_get(o, "enable_thinking")))
    opt.thinking = json_is_true(v);
  if ((v = json_object_get(o, "truncate_history_thinking")))
    opt.truncate_history = json_is_true(v);
  if ((v = json_object_get(o, "reasoning_budget")))
    opt.budget = json_integer_value(v);
  opt.low_effort = json_is_true(json_object_get(o, "low_effort"));
  return opt;
}

/* What a vector says must come out of its template, nemotron3 if it names
 * none. */
static void
check_text(const json_t *o, void *arg)
{
  const json_t *name = json_object_get(o, "template");
  const json_t *want = json_object_get(o, "rendered");
  hy_chat_options opt = options_of(o);
  hy_chat_text t = {0};
  const char *why;
  const hy_chat *c =
      hy_chat_named(name ? json_string_value(name) : "nemotron3");

  (void)arg;
  assert_non_null(c);
  if (hy_chat_render(&t, c, json_object_get(o, "messages"),
                     json_object_get(o, "tools"), &opt, &why))
    fail_msg("%s: %s", why, json_string_value(want));
  assert_string_equal(t.text.data, json_string_value(want));
  assert_int_equal(t.text.len, json_string_length(want));
  hy_chat_text_free(&t);
}

static void
test_nemotron3(void **state)
{
  (void)state;
  each_vector("nemotron3.jsonl", "tokenizer/chat_template.jsonl", check_text,
              NULL);
}

static void
test_published(void **state)
{
  (void)state;
  each_vector("published.jsonl", NULL, check_text, NULL);
}

/* 1 if bytes [from, to) lie in the assistant's words. */
static int
is_assistants(const hy_chat_text *t, size_t from, size_t to)
{
  int in = 0;

  for (int i = 0; i < t->n_span; i++)
    in |= from >= t->span[i].from && to <= t->span[i].to;
  return in;
}

/* Ids and mask of a vector; the mask is a list, or a text of digits. */
static void
check_mask(const json_t *o, void *arg)
{
  const json_t *ids = json_object_get(o, "input_ids");
  const json_t *marks = json_object_get(o, "assistant_mask");
  const char *digit = json_string_value(marks);
  hy_chat_options opt;
  hy_chat_text t = {0};
  hy_ids got = {0};
  hy_tok_places at = {0};
  const char *why;

  check_text(o, NULL);
  hy_chat_defaults(&opt);
  assert_int_equal(hy_chat_render(&t, hy_chat_named("nemotron3"),
                                  json_object_get(o, "messages"),
                                  json_object_get(o, "tools"), &opt, &why),
                   HY_OK);
  assert_int_equal(hy_tok_encode_at(arg, t.text.data, t.text.len, 0, &got, &at),
                   HY_OK);
  assert_int_equal(got.n, json_array_size(ids));
  for (size_t i = 0; i < got.n; i++) {
    int want = digit ? digit[i] - '0'
                     : (int)json_integer_value(json_array_get(marks, i));

    assert_int_equal(got.id[i], json_integer_value(json_array_get(ids, i)));
    assert_int_equal(
        is_assistants(&t, (size_t)at.v[i].from, (size_t)at.v[i].to), want);
  }
  hy_chat_text_free(&t);
  free(got.id);
  free(at.v);
}

static void
test_mask(void **state)
{
  char *path = fixture("../tokenizer/tokenizer.json");
  hy_tok *tok;

  (void)state;
  assert_int_equal(hy_tok_open(&tok, path), HY_OK);
  each_vector("mask.jsonl", "data_formats/chat_mask.jsonl", check_mask, tok);
  hy_tok_free(tok);
  free(path);
}

/* Render, and add what came out, or why it did not, to the hash. */
static void
add_text(hy_sha256 *h, const hy_chat *c, const json_t *o,
         const hy_chat_options *opt)
{
  hy_chat_text t = {0};
  const char *why;

  if (hy_chat_render(&t, c, json_object_get(o, "messages"),
                     json_object_get(o, "tools"), opt, &why))
    hy_sha256_add(h, why, strlen(why));
  else
    hy_sha256_add(h, t.text.data, t.text.len);
  for (int i = 0; i < t.n_span; i++) {
    char *s = hy_asprintf(" %zu-%zu", t.span[i].from, t.span[i].to);

    hy_sha256_add(h, s, strlen(s));
    free(s);
  }
  hy_chat_text_free(&t);
}

/* A template's hash is that of what it makes of the sample: who changes what a
 * template writes has to change its hash, since packed files remember it. */
static void
check_hash(const char *name)
{
  const hy_chat *c = hy_chat_named(name);
  json_t *list = sample(), *o;
  char hex[HY_SHA_HEX];
  hy_sha256 h;
  size_t i;

  assert_non_null(c);
  assert_string_equal(hy_chat_name(c), name);
  hy_sha256_init(&h);
  json_array_foreach(list, i, o) for (int bits = 0; bits < 32; bits++)
  {
    hy_chat_options opt = {.generation_prompt = bits & 1,
                           .thinking = bits >> 1 & 1,
                           .truncate_history = bits >> 2 & 1,
                           .budget = bits & 8 ? 64 : -1,
                           .low_effort = bits >> 4 & 1};

    add_text(&h, c, o, &opt);
  }
  hy_sha256_hex(&h, hex);
  assert_string_equal(hy_chat_hash(c), hex);
  json_decref(list);
}

static void
test_hash(void **state)
{
  char *names = hy_strdup(hy_chat_names()), *save = NULL;
  int n = 0;

  (void)state;
  for (char *s = strtok_r(names, " ", &save); s; s = strtok_r(NULL, " ", &save))
    check_hash(s), n++;
  assert_true(n >= 2);
  assert_null(hy_chat_named("nemotron"));
  free(names);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nemotron3), cmocka_unit_test(test_published),
      cmocka_unit_test(test_mask), cmocka_unit_test(test_hash)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
