/* reader_chat.c: records of conversations. */
#include "prep/reader_impl.h"
#include "base/err.h"
#include "prep/json.h"

#include <stdlib.h>
#include <string.h>

static int
is_role(const json_t *message, const char *role)
{
  const char *s = json_string_value(json_object_get(message, "role"));

  return s && !strcmp(s, role);
}

static int
holds(const json_t *message, const char *word)
{
  const char *content = json_string_value(json_object_get(message, "content"));
  const char *thought =
      json_string_value(json_object_get(message, "reasoning_content"));

  return (content && strstr(content, word)) ||
         (thought && strstr(thought, word));
}

static int
any_holds(const json_t *messages, const char *word)
{
  const json_t *m;
  size_t i;

  json_array_foreach(messages, i, m)
  {
    if (holds(m, word))
      return 1;
  }
  return 0;
}

/* A tool is called, but nobody says that there are tools. Source: the Nemotron
 * recipes leave such rows out. */
static int
calls_unknown(const json_t *messages, const json_t *tools)
{
  int calls = any_holds(messages, "<tool_call>");
  const json_t *m;
  size_t i;

  json_array_foreach(messages, i, m)
  {
    calls |= json_array_size(json_object_get(m, "tool_calls")) > 0;
  }
  return calls && json_array_size(tools) == 0 &&
         !any_holds(messages, "# Tools");
}

/* 1 if some message has a thought; white space is none. */
static int
has_thought(const json_t *messages)
{
  const json_t *m, *own;
  size_t i;

  json_array_foreach(messages, i, m)
  {
    own = json_object_get(m, "reasoning_content");
    if (!is_role(m, "assistant"))
      continue;
    if (json_is_string(own) ? !hy_reader_is_blank(json_string_value(own),
                                                  json_string_length(own))
                            : holds(m, "</think>"))
      return 1;
  }
  return 0;
}

/* Turns from `first` on are learned. */
static const char *
render(hy_reader *r, const json_t *messages, const json_t *tools, size_t first)
{
  const hy_reader_keys *k = &r->keys;
  hy_chat_text *t = &r->chat;
  hy_doc *d = &r->doc;
  const char *why;

  if (hy_chat_render(t, k->chat, messages, tools, &k->options, &why))
    return why;
  hy_buf_add(&d->text, t->text.data, t->text.len);
  if (r->all)
    hy_doc_mark(d, 0, d->text.len, 1.0f);
  for (int i = 0; i < t->n_span && !r->all; i++)
    if ((size_t)t->span[i].turn >= first)
      hy_doc_mark(d, t->span[i].from, t->span[i].to, 1.0f);
  d->joined = 1;
  /* a template with tokens of its own begins and ends with them */
  d->wrap = k->wrap && !*hy_chat_end(k->chat);
  d->eos = !*hy_chat_end(k->chat);
  return NULL;
}

/* The first n messages; a new reference. */
static json_t *
head(const json_t *messages, size_t n)
{
  json_t *list = json_array();

  for (size_t i = 0; i < n; i++)
    json_array_append(list, json_array_get(messages, i));
  return list;
}

/* A document for each user turn and what came before it; what was learned with
 * an earlier one is not learned again. add 0: only see that each can be had. */
static int
each_turn(hy_reader *r, const json_t *messages, const json_t *tools, int add,
          const char **why)
{
  size_t n = json_array_size(messages), user = n;
  int err = HY_OK;

  *why = NULL;
  for (size_t i = 0; i <= n && !err && !*why; i++) {
    json_t *part;

    if (i < n && !is_role(json_array_get(messages, i), "user"))
      continue;
    if (user < n) {
      part = head(messages, i);
      *why = render(r, part, tools, user + 1);
      json_decref(part);
      if (!add)
        hy_doc_clear(&r->doc);
      else if (!*why)
        err = hy_reader_add(r);
    }
    user = i;
  }
  return err;
}

int
hy_reader_chat(hy_reader *r, const json_t *messages, const json_t *tools,
               size_t first, const char **why)
{
  const char *turns = r->keys.turns;
  size_t n = json_array_size(messages);
  int err;

  if (!r->keys.chat)
    return hy_fail(HY_EDECK, "prepare.template: not set, but the input holds "
                             "conversations; set it");
  if (n > 0 && !is_role(json_array_get(messages, n - 1), "assistant"))
    *why = "last message is not the assistant's";
  if (!*why && calls_unknown(messages, tools))
    *why = hy_why_no_tools;
  if (!*why)
    *why = render(r, messages, tools, first);
  if (*why)
    return HY_OK;
  if (first > 0 || !strcmp(turns, "one") ||
      (!strcmp(turns, "auto") &&
       !(r->keys.options.truncate_history && has_thought(messages))))
    return hy_reader_add(r);
  hy_doc_clear(&r->doc);
  err = each_turn(r, messages, tools, 0, why);
  return err || *why ? err : each_turn(r, messages, tools, 1, why);
}

json_t *
hy_reader_list(const json_t *o, const char *key)
{
  json_t *v = json_object_get(o, key), *list;

  if (json_is_string(v) &&
      !hy_json_parse(json_string_value(v), json_string_length(v), &list))
    return list;
  return json_incref(v);
}

int
hy_read_chat(hy_reader *r, const json_t *o, const char **why)
{
  json_t *messages = hy_reader_list(o, "messages");
  json_t *tools = hy_reader_list(o, "tools");
  int err = HY_OK;

  if (!messages)
    *why = "no field `messages`";
  else
    err = hy_reader_chat(r, messages, tools, 0, why);
  json_decref(messages);
  json_decref(tools);
  return err;
}

int
hy_read_tulu3(hy_reader *r, const json_t *o, const char **why)
{
  return hy_read_chat(r, o, why);
}

/* Source: fields of nvidia/HelpSteer3, preference subset. */
int
hy_read_helpsteer3(hy_reader *r, const json_t *o, const char **why)
{
  json_t *context = json_object_get(o, "context"), *list, *response;
  const json_t *p = json_object_get(o, "overall_preference");
  json_int_t score = json_integer_value(p);
  int rejected = !strcmp(r->keys.preference, "rejected"), second, err;
  size_t n;

  if (!context)
    *why = "no field `context`";
  else if (!json_is_array(context) && !json_is_string(context))
    *why = "`context` that is neither a list nor a string";
  else if (!json_is_integer(p) || score < -3 || score > 3)
    *why = "no `overall_preference` from -3 to 3";
  second = (score > 0) != rejected;
  response = json_object_get(o, second ? "response2" : "response1");
  if (!*why && !json_is_string(response))
    *why = "no response that is a string";
  if (*why)
    return HY_OK;
  list = json_is_array(context)
             ? json_copy(context)
             : json_pack("[{s:s, s:O}]", "role", "user", "content", context);
  n = json_array_size(list);
  json_array_append_new(
      list, json_pack("{s:s, s:O}", "role", "assistant", "content", response));
  r->note = score == 0 ? "tie: response 1 was taken for the better one" : NULL;
  err = hy_reader_chat(r, list, NULL, n, why);
  r->note = NULL;
  json_decref(list);
  return err;
}
