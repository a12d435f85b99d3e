#include "text/chat_impl.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static const hy_chat *const chats[] = {
    &hy_chat_nemotron3, &hy_chat_nano,     &hy_chat_super,     &hy_chat_ultra,
    &hy_chat_llama3,    &hy_chat_llama_v1, &hy_chat_llama_v15, &hy_chat_plain};

enum { N_CHATS = sizeof chats / sizeof chats[0] };

void
hy_chat_defaults(hy_chat_options *o)
{
  *o = (hy_chat_options){.thinking = -1, .truncate_history = 1, .budget = -1};
}

const hy_chat *
hy_chat_named(const char *name)
{
  for (size_t i = 0; i < N_CHATS; i++)
    if (strcmp(chats[i]->name, name) == 0)
      return chats[i];
  return NULL;
}

const char *
hy_chat_names(void)
{
  return "nemotron3 nemotron3_nano nemotron3_super nemotron3_ultra llama3 "
         "llama_nemotron llama_nemotron_v1.5 plain";
}

const char *
hy_chat_name(const hy_chat *c)
{
  return c->name;
}

const char *
hy_chat_end(const hy_chat *c)
{
  return c->end;
}

const char *
hy_chat_hash(const hy_chat *c)
{
  return c->hash;
}

void
hy_chat_text_free(hy_chat_text *t)
{
  free(t->text.data);
  free(t->span);
  *t = (hy_chat_text){0};
}

hy_chat_str
hy_chat_field(const json_t *message, const char *name)
{
  const json_t *v = json_object_get(message, name);

  if (!json_is_string(v))
    return (hy_chat_str){"", 0};
  return (hy_chat_str){json_string_value(v), json_string_length(v)};
}

int
hy_chat_is(const json_t *message, const char *role)
{
  hy_chat_str s = hy_chat_field(message, "role");

  return s.n == strlen(role) && memcmp(s.s, role, s.n) == 0;
}

hy_chat_str
hy_chat_system(const hy_chat_run *r)
{
  const json_t *first = json_array_get(r->messages, 0);

  return hy_chat_is(first, "system") ? hy_chat_field(first, "content")
                                     : (hy_chat_str){"", 0};
}

void
hy_chat_put(hy_chat_run *r, const char *s)
{
  hy_buf_add(&r->t->text, s, strlen(s));
}

void
hy_chat_puts(hy_chat_run *r, hy_chat_str s)
{
  hy_buf_add(&r->t->text, s.s, s.n);
}

void
hy_chat_put_wishes(hy_chat_run *r, size_t turn)
{
  if ((ptrdiff_t)turn != r->last_user)
    return;
  if (r->o->budget >= 0)
    hy_buf_printf(&r->t->text, "\n\n{thinking token budget: %lld}",
                  (long long)r->o->budget);
  if (r->o->low_effort)
    hy_buf_printf(&r->t->text, "\n\n{reasoning effort: %s}", r->c->effort);
}

void
hy_chat_span_begin(hy_chat_run *r, size_t turn)
{
  hy_chat_text *t = r->t;

  if (t->n_span == t->cap_span) {
    t->cap_span = t->cap_span ? 2 * t->cap_span : 8;
    t->span = hy_realloc(t->span, (size_t)t->cap_span * sizeof *t->span);
  }
  t->span[t->n_span++] = (hy_chat_span){.from = t->text.len, .turn = (int)turn};
}

void
hy_chat_span_end(hy_chat_run *r)
{
  r->t->span[r->t->n_span - 1].to = r->t->text.len;
}

void
hy_chat_thought(const json_t *message, hy_chat_str *thought, hy_chat_str *rest)
{
  static const char open[] = "<think>", shut[] = "</think>";
  const json_t *own = json_object_get(message, "reasoning_content");
  hy_chat_str all = hy_chat_field(message, "content"), head;
  const char *first = hy_chat_first(all, shut), *p;

  *rest = all;
  *thought = (hy_chat_str){"", 0};
  if (json_is_string(own)) {
    *thought = hy_chat_trim(hy_chat_field(message, "reasoning_content"));
    return;
  }
  if (!first)
    return;
  head = (hy_chat_str){all.s, (size_t)(first - all.s)};
  p = hy_chat_last(head, open);
  if (p)
    head = (hy_chat_str){p + strlen(open), (size_t)(first - p) - strlen(open)};
  p = hy_chat_last(all, shut) + strlen(shut);
  *thought = hy_chat_trim(head);
  *rest = hy_chat_trim((hy_chat_str){p, (size_t)(all.s + all.n - p)});
}

int
hy_chat_keeps_thought(const hy_chat_run *r, size_t turn)
{
  return !r->o->truncate_history || (ptrdiff_t)turn > r->last_user;
}

const json_t *
hy_chat_function(const json_t *tool)
{
  const json_t *f = json_object_get(tool, "function");

  return f ? f : tool;
}

json_t *
hy_chat_arguments(const json_t *call)
{
  const json_t *a = json_object_get(hy_chat_function(call), "arguments");
  json_t *o;

  if (!a)
    return json_object();
  if (json_is_object(a))
    return json_incref((json_t *)a);
  if (!json_is_string(a))
    return NULL;
  o = json_loadb(json_string_value(a), json_string_length(a), JSON_ALLOW_NUL,
                 NULL);
  if (o && !json_is_object(o)) {
    json_decref(o);
    o = NULL;
  }
  return o;
}

/* An option that the template has no words for. */
static const char *
unmet_option(const hy_chat *c, const hy_chat_options *o)
{
  if (o->budget >= 0 && !c->budget)
    return "the template can name no budget of thought";
  if (o->low_effort && !c->effort)
    return "the template can ask for no low effort";
  return NULL;
}

int
hy_chat_can(const hy_chat *c, const hy_chat_options *o)
{
  const char *why = unmet_option(c, o);

  return why ? hy_fail(HY_EDECK,
                       "chat template %s: %s; take another template or leave "
                       "the key out",
                       c->name, why)
             : HY_OK;
}

/* Tools where the template has none. */
static const char *
unmet_tools(const hy_chat_run *r)
{
  if (r->c->tools)
    return NULL;
  if (r->tools)
    return "the template has no form for tools";
  for (size_t i = 0; i < r->n; i++) {
    const json_t *m = json_array_get(r->messages, i);

    if (hy_chat_is(m, "tool") ||
        json_array_size(json_object_get(m, "tool_calls")))
      return "the template has no form for tools";
  }
  return NULL;
}

int
hy_chat_render(hy_chat_text *t, const hy_chat *c, const json_t *messages,
               const json_t *tools, const hy_chat_options *o, const char **why)
{
  hy_chat_run r = {.t = t, .c = c, .messages = messages, .o = o};

  t->text.len = 0;
  t->n_span = 0;
  hy_buf_add(&t->text, "", 0);
  *why = hy_chat_check(messages, tools);
  if (*why)
    return HY_EDATA;
  r.tools = json_array_size(tools) > 0 ? tools : NULL;
  r.n = json_array_size(messages);
  r.last_user = (ptrdiff_t)r.n - 1;
  while (r.last_user >= 0 &&
         !hy_chat_is(json_array_get(messages, (size_t)r.last_user), "user"))
    r.last_user--;
  *why = unmet_option(c, o);
  if (!*why)
    *why = unmet_tools(&r);
  if (*why)
    return HY_EDATA;
  c->write(&r);
  return HY_OK;
}
