#include "gen/prompts.h"
#include "base/err.h"
#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int
no_tokenizer(const char *where)
{
  return hy_fail(HY_EDECK,
                 "%s: a text prompt, and no tokenizer.json beside model.from; "
                 "set generate.tokenizer",
                 where);
}

static int
add_text(hy_ids *out, hy_tok *tok, const char *where, const char *text,
         size_t n)
{
  if (!tok)
    return no_tokenizer(where);
  return hy_tok_encode(tok, text, n, 0, out, NULL);
}

static int
add_json(hy_ids *out, hy_tok *tok, const char *where, const json_t *line)
{
  const json_t *text = json_object_get(line, "text");
  const json_t *ids = json_object_get(line, "ids");

  if (json_is_string(text))
    return add_text(out, tok, where, json_string_value(text),
                    json_string_length(text));
  if (!json_is_array(ids))
    return hy_fail(HY_EDATA, "%s: neither \"text\" nor \"ids\"", where);
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
  p->id = hy_realloc(p->id, (size_t)(p->n + 1) * sizeof *p->id);
  p->id[p->n] = (hy_ids){0};
  return &p->id[p->n++];
}

static int
read_lines(hy_prompts *p, const char *path, hy_tok *tok, int64_t vocab)
{
  hy_buf text = {0};
  int err = hy_file_read(path, &text);
  long n = 0;

  for (char *s = text.data; !err && s && *s; n++) {
    char *end = strchr(s, '\n'), *where;
    size_t len = end ? (size_t)(end - s) : strlen(s);
    json_error_t why;
    json_t *line;

    where = hy_asprintf("%s:%ld", path, n + 1);
    line = json_loadb(s, len, JSON_ALLOW_NUL, &why);
    if (line) {
      hy_ids *v = add_prompt(p);

      err = add_json(v, tok, where, line);
      if (!err)
        err = check(v, where, vocab);
    } else
      err = hy_fail(HY_EDATA, "%s: not JSON: %s", where, why.text);
    json_decref(line);
    free(where);
    s = end ? end + 1 : NULL;
  }
  if (!err && p->n == 0)
    err = hy_fail(HY_EDATA, "%s: no prompts in it", path);
  free(text.data);
  return err;
}

int
hy_prompts_read(hy_prompts *p, const hy_deck_generate *d, hy_tok *tok,
                int64_t vocab)
{
  hy_ids *v;
  int err;

  *p = (hy_prompts){0};
  if (!d->prompt[0] == !d->input[0])
    return hy_fail(HY_EDECK, "generate: give one of generate.prompt (a text) "
                             "and generate.input (JSON lines)");
  if (d->input[0])
    return read_lines(p, d->input, tok, vocab);
  v = add_prompt(p);
  err = add_text(v, tok, "generate.prompt", d->prompt, strlen(d->prompt));
  return err ? err : check(v, "generate.prompt", vocab);
}

void
hy_prompts_free(hy_prompts *p)
{
  for (int64_t i = 0; i < p->n; i++)
    free(p->id[i].id);
  free(p->id);
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
