/* ChatML as Nemotron 3 uses it: a system block that is always there, tools in
 * it, answers of tools in a turn of the user. What differs between models is in
 * a hy_chat_style. */
#include "text/chat_impl.h"

#include <stdlib.h>

const char *const hy_chat_chatml_tokens[] = {"<|im_start|>", NULL};

void
hy_chat_open_turn(hy_chat_run *r, const char *role)
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

void
hy_chat_tag_text(hy_chat_run *r, const char *tag, const json_t *v)
{
  hy_buf b = {0};

  hy_buf_add(&b, "", 0);
  hy_chat_value(&b, v);
  hy_buf_printf(&r->t->text, "\n<%s>", tag);
  hy_chat_puts(r, hy_chat_trim((hy_chat_str){b.data, b.len}));
  hy_buf_printf(&r->t->text, "</%s>", tag);
  free(b.data);
}

void
hy_chat_tag(hy_chat_run *r, const char *tag, const json_t *v,
            void put(hy_buf *b, const json_t *v))
{
  hy_buf_printf(&r->t->text, "\n<%s>", tag);
  put(&r->t->text, v);
  hy_buf_printf(&r->t->text, "</%s>", tag);
}

static void
put_system(hy_chat_run *r)
{
  hy_chat_str text = hy_chat_system(r);

  hy_chat_open_turn(r, "system");
  hy_chat_puts(r, text);
  if (r->tools) {
    hy_chat_put(r, text.n > 0 ? "\n\n" : "");
    r->c->style->tools(r);
  }
  shut_turn(r);
}

void
hy_chat_call(hy_chat_run *r, const json_t *call)
{
  json_t *arguments = hy_chat_arguments(call);
  const json_t *value;
  const char *name;

  hy_chat_put(r, "<tool_call>\n<function=");
  hy_chat_puts(r, hy_chat_field(hy_chat_function(call), "name"));
  hy_chat_put(r, ">\n");
  json_object_foreach(arguments, name, value)
  {
    hy_buf_printf(&r->t->text, "<parameter=%s>\n", name);
    r->c->style->argument(&r->t->text, value);
    hy_chat_put(r, "\n</parameter>\n");
  }
  hy_chat_put(r, "</function>\n</tool_call>");
  json_decref(arguments);
}

static void
put_assistant(hy_chat_run *r, const json_t *m, size_t turn)
{
  hy_chat_open_turn(r, "assistant");
  hy_chat_span_begin(r, turn);
  r->c->style->assistant(r, m, turn);
  hy_chat_put(r, "<|im_end|>");
  hy_chat_span_end(r);
  hy_chat_put(r, "\n");
}

/* Answers of tools that follow each other share one turn of the user. */
static void
put_answer(hy_chat_run *r, const json_t *m, size_t turn)
{
  if (!hy_chat_is(json_array_get(r->messages, turn - 1), "tool"))
    hy_chat_open_turn(r, "user");
  hy_chat_put(r, "<tool_response>\n");
  r->c->style->answer(&r->t->text, json_object_get(m, "content"));
  hy_chat_put(r, "\n</tool_response>\n");
  if (!hy_chat_is(json_array_get(r->messages, turn + 1), "tool"))
    shut_turn(r);
}

void
hy_chat_write_chatml(hy_chat_run *r)
{
  put_system(r);
  for (size_t i = 0; i < r->n; i++) {
    const json_t *m = json_array_get(r->messages, i);

    if (hy_chat_is(m, "tool")) {
      put_answer(r, m, i);
    } else if (hy_chat_is(m, "assistant")) {
      put_assistant(r, m, i);
    } else if (hy_chat_is(m, "user")) {
      hy_chat_open_turn(r, "user");
      hy_chat_puts(r, hy_chat_field(m, "content"));
      hy_chat_put_wishes(r, i);
      shut_turn(r);
    }
  }
  if (r->o->generation_prompt) {
    hy_chat_open_turn(r, "assistant");
    hy_chat_put(r, r->o->thinking ? "<think>\n" : "<think></think>");
  }
}
