/* What templates do by rule: the plain one, switches of thinking, options that
 * a template lacks, and conversations that none takes. */
#include "text/test_chat.h"

static void
test_plain(void **state)
{
  static const char want[] = "System:  Be brief. \n\nUser: 2 + 2?\n\n"
                             "Assistant: 4\n\nUser: And 3 + 3?\n\n"
                             "Assistant: <think>\nAgain.\n</think>\n\n6";
  json_t *list = sample();
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

/* Thinking is a matter of the system text here. */
static void
test_switch(void **state)
{
#define LLAMA(role, text)                                                      \
  "<|start_header_id|>" role "<|end_header_id|>\n\n" text "<|eot_id|>"
  static const struct {
    const char *name, *system;
    int thinking;
    const char *text;
  } row[] = {
      {"llama3", NULL, -1, ""},
      {"llama3", NULL, 1, LLAMA("system", "detailed thinking on")},
      {"llama3", "Hi", 0, LLAMA("system", "detailed thinking off\n\nHi")},
      {"llama3", "A detailed thinking off.", 1,
       LLAMA("system", "A detailed thinking on.")},
      {"llama3", "detailed thinking on", -1,
       LLAMA("system", "detailed thinking on")},
      {"llama_nemotron", NULL, -1, LLAMA("system", "")},
      {"llama_nemotron", NULL, 0, LLAMA("system", "detailed thinking off")},
      {"llama_nemotron_v1.5", "/think Hi", -1, LLAMA("system", "Hi\n\n")},
  };

  (void)state;
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    json_t *m = json_pack("[{s:s, s:s}]", "role", "user", "content", "x");
    char *want =
        hy_asprintf("<|begin_of_text|>%s%s", row[i].text, LLAMA("user", "x"));
    hy_chat_options opt;
    hy_chat_text t = {0};
    const char *why;

    if (row[i].system)
      json_array_insert_new(
          m, 0,
          json_pack("{s:s, s:s}", "role", "system", "content", row[i].system));
    hy_chat_defaults(&opt);
    opt.thinking = row[i].thinking;
    assert_int_equal(
        hy_chat_render(&t, hy_chat_named(row[i].name), m, NULL, &opt, &why),
        HY_OK);
    assert_string_equal(t.text.data, want);
    hy_chat_text_free(&t);
    free(want);
    json_decref(m);
  }
}

/* Of v1.5 the prompt differs too: with thoughts off it closes one at once. */
static void
test_prompt_v15(void **state)
{
  static const char tail[] = "<think>\n\n</think>\n\n";
  json_t *m = json_loads("[{\"role\": \"system\", \"content\": \"/no_think\"},"
                         " {\"role\": \"user\", \"content\": \"x\"}]",
                         0, NULL);
  hy_chat_options opt;
  hy_chat_text t = {0};
  const char *why;

  (void)state;
  hy_chat_defaults(&opt);
  opt.generation_prompt = 1;
  for (opt.thinking = -1; opt.thinking < 2; opt.thinking++) {
    assert_int_equal(hy_chat_render(&t, hy_chat_named("llama_nemotron_v1.5"), m,
                                    NULL, &opt, &why),
                     HY_OK);
    assert_int_equal(opt.thinking < 1,
                     strcmp(t.text.data + t.text.len - strlen(tail), tail) ==
                         0);
  }
  hy_chat_text_free(&t);
  json_decref(m);
}

/* Thoughts of the last turns are kept where they are to be learned, and left
 * out of a prompt, as the published templates do. */
static void
test_llama_thoughts(void **state)
{
  json_t *list = sample();
  const json_t *m = json_object_get(json_array_get(list, 0), "messages");
  const hy_chat *c = hy_chat_named("llama_nemotron");
  hy_chat_options opt;
  hy_chat_text t = {0};
  const char *why;

  (void)state;
  hy_chat_defaults(&opt);
  assert_int_equal(hy_chat_render(&t, c, m, NULL, &opt, &why), HY_OK);
  assert_non_null(strstr(t.text.data, "\n\n<think>Again.</think> 6<|eot_id|>"));
  assert_null(strstr(t.text.data, "Count."));
  assert_int_equal(t.n_span, 2);
  assert_memory_equal(t.text.data + t.span[0].from, "4<|eot_id|>", 11);
  assert_int_equal(t.span[0].to - t.span[0].from, 11);
  opt.generation_prompt = 1;
  assert_int_equal(hy_chat_render(&t, c, m, NULL, &opt, &why), HY_OK);
  assert_null(strstr(t.text.data, "think>"));
  opt.truncate_history = 0;
  assert_int_equal(hy_chat_render(&t, c, m, NULL, &opt, &why), HY_OK);
  assert_non_null(strstr(t.text.data, "<think>\nCount.\n</think>\n\n4<"));
  assert_non_null(strstr(t.text.data, "<think>Again.</think> 6<|eot_id|>"));
  hy_chat_text_free(&t);
  json_decref(list);
}

/* An option that a template has no words for. */
static void
test_unmet(void **state)
{
  json_t *m = json_loads("[{\"role\": \"user\", \"content\": \"x\"}]", 0, NULL);
  json_t *tools = json_loads("[{\"name\": \"f\"}]", 0, NULL);
  hy_chat_options opt;
  hy_chat_text t = {0};
  const char *why;

  (void)state;
  hy_chat_defaults(&opt);
  opt.low_effort = 1;
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("nemotron3_nano"), m, NULL, &opt, &why),
      HY_EDATA);
  assert_string_equal(why, "the template can ask for no low effort");
  opt.low_effort = 0;
  opt.budget = 0;
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("plain"), m, NULL, &opt, &why),
      HY_EDATA);
  assert_string_equal(why, "the template can name no budget of thought");
  opt.budget = -1;
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("llama3"), m, tools, &opt, &why),
      HY_EDATA);
  assert_string_equal(why, "the template has no form for tools");
  opt.budget = 5;
  opt.low_effort = 1;
  assert_int_equal(
      hy_chat_render(&t, hy_chat_named("nemotron3"), m, NULL, &opt, &why),
      HY_OK);
  assert_non_null(strstr(t.text.data,
                         "user\nx\n\n{thinking token budget: 5}\n\n"
                         "{reasoning effort: efficient}<|im_end|>\n"));
  hy_chat_text_free(&t);
  json_decref(m);
  json_decref(tools);
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
    {"[" M("system", "\"content\": null") "," TEXT("user") "]", NULL, NULL},
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
      cmocka_unit_test(test_plain),      cmocka_unit_test(test_switch),
      cmocka_unit_test(test_prompt_v15), cmocka_unit_test(test_llama_thoughts),
      cmocka_unit_test(test_unmet),      cmocka_unit_test(test_refusals)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
