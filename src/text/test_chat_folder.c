/* Which template a folder is found to ask for. */
#include "base/file.h"
#include "text/test_chat.h"

#include <sys/stat.h>

static char dir[256];

static void
put(const char *name, const char *text)
{
  char *path = hy_path_join(dir, name);

  assert_int_equal(hy_file_write(path, text, strlen(text)), HY_OK);
  free(path);
}

static int
setup(void **state)
{
  const char *top = getenv("HYMN_TESTDIR");

  (void)state;
  snprintf(dir, sizeof dir, "%s/test_chat_folder.%d", top ? top : ".",
           (int)getpid());
  return mkdir(dir, 0777);
}

static int
teardown(void **state)
{
  static const char *const name[] = {"chat_template.jinja",
                                     "tokenizer_config.json", "tokenizer.json"};

  (void)state;
  for (size_t i = 0; i < sizeof name / sizeof name[0]; i++) {
    char *path = hy_path_join(dir, name[i]);

    unlink(path);
    free(path);
  }
  return rmdir(dir);
}

/* The folder asks for this template; NULL: refused with a text that says so. */
static void
expect(const char *path, const char *name, const char *why)
{
  const hy_chat *c = NULL;
  int err;

  hy_err_clear();
  err = hy_chat_of_folder(&c, path);
  if (name) {
    assert_int_equal(err, HY_OK);
    assert_string_equal(hy_chat_name(c), name);
    return;
  }
  assert_int_equal(err, HY_EFILE);
  assert_null(c);
  assert_non_null(strstr(hy_err_text(), why));
}

static void
test_files(void **state)
{
  char *path = fixture("chat_template.jinja"), *tok;
  hy_buf b = {0};

  (void)state;
  assert_int_equal(hy_file_read(path, &b), HY_OK);
  expect(dir, NULL, "set prepare.template");
  put("tokenizer_config.json", "{}");
  expect(dir, NULL, "no chat template in");
  put("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\","
                               " \"template\": \"x\"}]}");
  expect(dir, NULL, "no chat template in");
  put("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"default\","
                               " \"template\": \"x\"}]}");
  expect(dir, NULL, "none of hymn's");
  put("tokenizer_config.json", "{\"chat_template\":");
  expect(dir, NULL, "not JSON");
  put("chat_template.jinja", b.data);
  expect(dir, "nemotron3", NULL);
  put("tokenizer.json", "");
  tok = hy_path_join(dir, "tokenizer.json");
  expect(tok, "nemotron3", NULL);
  put("chat_template.jinja", "");
  expect(dir, NULL, "no chat template in");
  free(tok);
  free(path);
  free(b.data);
}

/* The template's text in the configuration of the tokenizer of the tests. */
static void
test_config(void **state)
{
  char *path = fixture("../tokenizer");

  (void)state;
  expect(path, "nemotron3", NULL);
  free(path);
}

/* Texts that are known by what is in them. */
static void
test_marks(void **state)
{
#define CHATML                                                                 \
  "{# other words #}<|im_start|> You have access to the following functions: " \
  "ONLY reply in the following format with NO suffix "                         \
  "truncate_history_thinking "
#define LLAMA "{# #}<|start_header_id|> <|end_header_id|> <|eot_id|> | trim "
  static const struct {
    const char *text, *name;
  } row[] = {
      {CHATML "\\n</think>\\n", "nemotron3_nano"},
      {CHATML "\\n</think>\\n {reasoning effort: low}", "nemotron3_super"},
      {CHATML "</think> {reasoning effort: efficient}", "nemotron3_ultra"},
      {CHATML "</think> {reasoning effort: high}", NULL},
      {LLAMA, "llama3"},
      {LLAMA "tools", NULL},
      {LLAMA "system_message split('</think>')", "llama_nemotron"},
      {LLAMA "/no_think <AVAILABLE_TOOLS> <TOOLCALL> <TOOL_RESPONSE>",
       "llama_nemotron_v1.5"},
      {"{{ messages }}", NULL},
  };

  (void)state;
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    put("chat_template.jinja", row[i].text);
    expect(dir, row[i].name, "none of hymn's; set prepare.template");
  }
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_files, setup, teardown),
      cmocka_unit_test(test_config),
      cmocka_unit_test_setup_teardown(test_marks, setup, teardown)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
