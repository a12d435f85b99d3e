/* Which template a folder's Jinja file is: the text is compared, not run. */
#include "text/chat_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Texts known to the letter, without white space at the end. */
static const struct {
  const char *sha256;
  const hy_chat *chat;
} known[] = {
    {"92c8392dd86ec50bc0d2084e3c26ee3a4e25d0296219c36750495d1263a4eff9",
     &hy_chat_nemotron3},
    {"43a92aacc2e169bb37055e4d8b0df31edfdc8657d8c387fcf98254cb246e626a",
     &hy_chat_nano},
    {"e74d2010bf8ceaadd1e8f918b019bc775b87a0f714c3378e650082d727b75f01",
     &hy_chat_nano},
    {"3b74d76d8b903752e764cae114ae8ae2f24cd260466cf672570c745219573d28",
     &hy_chat_super},
    {"82753bef5cedc4932c1ed509b5c9a12be680fd86d1adb65bc3f7398d11c8eebc",
     &hy_chat_ultra},
    {"ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122",
     &hy_chat_llama3},
    {"d07ec591ebf87912657423424c835d0960f41e3a7a45caac6673390f332ecc3b",
     &hy_chat_llama_v1},
    {"1b13a386b158bb4033ad9960032530554c47a92d1735c7dfce715efcabf30e5c",
     &hy_chat_llama_v15},
};

enum { N_KNOWN = sizeof known / sizeof known[0], MARKS_MAX = 6 };

/* Else a text must have all marks, and none of `without`; the first that fits
 * is taken. */
static const struct {
  const hy_chat *chat;
  const char *mark[MARKS_MAX], *without[MARKS_MAX];
} marked[] = {
    {&hy_chat_nemotron3,
     {"<|im_start|>", "# Tools\\n\\nThese functions are available:",
      "<function=name_of_function>", "</think>\\n"},
     {NULL}},
    {&hy_chat_ultra,
     {"<|im_start|>", "You have access to the following functions:",
      "ONLY reply in the following format with NO suffix",
      "truncate_history_thinking", "{reasoning effort: efficient}"},
     {"\\n</think>\\n", "{reasoning effort: low}"}},
    {&hy_chat_super,
     {"<|im_start|>", "You have access to the following functions:",
      "ONLY reply in the following format with NO suffix",
      "truncate_history_thinking", "{reasoning effort: low}", "\\n</think>\\n"},
     {"{reasoning effort: efficient}"}},
    {&hy_chat_nano,
     {"<|im_start|>", "You have access to the following functions:",
      "ONLY reply in the following format with NO suffix",
      "truncate_history_thinking", "\\n</think>\\n"},
     {"{reasoning effort:"}},
    {&hy_chat_llama_v15,
     {"<|start_header_id|>", "<|eot_id|>", "/no_think", "<AVAILABLE_TOOLS>",
      "<TOOLCALL>", "<TOOL_RESPONSE>"},
     {NULL}},
    {&hy_chat_llama_v1,
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
      "system_message", "split('</think>')", "trim"},
     {"tools", "think>\\n"}},
    {&hy_chat_llama3,
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "trim"},
     {"tools", "think>", "strftime", "system_message", "raise_exception"}},
};

enum { N_MARKED = sizeof marked / sizeof marked[0] };

static int
fits(hy_chat_str text, const char *const *mark, const char *const *without)
{
  for (int i = 0; i < MARKS_MAX && mark[i]; i++)
    if (!hy_chat_first(text, mark[i]))
      return 0;
  for (int i = 0; i < MARKS_MAX && without[i]; i++)
    if (hy_chat_first(text, without[i]))
      return 0;
  return 1;
}

static const hy_chat *
match(hy_chat_str text)
{
  char hex[HY_SHA_HEX];
  hy_sha256 h;

  text = hy_chat_rtrim(text);
  hy_sha256_init(&h);
  hy_sha256_add(&h, text.s, text.n);
  hy_sha256_hex(&h, hex);
  for (size_t i = 0; i < N_KNOWN; i++)
    if (strcmp(known[i].sha256, hex) == 0)
      return known[i].chat;
  for (size_t i = 0; i < N_MARKED; i++)
    if (fits(text, marked[i].mark, marked[i].without))
      return marked[i].chat;
  return NULL;
}

/* chat_template of tokenizer_config.json: a text, or a list of texts with names
 * of which `default` counts. */
static hy_chat_str
of_config(const json_t *config)
{
  const json_t *v = json_object_get(config, "chat_template"), *one;
  size_t i;

  json_array_foreach(v, i,
                     one) if (strcmp(hy_chat_field(one, "name").s, "default") ==
                              0) return hy_chat_field(one, "template");
  return hy_chat_field(config, "chat_template");
}

static int
none(const char *dir, const char *what)
{
  return hy_fail(HY_EFILE,
                 "%s: %s; set prepare.template (generate.template) to one of "
                 "%s",
                 dir, what, hy_chat_names());
}

/* The text of chat_template.jinja, else that in tokenizer_config.json. */
static int
read_template(hy_buf *text, const char *dir)
{
  char *jinja = hy_path_join(dir, "chat_template.jinja");
  char *path = hy_path_join(dir, "tokenizer_config.json");
  json_t *config = NULL;
  json_error_t why;
  hy_chat_str s;
  int err = HY_OK;

  hy_buf_add(text, "", 0);
  if (hy_path_exists(jinja)) {
    err = hy_file_read(jinja, text);
  } else if (hy_path_exists(path)) {
    config = json_load_file(path, 0, &why);
    if (!config)
      err = hy_fail(HY_EFILE, "%s:%d: not JSON: %s", path, why.line, why.text);
    s = of_config(config);
    hy_buf_add(text, s.s, s.n);
  }
  json_decref(config);
  free(path);
  free(jinja);
  return err;
}

int
hy_chat_of_folder(const hy_chat **c, const char *path)
{
  char *dir = hy_path_is_dir(path) ? hy_strdup(path) : hy_path_dir(path);
  hy_buf text = {0};
  int err = read_template(&text, dir);

  *c = NULL;
  if (!err && text.len == 0)
    err = none(dir, "no chat template in chat_template.jinja or "
                    "tokenizer_config.json");
  if (!err)
    *c = match((hy_chat_str){text.data, text.len});
  if (!err && !*c)
    err = none(dir, "its chat template is none of hymn's");
  free(text.data);
  free(dir);
  return err;
}

/* The tokenizer has this token of the template, or the template has none. */
static int
has(const hy_chat *c, const char *key, const char *token, const hy_tok *tok,
    const char *path)
{
  if (!token[0] || hy_tok_find(tok, token) >= 0)
    return HY_OK;
  return hy_fail(HY_EDECK,
                 "%s: the chat template %s writes %s, a token that %s lacks; "
                 "take another template or tokenizer",
                 key, c->name, token, path);
}

int
hy_chat_open(const hy_chat **c, const char *key, const char *name,
             const hy_tok *tok, const char *path)
{
  int err = HY_OK;

  *c = NULL;
  if (!name[0])
    err = hy_chat_of_folder(c, path);
  else if (!(*c = hy_chat_named(name)))
    err = hy_fail(HY_EDECK, "%s: there is no template '%s'; there are: %s", key,
                  name, hy_chat_names());
  if (!err && tok)
    err = has(*c, key, (*c)->end, tok, path);
  for (int i = 0; !err && tok && (*c)->tokens && (*c)->tokens[i]; i++)
    err = has(*c, key, (*c)->tokens[i], tok, path);
  if (err)
    *c = NULL;
  return err;
}
