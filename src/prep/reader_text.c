/* reader_text.c: records of text, of ids, of prompt and answer. */
#include "prep/reader_impl.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

int
hy_reader_is_blank(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (!strchr(" \t\r\n\v\f", s[i]) || s[i] == '\0')
      return 0;
  return 1;
}

const char *
hy_reader_string(const json_t *o, const char *key, const json_t **text,
                 const char *absent, const char *wrong)
{
  *text = json_object_get(o, key);
  if (!*text)
    return absent;
  return json_is_string(*text) ? NULL : wrong;
}

void
hy_reader_put(hy_buf *b, const json_t *string)
{
  hy_buf_add(b, json_string_value(string), json_string_length(string));
}

int
hy_reader_text(hy_reader *r, const char *text, size_t n, const char **why)
{
  if (!strcmp(r->keys.loss, "assistant")) {
    *why = "text without roles, but the loss is the assistant's";
    return HY_OK;
  }
  if (n > 0)
    hy_doc_add(&r->doc, text, n, 1.0f);
  r->doc.plain = r->keys.plain;
  r->doc.wrap = r->keys.wrap;
  r->doc.eos = 1;
  return hy_reader_add(r);
}

int
hy_read_text(hy_reader *r, const json_t *o, const char **why)
{
  const json_t *text;

  *why = hy_reader_string(o, r->keys.field, &text, "no text field",
                          "text that is no string");
  return *why ? HY_OK
              : hy_reader_text(r, json_string_value(text),
                               json_string_length(text), why);
}

int
hy_read_ids(hy_reader *r, const json_t *o, const char **why)
{
  json_t *list = json_object_get(o, "ids"), *v;
  size_t i;

  *why = !list                 ? "no field `ids`"
         : json_is_array(list) ? NULL
                               : "`ids` that are no list";
  json_array_foreach(list, i, v)
  {
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v))
      *why = "`ids` that are no integers";
    else if (id < 0 || id > INT32_MAX)
      *why = "id that is not in the vocabulary";
    if (*why)
      break;
    hy_doc_add_ids(&r->doc, &(int32_t){(int32_t)id}, NULL, 1);
  }
  r->doc.eos = 1;
  return *why ? HY_OK : hy_reader_add(r);
}

int
hy_reader_answer(hy_reader *r, const hy_buf *prompt, const hy_buf *answer,
                 int joined, int eos, const char **why)
{
  json_t *messages;
  int err;

  if (r->keys.templated) {
    messages =
        json_pack("[{s:s, s:s%}, {s:s, s:s%}]", "role", "user", "content",
                  prompt->data ? prompt->data : "", prompt->len, "role",
                  "assistant", "content", answer->data, answer->len);
    err = hy_reader_chat(r, messages, NULL, 1, why);
    json_decref(messages);
    return err;
  }
  if (prompt->len > 0)
    hy_doc_add(&r->doc, prompt->data, prompt->len, (float)r->all);
  hy_doc_add(&r->doc, answer->data, answer->len, 1.0f);
  r->doc.joined = joined;
  r->doc.plain = r->keys.plain;
  r->doc.wrap = r->keys.wrap;
  r->doc.eos = eos;
  return hy_reader_add(r);
}

/* Prompt and answer of strings. */
static int
pair_of_texts(hy_reader *r, const json_t *prompt, const json_t *answer,
              const char **why)
{
  hy_buf p = {0}, a = {0};
  int err;

  hy_reader_put(&p, prompt);
  hy_reader_put(&a, answer);
  err = hy_reader_answer(r, &p, &a, 0, 1, why);
  free(p.data);
  free(a.data);
  return err;
}

/* Prompt and answer of messages; a string is what its side says. */
static int
pair_of_messages(hy_reader *r, json_t *prompt, json_t *answer,
                 const json_t *tools, const char **why)
{
  json_t *list = json_is_array(prompt) ? json_copy(prompt)
                                       : json_pack("[{s:s, s:O}]", "role",
                                                   "user", "content", prompt);
  size_t first = json_array_size(list);
  int err;

  if (json_is_array(answer))
    json_array_extend(list, answer);
  else if (json_is_object(answer))
    json_array_append(list, answer);
  else
    json_array_append_new(
        list, json_pack("{s:s, s:O}", "role", "assistant", "content", answer));
  err = hy_reader_chat(r, list, tools, first, why);
  json_decref(list);
  return err;
}

int
hy_read_pair(hy_reader *r, const json_t *o, const char **why)
{
  json_t *prompt = json_object_get(o, r->keys.prompt);
  json_t *answer = json_object_get(o, r->keys.answer), *tools;
  int texts = json_is_string(prompt) && json_is_string(answer), err;

  if (!prompt)
    *why = "no prompt";
  else if (!answer)
    *why = "no answer";
  else if (!json_is_string(prompt) && !json_is_array(prompt))
    *why = "prompt that is neither a string nor a list of messages";
  else if (!json_is_string(answer) && !json_is_array(answer) &&
           !json_is_object(answer))
    *why = "answer that is neither a string nor a message";
  else if (json_is_string(answer)
               ? hy_reader_is_blank(json_string_value(answer),
                                    json_string_length(answer))
               : !json_is_object(answer) && json_array_size(answer) == 0)
    *why = "empty answer";
  if (*why)
    return HY_OK;
  if (texts)
    return pair_of_texts(r, prompt, answer, why);
  tools = hy_reader_list(o, "tools");
  err = pair_of_messages(r, prompt, answer, tools, why);
  json_decref(tools);
  return err;
}
