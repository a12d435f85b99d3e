/* nemotron3: the words of the template that comes with hymn's own tokenizers;
 * those of the published models are in chat_hub.c. */
#include "text/chat_impl.h"

/* A text as it is, anything else as JSON. */
static void
put_value(hy_buf *b, const json_t *v)
{
  if (json_is_string(v))
    hy_buf_add(b, json_string_value(v), json_string_length(v));
  else
    hy_chat_json(b, v);
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
  if (type)
    hy_chat_tag(r, "type", type, put_value);

  if (text)
    hy_chat_tag_text(r, "description", text);

  if (values)
    hy_chat_tag(r, "enum", values, hy_chat_json);

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
  if (holds(required))
    hy_chat_tag(r, "required", required, hy_chat_json);

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
    if (holds(text))
      hy_chat_tag_text(r, "description", text);

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

static void
put_assistant(hy_chat_run *r, const json_t *m, size_t turn)
{
  const json_t *calls = json_object_get(m, "tool_calls"), *call;
  hy_chat_str thought, body;
  size_t i;

  hy_chat_thought(m, &thought, &body);
  if (thought.n > 0 && hy_chat_keeps_thought(r, turn)) {
    hy_chat_put(r, "<think>\n");
    hy_chat_puts(r, thought);
    hy_chat_put(r, "\n</think>\n");
  } else {
    hy_chat_put(r, "<think></think>");
  }
  hy_chat_puts(r, body);
  json_array_foreach(calls, i, call)
  {
    hy_chat_put(r, i > 0 || body.n > 0 ? "\n" : "");
    hy_chat_call(r, call);
  }
}

static const hy_chat_style style = {.tools = put_tools,
                                    .assistant = put_assistant,
                                    .argument = put_value,
                                    .answer = put_value};

const hy_chat hy_chat_nemotron3 = {
    .name = "nemotron3",
    .hash = "5d8fa833a9f83e2efb9478897614bde41504d774b17d08f604c429a3244aea94",
    .end = "<|im_end|>",
    .tokens = hy_chat_chatml_tokens,
    .effort = "efficient",
    .budget = 1,
    .tools = 1,
    .style = &style,
    .write = hy_chat_write_chatml};
