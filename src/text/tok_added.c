/* tok_added.c: added tokens are found in the text before it is split.
 *
 * First those that are not `normalized` in the text as it is, then, in what
 * lies between, the others in the normalized text. Leftmost first, longest
 * first. Source of the rules: the `tokenizers` package. */
#include "text/tok.h"
#include "base/err.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int32_t
node_new(hy_tok_trie *trie, unsigned char byte)
{
  if (trie->n == trie->cap) {
    trie->cap = trie->cap ? 2 * trie->cap : 64;
    trie->node = hy_realloc(trie->node, (size_t)trie->cap * sizeof *trie->node);
  }
  trie->node[trie->n] = (hy_tok_node){-1, -1, -1, byte};
  return trie->n++;
}

static int32_t
child_of(const hy_tok_trie *trie, int32_t i, unsigned char byte)
{
  int32_t c = trie->node[i].child;

  while (c >= 0 && trie->node[c].byte != byte)
    c = trie->node[c].next;
  return c;
}

void
hy_tok_trie_add(hy_tok_trie *trie, const char *s, size_t n, int32_t added)
{
  int32_t at = 0;

  if (n == 0)
    return;
  if (trie->n == 0)
    node_new(trie, 0);
  trie->first[(unsigned char)s[0]] = 1;
  for (size_t i = 0; i < n; i++) {
    int32_t c = child_of(trie, at, (unsigned char)s[i]);

    if (c < 0) {
      c = node_new(trie, (unsigned char)s[i]);
      trie->node[c].next = trie->node[at].child;
      trie->node[at].child = c;
    }
    at = c;
  }
  if (trie->node[at].added < 0)
    trie->node[at].added = added;
}

int32_t
hy_tok_trie_find(const hy_tok_trie *trie, const char *s, size_t n, size_t *len)
{
  int32_t at = 0, found = -1;

  for (size_t i = 0; i < n; i++) {
    at = child_of(trie, at, (unsigned char)s[i]);
    if (at < 0)
      break;
    if (trie->node[at].added >= 0) {
      found = trie->node[at].added;
      *len = i + 1;
    }
  }
  return found;
}

int
hy_tok_nfc(const char *text, size_t n, hy_buf *out)
{
  utf8proc_uint8_t *nfc;
  utf8proc_ssize_t len;
  size_t i = 0;

  /* below U+0300 every text is in NFC */
  while (i < n && (unsigned char)text[i] < 0xCC)
    i++;
  if (i == n) {
    hy_buf_add(out, text, n);
    return HY_OK;
  }
  len = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &nfc,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (len < 0)
    return hy_fail(HY_EDATA, "tokenizer: NFC of %zu bytes: %s; cut the text", n,
                   utf8proc_errmsg(len));
  hy_buf_add(out, nfc, (size_t)len);
  free(nfc);
  return HY_OK;
}

/* Start of the character that ends at s + n. */
static size_t
last_char(const char *s, size_t n)
{
  do
    n--;
  while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80);
  return n;
}

static int
stands_alone(hy_tok *t, const char *s, size_t n, size_t from, size_t to)
{
  size_t prev = from > 0 ? last_char(s, from) : 0;

  return !(from > 0 && hy_tok_is_word(t, s + prev, from - prev)) &&
         !(to < n && hy_tok_is_word(t, s + to, n - to));
}

/* Take spaces on the left (not before `done`) and right as the token asks. */
static void
strip(const hy_tok_added *a, const char *s, size_t n, size_t done, size_t *from,
      size_t *to)
{
  while (a->lstrip && *from > done) {
    size_t prev = last_char(s, *from);

    if (!hy_tok_is_space(hy_utf8_code(s + prev)))
      break;
    *from = prev;
  }
  while (a->rstrip && *to < n && hy_tok_is_space(hy_utf8_code(s + *to))) {
    int ok;

    *to += hy_utf8_next(s + *to, n - *to, &ok);
  }
}

typedef int between_fn(hy_tok *t, const char *s, size_t n, int plain,
                       hy_ids *out);

static int
split_added(hy_tok *t, const hy_tok_trie *trie, const char *s, size_t n,
            int plain, hy_ids *out, between_fn *between)
{
  size_t done = 0, at = 0, len = 0;
  int err = HY_OK;

  while (at < n && !err && trie->n) {
    int32_t k = -1;
    size_t from = at, to;
    const hy_tok_added *a;

    if (trie->first[(unsigned char)s[at]])
      k = hy_tok_trie_find(trie, s + at, n - at, &len);
    if (k < 0) {
      at++;
      continue;
    }
    a = &t->added[k];
    at = to = from + len;
    if ((plain && a->special) ||
        (a->single_word && !stands_alone(t, s, n, from, to)))
      continue;
    strip(a, s, n, done, &from, &to);
    if (from > done)
      err = between(t, s + done, from - done, plain, out);
    hy_ids_add(out, a->id);
    done = to;
  }
  if (!err && done < n)
    err = between(t, s + done, n - done, plain, out);
  return err;
}

static int
text_piece(hy_tok *t, const char *s, size_t n, int plain, hy_ids *out)
{
  (void)plain;
  return hy_tok_pieces(t, 0, s, n, out);
}

static int
normal_piece(hy_tok *t, const char *s, size_t n, int plain, hy_ids *out)
{
  hy_buf b = {0};
  int err = HY_OK;

  if (t->nfc) {
    err = hy_tok_nfc(s, n, &b);
    s = b.data;
    n = b.len;
  }
  if (!err)
    err = split_added(t, &t->normal, s, n, plain, out, text_piece);
  free(b.data);
  return err;
}

int
hy_tok_text(hy_tok *t, const char *text, size_t n, int plain, hy_ids *out)
{
  return split_added(t, &t->raw, text, n, plain, out, normal_piece);
}
