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

/* Take spaces on the left (not before `done`) and right as the token asks. One
 * that strips on the left and lies in what another has taken becomes empty. */
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
  if (a->lstrip && *from < done)
    *from = done;
  /* what the one before has stripped are spaces: not again, one by one */
  if (a->rstrip && *to < done)
    *to = done;
  while (a->rstrip && *to < n && hy_tok_is_space(hy_utf8_code(s + *to))) {
    int ok;

    *to += hy_utf8_next(s + *to, n - *to, &ok);
  }
}

void
hy_tok_put(const hy_tok_sink *out, int32_t id, const char *s, size_t n)
{
  hy_tok_places *at = out->at;
  int64_t from, to;

  hy_ids_add(out->ids, id);
  if (!at)
    return;
  if (at->n == at->cap) {
    at->cap = at->cap ? at->cap + at->cap / 2 : 256;
    at->v = hy_realloc(at->v, at->cap * sizeof *at->v);
  }
  from = out->base + (s - out->origin);
  to = from + (int64_t)n;
  /* an added space is read as part of the first byte */
  at->v[at->n++] =
      (hy_tok_place){(int32_t)(from > out->first ? from : out->first),
                     (int32_t)(to > out->first ? to : out->first + 1)};
}

typedef int between_fn(hy_tok *t, const char *s, size_t n, int plain,
                       const hy_tok_sink *out);

static int
split_added(hy_tok *t, const hy_tok_trie *trie, const char *s, size_t n,
            int plain, const hy_tok_sink *out, between_fn *between)
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
    if (from < to) {
      hy_tok_put(out, a->id, s + from, to - from);
      done = to;
    }
  }
  if (!err && done < n)
    err = between(t, s + done, n - done, plain, out);
  return err;
}

static int
text_piece(hy_tok *t, const char *s, size_t n, int plain,
           const hy_tok_sink *out)
{
  (void)plain;
  return hy_tok_pieces(t, 0, s, n, out);
}

static int
normal_piece(hy_tok *t, const char *s, size_t n, int plain,
             const hy_tok_sink *out)
{
  hy_tok_places *at = out->at;
  size_t done = at ? at->n : 0;
  hy_tok_bends bends = {0};
  hy_buf b = {0};
  hy_tok_sink in = {out->ids, at, NULL, 0, 0};
  int err;

  if (!t->nfc)
    return split_added(t, &t->normal, s, n, plain, out, text_piece);
  err = hy_tok_nfc(s, n, &b, at ? &bends : NULL);
  in.origin = b.data;
  if (!err)
    err = split_added(t, &t->normal, b.data, b.len, plain, &in, text_piece);
  if (!err && at)
    hy_tok_unbend(&bends, at->v + done, at->n - done,
                  out->base + (s - out->origin));
  free(bends.v);
  free(b.data);
  return err;
}

int
hy_tok_text(hy_tok *t, const char *text, size_t n, int plain,
            const hy_tok_sink *out)
{
  return split_added(t, &t->raw, text, n, plain, out, normal_piece);
}
