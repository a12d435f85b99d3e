/* Templates against texts of the public renderer, and what is refused. */
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "text/chat.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *
fixture(const char *name)
{
  const char *dir = getenv("HYMN_SRCDIR");

  if (!dir)
    dir = getenv("srcdir");
  return hy_asprintf("%s/regression/fixtures/chat/%s", dir ? dir : ".", name);
}

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

/* Lines of a file here, and of one in $ORACLE when that is set. */
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

/* Conversations that use everything a template has a form for. */
static const char sample[] =
    "[{\"messages\": ["
    "{\"role\": \"system\", \"content\": \" Be brief. \"},"
    "{\"role\": \"user\", \"content\": \"2 + 2?\"},"
    "{\"role\": \"assistant\", \"content\": \"4\","
    " \"reasoning_content\": \" Count. \"},"
    "{\"role\": \"user\", \"content\": \"And 3 + 3?\"},"
    "{\"role\": \"assistant\", \"content\": \"<think>Again.</think> 6\"}]},"
    " {\"messages\": ["
    "{\"role\": \"user\", \"content\": \"Rain in \\u00dclm?\"},"
    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": ["
    "{\"function\": {\"name\": \"rain\", \"arguments\":"
    " \"{\\\"at\\\": \\\"\\u00dclm\\\", \\\"days\\\": [1, 2.50]}\"}},"
    "{\"name\": \"wind\", \"arguments\": {\"at\": null}}]},"
    "{\"role\": \"tool\", \"content\": \"none\"},"
    "{\"role\": \"tool\", \"content\": {\"wind\": true}},"
    "{\"role\": \"assistant\", \"content\": \"No.\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"rain\","
    " \"description\": \" Rain. \", \"strict\": true, \"parameters\": {"
    "\"type\": \"object\", \"additionalProperties\": false,"
    " \"properties\": {\"at\": {\"type\": [\"string\", \"null\"],"
    " \"description\": \"Place \", \"enum\": [\"\\u00dclm\", \"it's\"]},"
    " \"days\": {\"type\": \"array\", \"items\": {\"type\": \"number\"},"
    " \"default\": 1e-7}}, \"required\": [\"at\"]}}}, {\"name\": \"wind\"}]}]";

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
  json_t *list = json_loads(sample, 0, NULL), *o;
  char hex[HY_SHA_HEX];
  hy_sha256 h;
  size_t i;

  assert_non_null(list);
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

static void
test_plain(void **state)
{
  static const char want[] = "System:  Be brief. \n\nUser: 2 + 2?\n\n"
                             "Assistant: 4\n\nUser: And 3 + 3?\n\n"
                             "Assistant: <think>\nAgain.\n</think>\n\n6";
  json_t *list = json_loads(sample, 0, NULL);
  const json_t *m = json_object_get(json_array_get(list, 0), "messages");
  hy_chat_options opt;
  hy_chat_text t = {0};
  const char *why;

  (void)state;
  hy_chat_defaults(&opt);
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("plain"), m, NULL, &opt, &why), HY_OK);
  assert_string_equal(t.text.data, want);
  assert_int_equal(t.n_span, 2);
  assert_int_equal(t.span[0].turn, 2);
  assert_int_equal(t.span[1].turn, 4);
  assert_memory_equal(t.text.data + t.span[0].from, " 4\n", 3);
  assert_int_equal(t.span[0].to - t.span[0].from, 2);
  assert_int_equal(t.span[1].to, t.text.len);
  opt.generation_prompt = 1;
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("plain"), m, NULL, &opt, &why), HY_OK);
  assert_string_equal(t.text.data + strlen(want), "\n\nAssistant:");
  m = json_object_get(json_array_get(list, 1), "messages");
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("plain"), m, NULL, &opt, &why),
      HY_EDATA);
  assert_string_equal(why, "the template has no form for tools");
  hy_chat_text_free(&t);
  json_decref(list);
}

/* Messages (and tools) and the phrase they are refused with; NULL: taken. */
static const struct {
  const char *messages, *tools, *why;
} refusal[] = {
#define M(role, rest) "{\"role\": \"" role "\", " rest "}"
#define TEXT(role) M(role, "\"content\": \"x\"")
#define CALL "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": "
    {"null", NULL, "no messages"},
    {"[]", NULL, "no messages"},
    {"{}", NULL, "messages is not a list"},
    {"[" TEXT("system") "]", NULL, "no messages"},
    {"[1]", NULL, "a message is not an object"},
    {"[{\"content\": \"x\"}]", NULL, "message without a role"},
    {"[{\"role\": 1, \"content\": \"x\"}]", NULL, "message without a role"},
    {"[" TEXT("human") "]", NULL, "unknown role"},
    {"[" TEXT("user\\u0000") "]", NULL, "unknown role"},
    {"[" TEXT("assistant") "]", NULL, "roles out of order"},
    {"[" TEXT("tool") "]", NULL, "roles out of order"},
    {"[" TEXT("user") "," TEXT("user") "]", NULL, "roles out of order"},
    {"[" TEXT("user") "," TEXT("system") "]", NULL, "roles out of order"},
    {"[" TEXT("system") "," TEXT("system") "," TEXT("user") "]", NULL,
     "roles out of order"},
    {"[" TEXT("user") "," TEXT("assistant") "," TEXT("assistant") "]", NULL,
     "roles out of order"},
    {"[" TEXT("user") "," TEXT("tool") "]", NULL, "tool answer without a call"},
    {"[" TEXT("user") "," TEXT("assistant") "," TEXT("tool") "]", NULL,
     "tool answer without a call"},
    {"[{\"role\": \"user\"}]", NULL, "message without content"},
    {"[" M("user", "\"content\": null") "]", NULL, "message without content"},
    {"[" M("user", "\"content\": [1]") "]", NULL, "content is not a text"},
    {"[" TEXT("user") "," M("assistant", "\"content\": 1") "]", NULL,
     "content is not a text"},
    {"[" TEXT("user") "," M("assistant", "\"content\": null") "]", NULL,
     "empty answer"},
    {"[" TEXT("user") "," M("assistant", "\"tool_calls\": []") "]", NULL,
     "empty answer"},
    {"[" TEXT("user") "," M("assistant", "\"content\": \" \\n\\u00a0\"") "]",
     NULL, "empty answer"},
    {"[" TEXT("user") "," M("assistant",
                            "\"content\": \"<think>a</think>\"") "]",
     NULL, "empty answer"},
    {"[" TEXT("user") "," M("assistant", "\"content\": \"x\","
                                         "\"reasoning_content\": 1") "]",
     NULL, "reasoning_content is not a text"},
    {"[" TEXT("user") "," M("assistant", "\"content\": \"x\","
                                         "\"reasoning_content\": null") "]",
     NULL, NULL},
    {"[" TEXT("user") "," M("assistant", CALL "{}}}]") "]", NULL, NULL},
    {"[" TEXT("user") "," M("assistant", CALL "\"{}\"}}]") "]", NULL, NULL},
    {"[" TEXT("user") "," M("assistant", CALL "\"[]\"}}]") "]", NULL,
     "arguments of a tool call are not an object"},
    {"[" TEXT("user") "," M("assistant", CALL "\"{\"}}]") "]", NULL,
     "arguments of a tool call are not an object"},
    {"[" TEXT("user") "," M("assistant", CALL "null}}]") "]", NULL,
     "arguments of a tool call are not an object"},
    {"[" TEXT("user") "," M("assistant", "\"tool_calls\": [{}]") "]", NULL,
     "tool call without a name"},
    {"[" TEXT("user") "," M("assistant", "\"tool_calls\": {}") "]", NULL,
     "tool_calls is not a list"},
    {"[" TEXT("user") "]", "{}", "tools is not a list"},
    {"[" TEXT("user") "]", "[{}]", "tool without a name"},
    {"[" TEXT("user") "]", "[{\"name\": \"f\", \"parameters\": []}]",
     "parameters of a tool are not an object"},
    {"[" TEXT("user") "]",
     "[{\"name\": \"f\", \"parameters\": {\"properties\": 1}}]",
     "parameters of a tool are not an object"},
    {"[" TEXT("user") "]", "[{\"name\": \"f\", \"parameters\": null}]", NULL},
    {"[" TEXT("user") "]", "null", NULL},
};

static void
test_refusals(void **state)
{
  hy_chat_options opt;

  (void)state;
  hy_chat_defaults(&opt);
  for (size_t i = 0; i < sizeof refusal / sizeof refusal[0]; i++) {
    json_t *m =
        json_loads(refusal[i].messages, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_t *tools = refusal[i].tools
                        ? json_loads(refusal[i].tools, JSON_DECODE_ANY, NULL)
                        : NULL;
    hy_chat_text t = {0};
    const char *why;
    int err;

    assert_non_null(m);
    err = hy_chat_render(&t, hy_chat_named("nemotron3"), m, tools, &opt, &why);
    if (!refusal[i].why != !err || (err && strcmp(why, refusal[i].why) != 0))
      fail_msg("%s: %s instead of %s", refusal[i].messages, err ? why : "taken",
               refusal[i].why ? refusal[i].why : "taken");
    hy_chat_text_free(&t);
    json_decref(m);
    json_decref(tools);
  }
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nemotron3), cmocka_unit_test(test_hash),
      cmocka_unit_test(test_plain), cmocka_unit_test(test_refusals)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
