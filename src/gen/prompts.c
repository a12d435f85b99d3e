#include "gen/prompts.h"
#include "base/err.h"
#include "base/file.h"
#include "text/chat.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What the lines of one file share. */
typedef struct {
  hy_prompts *p;
  const hy_deck_generate *d;
  hy_tok *tok;
  const char *path; /* of tok */
  int64_t vocab;
  const hy_chat *chat; /* NULL: not looked for yet */
  int32_t stop;        /* id that ends its turns, -1: none */
} reading;

static int
no_tokenizer(const char *where)
{
  return hy_fail(HY_EDECK,
                 "%s: a text prompt, and no tokenizer.json beside model.from; "
                 "set generate.tokenizer",
                 where);
}

/* \param bos  the text may be led in by the tokenizer */
static int
add_text(const reading *r, hy_ids *out, const char *where, const char *text,
         size_t n, int bos)
{
  const int32_t *before, *after;
  int n_before, n_after;

  if (!r->tok)
    return no_tokenizer(where);
  hy_tok_around(r->tok, &before, &n_before, &after, &n_after);
  for (int i = 0; i < n_before && bos && r->d->bos; i++)
    hy_ids_add(out, before[i]);
  return hy_tok_encode(r->tok, text, n, 0, out, NULL);
}

static hy_chat_options
options_of(const hy_deck_generate *d)
{
  hy_chat_options o;

  hy_chat_defaults(&o);
  o.generation_prompt = 1;
  if (strcmp(d->thinking, "auto") != 0)
    o.thinking = strcmp(d->thinking, "on") == 0;
  o.budget = d->reasoning_budget;
  o.low_effort = d->low_effort;
  return o;
}

/* The template, and the id that ends its turns. */
static int
find_chat(reading *r)
{
  hy_chat_options o = options_of(r->d);
  int err = hy_chat_open(&r->chat, "generate.template", r->d->template, r->tok,
                         r->path);

  if (!err)
    err = hy_chat_can(r->chat, &o);
  if (!err && r->tok && hy_chat_end(r->chat)[0])
    r->stop = hy_tok_find(r->tok, hy_chat_end(r->chat));
  return err;
}

static int
is_assistants(const json_t *message)
{
  const char *role = json_string_value(json_object_get(message, "role"));

  return role && strcmp(role, "assistant") == 0;
}

static int
add_chat(reading *r, hy_ids *out, const char *where, const json_t *line)
{
  const json_t *messages = json_object_get(line, "messages");
  size_t n = json_array_size(messages);
  hy_chat_options o = options_of(r->d);
  hy_chat_text t = {0};
  const char *why;
  int err = HY_OK;

  if (!r->tok)
    return no_tokenizer(where);
  if (!r->chat)
    err = find_chat(r);
  if (err)
    return err;
  if (n > 0 && is_assistants(json_array_get(messages, n - 1)))
    err = hy_fail(HY_EDATA,
                  "%s: the last message is the assistant's; end with what it "
                  "shall answer",
                  where);
  else if (hy_chat_render(&t, r->chat, messages, json_object_get(line, "tools"),
                          &o, &why))
    err = hy_fail(HY_EDATA, "%s: %s (template %s)", where, why,
                  hy_chat_name(r->chat));
  else
    err = add_text(r, out, where, t.text.data, t.text.len,
                   !hy_chat_end(r->chat)[0]);
  hy_chat_text_free(&t);
  return err;
}

static int
add_ids(hy_ids *out, const char *where, const json_t *ids)
{
  for (size_t i = 0; i < json_array_size(ids); i++) {
    const json_t *x = json_array_get(ids, i);

    if (!json_is_integer(x) || json_integer_value(x) < 0 ||
        json_integer_value(x) > INT32_MAX)
      return hy_fail(HY_EDATA, "%s: ids[%zu] is not a token id", where, i);
    hy_ids_add(out, (int32_t)json_integer_value(x));
  }
  return HY_OK;
}

static int
check(const hy_ids *v, const char *where, int64_t vocab)
{
  if (v->n == 0)
    return hy_fail(HY_EDATA, "%s: an empty prompt; give at least one token",
                   where);
  for (size_t i = 0; i < v->n; i++)
    if (v->id[i] < 0 || v->id[i] >= vocab)
      return hy_fail(HY_EDATA,
                     "%s: id %d is not below the model's vocabulary of %lld; "
                     "another tokenizer?",
                     where, v->id[i], (long long)vocab);
  return HY_OK;
}

static hy_ids *
add_prompt(hy_prompts *p)
{
  size_t n = (size_t)p->n + 1;

  p->id = hy_realloc(p->id, n * sizeof *p->id);
  p->stop = hy_realloc(p->stop, n * sizeof *p->stop);
  p->id[p->n] = (hy_ids){0};
  p->stop[p->n] = -1;
  return &p->id[p->n++];
}

static int
add_line(reading *r, const char *where, const json_t *line)
{
  hy_prompts *p = r->p;
  hy_ids *v = add_prompt(p);
  const json_t *text = json_object_get(line, "text");
  int err;

  if (json_is_string(text)) {
    err = add_text(r, v, where, json_string_value(text),
                   json_string_length(text), 1);
  } else if (json_object_get(line, "messages")) {
    err = add_chat(r, v, where, line);
    p->stop[p->n - 1] = r->stop;
  } else if (json_is_array(json_object_get(line, "ids"))) {
    err = add_ids(v, where, json_object_get(line, "ids"));
  } else {
    err = hy_fail(HY_EDATA, "%s: neither \"text\" nor \"messages\" nor \"ids\"",
                  where);
  }
  return err ? err : check(v, where, r->vocab);
}

static int
read_lines(reading *r, const char *path)
{
  hy_buf text = {0};
  int err = hy_file_read(path, &text);
  const char *s = text.data, *stop = s ? s + text.len : s;

  for (long n = 1; !err && s < stop; n++) {
    const char *end = memchr(s, '\n', (size_t)(stop - s));
    char *where = hy_asprintf("%s:%ld", path, n);
    json_error_t why;
    json_t *line;

    end = end ? end : stop;
    line = json_loadb(s, (size_t)(end - s),
                      JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
    err = line ? add_line(r, where, line)
               : hy_fail(HY_EDATA, "%s: not JSON: %s", where, why.text);
    json_decref(line);
    free(where);
    s = end + 1;
  }
  if (!err && r->p->n == 0)
    err = hy_fail(HY_EDATA, "%s: no prompts in it", path);
  free(text.data);
  return err;
}

int
hy_prompts_read(hy_prompts *p, const hy_deck_generate *d, hy_tok *tok,
                const char *path, int64_t vocab)
{
  reading r = {
      .p = p, .d = d, .tok = tok, .path = path, .vocab = vocab, .stop = -1};
  hy_ids *v;
  int err = HY_OK;

  *p = (hy_prompts){0};
  if (!d->prompt[0] == !d->input[0])
    return hy_fail(HY_EDECK, "generate: give one of generate.prompt (a text) "
                             "and generate.input (JSON lines)");
  if (d->template[0])
    err = find_chat(&r);
  if (err)
    return err;
  if (d->input[0])
    return read_lines(&r, d->input);
  v = add_prompt(p);
  err = add_text(&r, v, "generate.prompt", d->prompt, strlen(d->prompt), 1);
  return err ? err : check(v, "generate.prompt", vocab);
}

void
hy_prompts_free(hy_prompts *p)
{
  for (int64_t i = 0; i < p->n; i++)
    free(p->id[i].id);
  free(p->id);
  free(p->stop);
  *p = (hy_prompts){0};
}

int
hy_prompts_line(hy_buf *out, const hy_tok *tok, const int32_t *id, size_t n)
{
  json_t *line = json_object(), *ids = json_array();
  hy_buf text = {0};
  char *s;
  int err = HY_OK;

  for (size_t i = 0; i < n; i++)
    json_array_append_new(ids, json_integer(id[i]));
  hy_buf_add(&text, "", 0);
  if (tok)
    err = hy_tok_decode(tok, id, n, 0, &text);
  if (tok)
    json_object_set_new(line, "text", json_stringn(text.data, text.len));
  json_object_set_new(line, "ids", ids);
  s = json_dumps(line, JSON_COMPACT);
  hy_buf_printf(out, "%s\n", s ? s : "{}");
  free(s);
  json_decref(line);
  free(text.data);
  return err;
}
