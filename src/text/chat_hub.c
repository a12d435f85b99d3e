/* nemotron3_nano, _super, _ultra: the templates that are published with the
 * Nemotron 3 models. The models were trained on these words, so they are part
 * of the protocol.
 * Source: the jinja files in NVIDIA-NeMo/Nemotron, src/nemotron/data_prep/
 * templates (with the budget), and huggingface/trl, trl/chat_templates. */
#include "text/chat_impl.h"

#include <stdlib.h>
#include <string.h>

/* Lists and objects as JSON, anything else as Python's str. */
static void
put_value(hy_buf *b, const json_t *v)
{
  if (json_is_object(v) || json_is_array(v))
    hy_chat_json(b, v);
  else
    hy_chat_value(b, v);
}

static int
among(const char *key, const char *const *list)
{
  while (*list && strcmp(*list, key) != 0)
    list++;
  return *list != NULL;
}

/* Fields that have no place of their own, each under its name. */
static void
put_others(hy_chat_run *r, const json_t *fields, const char *const *known)
{
  const json_t *v;
  const char *key;

  json_object_foreach((json_t *)fields, key, v) if (!among(key, known))
      hy_chat_tag(r, key, v, put_value);
}

static void
put_parameter(hy_chat_run *r, const char *name, const json_t *p)
{
  static const char *const known[] = {"name", "type", "description", "enum",
                                      NULL};
  const json_t *type = json_object_get(p, "type");
  const json_t *text = json_object_get(p, "description");
  const json_t *values = json_object_get(p, "enum");

  hy_buf_printf(&r->t->text, "\n<parameter>\n<name>%s</name>", name);
  if (type)
    hy_chat_tag(r, "type", type, hy_chat_value);
  if (text)
    hy_chat_tag_text(r, "description", text);
  if (values)
    hy_chat_tag(r, "enum", values, hy_chat_json);
  put_others(r, p, known);
  hy_chat_put(r, "\n</parameter>");
}

static void
put_tool(hy_chat_run *r, const json_t *f)
{
  static const char *const of_tool[] = {"type", "name", "description",
                                        "parameters", NULL};
  static const char *const of_parameters[] = {"type", "properties", "required",
                                              NULL};
  const json_t *parameters = json_object_get(f, "parameters");
  const json_t *required = json_object_get(parameters, "required"), *p;
  json_t *all = json_object_get(parameters, "properties");
  const char *name;

  hy_chat_put(r, "\n<function>\n<name>");
  hy_chat_puts(r, hy_chat_field(f, "name"));
  hy_chat_put(r, "</name>");
  if (json_object_get(f, "description"))
    hy_chat_tag_text(r, "description", json_object_get(f, "description"));
  hy_chat_put(r, "\n<parameters>");
  json_object_foreach(all, name, p) put_parameter(r, name, p);
  put_others(r, parameters, of_parameters);
  if (required)
    hy_chat_tag(r, "required", required, hy_chat_json);
  hy_chat_put(r, "\n</parameters>");
  put_others(r, f, of_tool);
  hy_chat_put(r, "\n</function>");
}

static void
put_tools(hy_chat_run *r)
{
  const json_t *tool;
  size_t i;

  hy_chat_put(r, "# Tools\n\nYou have access to the following functions:\n\n"
                 "<tools>");
  json_array_foreach(r->tools, i, tool) put_tool(r, hy_chat_function(tool));
  hy_chat_put(
      r,
      "\n</tools>\n\nIf you choose to call a function ONLY reply in the "
      "following format with NO suffix:\n\n<tool_call>\n"
      "<function=example_function_name>\n<parameter=example_parameter_1>\n"
      "value_1\n</parameter>\n<parameter=example_parameter_2>\n"
      "This is the value for the second parameter\nthat can span\n"
      "multiple lines\n</parameter>\n</function>\n</tool_call>\n\n"
      "<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified "
      "format: an inner <function=...></function> block must be nested within "
      "<tool_call></tool_call> XML tags\n- Required parameters MUST be "
      "specified\n- You may provide optional reasoning for your function call "
      "in natural language BEFORE the function call, but NOT after\n- If there "
      "is no function call available, answer the question like normal with "
      "your current knowledge and do not tell the user about function calls\n"
      "</IMPORTANT>");
}

/* Thought and answer as one text. */
static void
join(hy_buf *b, const hy_chat_run *r, const json_t *m)
{
  hy_chat_str own = hy_chat_field(m, "reasoning_content");
  hy_chat_str all = hy_chat_field(m, "content");

  if (hy_chat_trim(own).n > 0) {
    hy_buf_printf(b, "<think>\n");
    hy_buf_add(b, own.s, own.n);
    hy_buf_printf(b, "%s", r->c->style->close_thought);
  } else if (!hy_chat_first(all, "<think>") &&
             !hy_chat_first(all, "</think>")) {
    hy_buf_printf(b, "<think></think>");
  }
  hy_buf_add(b, all.s, all.n);
}

/* What stands after the last thought; where none ends, before one that begins
 * and calls follow. */
static hy_chat_str
without_thought(hy_chat_str s, int calls)
{
  static const char shut[] = "</think>";
  const char *p = hy_chat_last(s, shut);

  if (p) {
    p += strlen(shut);
    return (hy_chat_str){p, (size_t)(s.s + s.n - p)};
  }
  p = calls ? hy_chat_first(s, "<think>") : NULL;
  return p ? (hy_chat_str){s.s, (size_t)(p - s.s)} : s;
}

static void
put_body(hy_chat_run *r, hy_chat_str s, size_t turn, int calls)
{
  if (hy_chat_keeps_thought(r, turn)) {
    hy_chat_puts(r, hy_chat_trim(s));
    return;
  }
  if (calls) {
    s = without_thought(s, 1);
    hy_chat_put(r, "<think></think>");
    hy_chat_puts(r, r->c->style->keeps_space ? s : hy_chat_trim(s));
    return;
  }
  if (!hy_chat_first(s, "<think>") || !hy_chat_first(s, "</think>")) {
    hy_chat_puts(r, hy_chat_trim(s));
    return;
  }
  hy_chat_put(r, "<think></think>");
  hy_chat_puts(r, hy_chat_rtrim(without_thought(s, 0)));
}

static void
put_assistant(hy_chat_run *r, const json_t *m, size_t turn)
{
  const json_t *calls = json_object_get(m, "tool_calls"), *call;
  int any = json_array_size(calls) > 0;
  hy_buf b = {0};
  size_t i;

  join(&b, r, m);
  put_body(r, (hy_chat_str){b.data, b.len}, turn, any);
  hy_chat_put(r, any ? "\n" : "");
  json_array_foreach(calls, i, call)
  {
    hy_chat_call(r, call);
    hy_chat_put(r, "\n");
  }
  free(b.data);
}

/* A published template: which effort it can ask for, what follows a thought,
 * and whether the answer after a thought left out keeps its space. */
#define STYLE(close, space)                                                    \
  {                                                                            \
    .tools = put_tools, .assistant = put_assistant, .argument = put_value,     \
    .answer = hy_chat_value, .close_thought = close, .keeps_space = space      \
  }

static const hy_chat_style nano_style = STYLE("\n</think>\n", 0);
static const hy_chat_style ultra_style = STYLE("</think>", 1);

const hy_chat hy_chat_nano = {
    .name = "nemotron3_nano",
    .hash = "fcb3caf36fb43247811b659a26d3cbd373e236432ad0598088ee8c335b82ca6d",
    .end = "<|im_end|>",
    .tokens = hy_chat_chatml_tokens,
    .budget = 1,
    .tools = 1,
    .style = &nano_style,
    .write = hy_chat_write_chatml};

const hy_chat hy_chat_super = {
    .name = "nemotron3_super",
    .hash = "1d4c9d902424607686d7db1315616bc6c41faf07829a6d3ac8fa9c558e8d1124",
    .end = "<|im_end|>",
    .tokens = hy_chat_chatml_tokens,
    .effort = "low",
    .budget = 1,
    .tools = 1,
    .style = &nano_style,
    .write = hy_chat_write_chatml};

const hy_chat hy_chat_ultra = {
    .name = "nemotron3_ultra",
    .hash = "8b24edadbc8cca817f0088d04739e132b9ba2f018e931d8c3bd4c080dbff5ce7",
    .end = "<|im_end|>",
    .tokens = hy_chat_chatml_tokens,
    .effort = "efficient",
    .budget = 1,
    .tools = 1,
    .style = &ultra_style,
    .write = hy_chat_write_chatml};
