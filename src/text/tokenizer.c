#include "text/tokenizer.h"
#include "base/err.h"
#include "text/tok.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

void
hy_ids_add(hy_ids *v, int32_t id)
{
  if (v->n == v->cap) {
    v->cap = v->cap ? v->cap + v->cap / 2 : 256;
    v->id = hy_realloc(v->id, v->cap * sizeof *v->id);
  }
  v->id[v->n++] = id;
}

int
hy_tok_open(hy_tok **out, const char *path)
{
  hy_tok *t = hy_calloc(1, sizeof *t);
  int err;

  t->eos = t->bos = t->unk = -1;
  hy_tok_cache_new(&t->cache);
  t->class = hy_malloc(HY_TOK_CODES);
  hy_tok_classes(t->class);
  t->md = pcre2_match_data_create(1, NULL);
  t->mc = pcre2_match_context_create(NULL);
  t->stack = pcre2_jit_stack_create(1 << 15, 1 << 26, NULL);
  if (!t->md || !t->mc || !t->stack)
    err = hy_fail(HY_ERES, "tokenizer: no memory for the regex engine; free "
                           "some memory");
  else {
    pcre2_jit_stack_assign(t->mc, NULL, t->stack);
    err = hy_tok_load(t, path);
  }
  if (err) {
    hy_tok_free(t);
    t = NULL;
  }
  *out = t;
  return err;
}

void
hy_tok_free(hy_tok *t)
{
  if (!t)
    return;
  for (int i = 0; i < t->n_steps; i++)
    pcre2_code_free(t->step[i].re);
  pcre2_code_free(t->word);
  pcre2_match_data_free(t->md);
  pcre2_match_context_free(t->mc);
  pcre2_jit_stack_free(t->stack);
  for (int32_t i = 0; i < t->n_added; i++) {
    free(t->added[i].content);
    free(t->added[i].text);
  }
  free(t->added);
  free(t->raw.node);
  free(t->normal.node);
  free(t->bytes);
  free(t->off);
  free(t->len);
  free(t->special);
  free(t->entry);
  free(t->merge);
  hy_tok_cache_free(&t->cache);
  free(t->class);
  free(t->sym);
  free(t->heap);
  free(t->before.id);
  free(t->after.id);
  free(t);
}

#define TEXT_MAX ((size_t)INT32_MAX / 4)

static int
too_long(size_t n)
{
  return hy_fail(HY_EDATA,
                 "tokenizer: a text of %zu bytes; cut it into "
                 "documents of less than 512 MiB",
                 n);
}

int
hy_tok_encode(hy_tok *t, const char *text, size_t n, int plain, hy_ids *out,
              int64_t *n_bad)
{
  hy_buf b = {0};
  int err;

  if (n > TEXT_MAX)
    return too_long(n);
  if (!hy_utf8_ok(text, n)) {
    int64_t bad = hy_utf8_repair(text, n, &b);

    if (n_bad)
      *n_bad += bad;
    text = b.data;
    n = b.len;
  }
  err = hy_tok_text(t, text, n, plain, &(hy_tok_sink){out, NULL, text, 0, 0});
  free(b.data);
  return err;
}

int
hy_tok_encode_at(hy_tok *t, const char *text, size_t n, int plain, hy_ids *out,
                 hy_tok_places *at)
{
  if (n > TEXT_MAX)
    return too_long(n);
  if (!hy_utf8_ok(text, n))
    return hy_fail(HY_EDATA, "tokenizer: a text is no UTF-8; correct the text");
  return hy_tok_text(t, text, n, plain, &(hy_tok_sink){out, at, text, 0, 0});
}

void
hy_tok_around(const hy_tok *t, const int32_t **before, int *n_before,
              const int32_t **after, int *n_after)
{
  *before = t->before.id;
  *n_before = (int)t->before.n;
  *after = t->after.id;
  *n_after = (int)t->after.n;
}

int
hy_tok_decode(const hy_tok *t, const int32_t *ids, size_t n, int skip_special,
              hy_buf *out)
{
  hy_buf b = {0};
  int err = HY_OK;

  hy_buf_add(out, "", 0);
  for (size_t i = 0; i < n && !err; i++) {
    if (ids[i] < 0 || ids[i] >= t->n || t->len[ids[i]] < 0)
      err = hy_fail(HY_EDATA,
                    "tokenizer: no token has the id %d (number %zu of %zu); "
                    "use the tokenizer that made the ids",
                    (int)ids[i], i + 1, n);
    else if (!skip_special || !t->special[ids[i]])
      hy_buf_add(&b, t->bytes + t->off[ids[i]], (size_t)t->len[ids[i]]);
  }
  if (!err && b.len)
    hy_utf8_repair(b.data, b.len, out);
  free(b.data);
  return err;
}

int64_t
hy_tok_n(const hy_tok *t)
{
  return t->n;
}

int32_t
hy_tok_find(const hy_tok *t, const char *content)
{
  size_t n = strlen(content);
  hy_buf b = {0};
  int32_t id = -1;

  for (int32_t i = 0; i < t->n_added; i++)
    if (!strcmp(t->added[i].content, content))
      return t->added[i].id;
  if (hy_utf8_ok(content, n) && hy_tok_unmap(content, n, &b))
    id = hy_tok_entry_find(t, b.data ? b.data : "", b.len);
  free(b.data);
  return id;
}

int32_t
hy_tok_eos(const hy_tok *t)
{
  return t->eos;
}

int32_t
hy_tok_bos(const hy_tok *t)
{
  return t->bos;
}

const char *
hy_tok_hash(const hy_tok *t)
{
  return t->hash;
}
