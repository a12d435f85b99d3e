/* nemotron3: ChatML with thoughts, tools and budgets, in the words of the
 * template that comes with hymn's own tokenizers; the published models' words
 * are in chat_hub.c. */
#include "text/chat_impl.h"

#include <stdlib.h>

static void
open_turn(hy_chat_run *r, const char *role)
{
  hy_chat_put(r, "<|im_start|>");
  hy_chat_put(r, role);
  hy_chat_put(r, "\n");
}

static void
shut_turn(hy_chat_run *r)
{
  hy_chat_put(r, "<|im_end|>\n");
}

/* <name>text</name> on a line of its own. */
static void
open_tag(hy_chat_run *r, const char *name)
{
  hy_buf_printf(&r->t->text, "\n<%s>", name);
}

static void
shut_tag(hy_chat_run *r, const char *name)
{
  hy_buf_printf(&r->t->text, "</%s>", name);
}

/* A text as it is, anything else as JSON. */
static void
put_value(hy_chat_run *r, const json_t *v)
{
  if (json_is_string(v))
    hy_buf_add(&r->t->text, json_string_value(v), json_string_length(v));
  else
    hy_chat_json(&r->t->text, v);
}

static void
put_trimmed(hy_chat_run *r, const json_t *v)
{
  hy_buf b = {0};

  hy_buf_add(&b, "", 0);
  hy_chat_value(&b, v);
  hy_chat_puts(r, hy_chat_trim((hy_chat_str){b.data, b.len}));
  free(b.data);
}

/* What Jinja takes for true. */
static int
holds(const json_t *v)
{
  if (json_is_string(v))
    return json_string_length(v) > 0;
  if (json_is_array(v))
    return json_array_size(v) > 0;
  if (json_is_object(v))
    return json_object_size(v) > 0;
  if (json_is_number(v))
    return json_number_value(v) != 0.0;
  return json_is_true(v);
}

static void
put_parameter(hy_chat_run *r, const char *name, const json_t *p)
{
  const json_t *type = json_object_get(p, "type");
  const json_t *text = json_object_get(p, "description");
  const json_t *values = json_object_get(p, "enum");

  hy_buf_printf(&r->t->text, "\n<parameter>\n<name>%s</name>", name);
  if (type) {
    open_tag(r, "type");
    put_value(r, type);
    shut_tag(r, "type");
  }
  if (text) {
    open_tag(r, "description");
    put_trimmed(r, text);
    shut_tag(r, "description");
  }
  if (values) {
    open_tag(r, "enum");
    hy_chat_json(&r->t->text, values);
    shut_tag(r, "enum");
  }
  hy_chat_put(r, "\n</parameter>");
}

static void
put_parameters(hy_chat_run *r, const json_t *parameters)
{
  const json_t *required = json_object_get(parameters, "required"), *p;
  json_t *all = json_object_get(parameters, "properties");
  const char *name;

  hy_chat_put(r, "\n<parameters>");
  json_object_foreach(all, name, p) put_parameter(r, name, p);
  if (holds(required)) {
    open_tag(r, "required");
    hy_chat_json(&r->t->text, required);
    shut_tag(r, "required");
  }
  hy_chat_put(r, "\n</parameters>");
}

static void
put_tools(hy_chat_run *r)
{
  const json_t *tool;
  size_t i;

  hy_chat_put(r, "# Tools\n\nThese functions are available:\n\n<tools>");
  json_array_foreach(r->tools, i, tool)
  {
    const json_t *f = hy_chat_function(tool);
    const json_t *text = json_object_get(f, "description");
    const json_t *parameters = json_object_get(f, "parameters");

    hy_chat_put(r, "\n<function>\n<name>");
    hy_chat_puts(r, hy_chat_field(f, "name"));
    hy_chat_put(r, "</name>");
    if (holds(text)) {
      open_tag(r, "description");
      put_trimmed(r, text);
      shut_tag(r, "description");
    }
    if (parameters && !json_is_null(parameters))
      put_parameters(r, parameters);
    hy_chat_put(r, "\n</function>");
  }
  hy_chat_put(r, "\n</tools>\n\nTo use one, reply with a block of this form "
                 "and nothing after it:\n\n<tool_call>\n"
                 "<function=name_of_function>\n"
                 "<parameter=name_of_parameter>\nvalue\n</parameter>\n"
                 "</function>\n</tool_call>");
}

/* The system block, which is there even when it is empty. */
static void
put_system(hy_chat_run *r, const json_t *first)
{
  hy_chat_str text = hy_chat_is(first, "system")
                         ? hy_chat_field(first, "content")
                         : (hy_chat_str){"", 0};

  open_turn(r, "system");
  hy_chat_puts(r, text);
  if (r->tools) {
    hy_chat_put(r, text.n > 0 ? "\n\n" : "");
    put_tools(r);
  }
  shut_turn(r);
}

static void
put_calls(hy_chat_run *r, const json_t *calls)
{
  const json_t *call, *value;
  const char *name;
  size_t i;

  json_array_foreach(calls, i, call)
  {
    json_t *arguments = hy_chat_arguments(call);

    hy_chat_put(r, i > 0 ? "\n<tool_call>\n<function="
                         : "<tool_call>\n<function=");
    hy_chat_puts(r, hy_chat_field(hy_chat_function(call), "name"));
    hy_chat_put(r, ">\n");
    json_object_foreach(arguments, name, value)
    {
      hy_buf_printf(&r->t->text, "<parameter=%s>\n", name);
      put_value(r, value);
      hy_chat_put(r, "\n</parameter>\n");
    }
    hy_chat_put(r, "</function>\n</tool_call>");
    json_decref(arguments);
  }
}

static void
put_assistant(hy_chat_run *r, const json_t *m, size_t turn)
{
  const json_t *calls = json_object_get(m, "tool_calls");
  hy_chat_str thought, body;

  hy_chat_thought(m, &thought, &body);
  open_turn(r, "assistant");
  hy_chat_span_begin(r, turn);
  if (thought.n > 0 && hy_chat_keeps_thought(r, turn)) {
    hy_chat_put(r, "<think>\n");
    hy_chat_puts(r, thought);
    hy_chat_put(r, "\n</think>\n");
  } else {
    hy_chat_put(r, "<think></think>");
  }
  hy_chat_puts(r, body);
  if (body.n > 0 && json_array_size(calls) > 0)
    hy_chat_put(r, "\n");
  put_calls(r, calls);
  hy_chat_put(r, "<|im_end|>");
  hy_chat_span_end(r);
  hy_chat_put(r, "\n");
}

/* Answers of tools that follow each other share one turn of the user. */
static void
put_answer(hy_chat_run *r, const json_t *m, size_t turn)
{
  if (!hy_chat_is(json_array_get(r->messages, turn - 1), "tool"))
    open_turn(r, "user");
  hy_chat_put(r, "<tool_response>\n");
  put_value(r, json_object_get(m, "content"));
  hy_chat_put(r, "\n</tool_response>\n");
  if (!hy_chat_is(json_array_get(r->messages, turn + 1), "tool"))
    shut_turn(r);
}

static void
write(hy_chat_run *r)
{
  put_system(r, json_array_get(r->messages, 0));
  for (size_t i = 0; i < r->n; i++) {
    const json_t *m = json_array_get(r->messages, i);

    if (hy_chat_is(m, "tool")) {
      put_answer(r, m, i);
    } else if (hy_chat_is(m, "assistant")) {
      put_assistant(r, m, i);
    } else if (hy_chat_is(m, "user")) {
      open_turn(r, "user");
      hy_chat_puts(r, hy_chat_field(m, "content"));
      hy_chat_put_wishes(r, i);
      shut_turn(r);
    }
  }
  if (r->o->generation_prompt) {
    open_turn(r, "assistant");
    hy_chat_put(r, r->o->thinking ? "<think>\n" : "<think></think>");
  }
}

const hy_chat hy_chat_nemotron3 = {
    .name = "nemotron3",
    .hash = "5d8fa833a9f83e2efb9478897614bde41504d774b17d08f604c429a3244aea94",
    .end = "<|im_end|>",
    .effort = "efficient",
    .budget = 1,
    .tools = 1,
    .write = write};
