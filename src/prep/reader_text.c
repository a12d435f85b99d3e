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
                 int joined, int eos)
{
  if (prompt->len > 0)
    hy_doc_add(&r->doc, prompt->data, prompt->len, (float)r->all);
  hy_doc_add(&r->doc, answer->data, answer->len, 1.0f);
  r->doc.joined = joined;
  r->doc.plain = r->keys.plain;
  r->doc.wrap = r->keys.wrap;
  r->doc.eos = eos;
  return hy_reader_add(r);
}

int
hy_read_pair(hy_reader *r, const json_t *o, const char **why)
{
  const json_t *prompt, *answer;
  hy_buf p = {0}, a = {0};
  int err = HY_OK;

  *why = hy_reader_string(o, r->keys.prompt, &prompt, "no prompt",
                          "prompt that is no string");
  if (!*why)
    *why = hy_reader_string(o, r->keys.answer, &answer, "no answer",
                            "answer that is no string");
  if (!*why &&
      hy_reader_is_blank(json_string_value(answer), json_string_length(answer)))
    *why = "empty answer";
  if (!*why) {
    hy_reader_put(&p, prompt);
    hy_reader_put(&a, answer);
    err = hy_reader_answer(r, &p, &a, 0, 1);
  }
  free(p.data);
  free(a.data);
  return err;
}
