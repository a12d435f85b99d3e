/* What a conversation must look like, whatever the template: a reader counts
 * what is refused by these phrases. */
#include "text/chat_impl.h"

#include <string.h>

static int
is_name(const json_t *function)
{
  return hy_chat_field(function, "name").n > 0;
}

static const char *
check_calls(const json_t *calls)
{
  const json_t *call;
  size_t i;

  if (!json_is_array(calls))
    return "tool_calls is not a list";
  json_array_foreach(calls, i, call)
  {
    json_t *a;

    if (!is_name(hy_chat_function(call)))
      return "tool call without a name";
    a = hy_chat_arguments(call);
    if (!a)
      return "arguments of a tool call are not an object";
    json_decref(a);
  }
  return NULL;
}

/* The assistant may say nothing if it calls a tool. */
static const char *
check_assistant(const json_t *m)
{
  const json_t *calls = json_object_get(m, "tool_calls");
  const json_t *content = json_object_get(m, "content");
  const json_t *thought = json_object_get(m, "reasoning_content");
  hy_chat_str in, rest;

  if (content && !json_is_string(content) && !json_is_null(content))
    return "content is not a text";
  if (thought && !json_is_string(thought) && !json_is_null(thought))
    return "reasoning_content is not a text";
  if (calls && !json_is_null(calls)) {
    const char *why = check_calls(calls);

    if (why || json_array_size(calls) > 0)
      return why;
  }
  hy_chat_thought(m, &in, &rest);
  return hy_chat_trim(rest).n > 0 ? NULL : "empty answer";
}

static const char *
check_message(const json_t *m)
{
  const json_t *content = json_object_get(m, "content");

  if (hy_chat_is(m, "assistant"))
    return check_assistant(m);
  /* published conversations have it so where there is no system text */
  if (json_is_null(content) && hy_chat_is(m, "system"))
    return NULL;
  if (!content || json_is_null(content))
    return "message without content";
  if (!json_is_string(content) && !hy_chat_is(m, "tool"))
    return "content is not a text";
  return NULL;
}

/* The assistant calls a tool in message m, in the open or in its text. */
static int
calls_tool(const json_t *m)
{
  return json_array_size(json_object_get(m, "tool_calls")) > 0 ||
         hy_chat_first(hy_chat_field(m, "content"), "<tool_call>");
}

/* system? (user (assistant tool*)...)...: the user begins, and nobody but
 * tools speaks twice in a row. */
static const char *
check_order(const json_t *messages)
{
  static const char out_of_order[] = "roles out of order";
  const json_t *m, *before = NULL, *asked = NULL;
  size_t i;

  json_array_foreach(messages, i, m)
  {
    if (hy_chat_is(m, "system")) {
      if (i > 0)
        return out_of_order;
      continue;
    }
    if (hy_chat_is(m, "tool") && !(asked && calls_tool(asked)))
      return before ? "tool answer without a call" : out_of_order;
    if (hy_chat_is(m, "assistant") && (!before || before == asked))
      return out_of_order;
    if (hy_chat_is(m, "user") && before && hy_chat_is(before, "user"))
      return out_of_order;
    if (hy_chat_is(m, "assistant"))
      asked = m;
    else if (hy_chat_is(m, "user"))
      asked = NULL;
    before = m;
  }
  return before ? NULL : "no messages";
}

/* NULL, JSON's null or an object. */
static int
is_fields(const json_t *v)
{
  return !v || json_is_null(v) || json_is_object(v);
}

static const char *
check_tools(const json_t *tools)
{
  const json_t *tool;
  size_t i;

  if (!tools || json_is_null(tools))
    return NULL;
  if (!json_is_array(tools))
    return "tools is not a list";
  json_array_foreach(tools, i, tool)
  {
    const json_t *f = hy_chat_function(tool);
    const json_t *parameters = json_object_get(f, "parameters");

    if (!is_name(f))
      return "tool without a name";
    if (!is_fields(parameters) ||
        !is_fields(json_object_get(parameters, "properties")))
      return "parameters of a tool are not an object";
  }
  return NULL;
}

const char *
hy_chat_check(const json_t *messages, const json_t *tools)
{
  const char *why = NULL;
  const json_t *m;
  size_t i;

  if (messages && !json_is_null(messages) && !json_is_array(messages))
    return "messages is not a list";
  json_array_foreach(messages, i, m)
  {
    if (!json_is_object(m))
      return "a message is not an object";
    if (!json_is_string(json_object_get(m, "role")))
      return "message without a role";
    if (!hy_chat_is(m, "system") && !hy_chat_is(m, "user") &&
        !hy_chat_is(m, "assistant") && !hy_chat_is(m, "tool"))
      return "unknown role";
  }
  why = check_order(messages);
  for (i = 0; !why && i < json_array_size(messages); i++)
    why = check_message(json_array_get(messages, i));
  return why ? why : check_tools(tools);
}
