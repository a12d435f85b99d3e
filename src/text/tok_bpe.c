/* tok_bpe.c: the vocabulary, the merges, and the merging of one piece. */
#include "text/tok.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a, then mixed so that the low bits are good. */
static uint32_t
hash_bytes(const char *s, size_t n)
{
  uint64_t h = 0xcbf29ce484222325u;

  for (size_t i = 0; i < n; i++)
    h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
  return (uint32_t)(h ^ h >> 32);
}

static uint32_t
hash_pair(uint64_t key)
{
  key *= 0x9e3779b97f4a7c15u;
  return (uint32_t)(key >> 32);
}

static uint32_t
table_size(size_t n)
{
  uint32_t size = 64;

  while (size < 2 * n)
    size *= 2;
  return size;
}

void
hy_tok_entries_new(hy_tok *t, size_t n)
{
  uint32_t size = table_size(n);

  t->entry = hy_malloc(size * sizeof *t->entry);
  memset(t->entry, -1, size * sizeof *t->entry);
  t->entry_mask = size - 1;
}

void
hy_tok_entry_add(hy_tok *t, int32_t id)
{
  uint32_t i = hash_bytes(t->bytes + t->off[id], (size_t)t->len[id]);

  while (t->entry[i & t->entry_mask] >= 0)
    i++;
  t->entry[i & t->entry_mask] = id;
}

int32_t
hy_tok_entry_find(const hy_tok *t, const char *s, size_t n)
{
  for (uint32_t i = hash_bytes(s, n);; i++) {
    int32_t id = t->entry[i & t->entry_mask];

    if (id < 0 ||
        ((size_t)t->len[id] == n && !memcmp(t->bytes + t->off[id], s, n)))
      return id;
  }
}

void
hy_tok_merges_new(hy_tok *t, size_t n)
{
  uint32_t size = table_size(n);

  t->merge = hy_malloc(size * sizeof *t->merge);
  for (uint32_t i = 0; i < size; i++)
    t->merge[i].key = HY_TOK_NO_KEY;
  t->merge_mask = size - 1;
}

static uint64_t
pair_key(int32_t left, int32_t right)
{
  return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* A pair listed twice keeps its last place, as in the reference. */
void
hy_tok_merge_add(hy_tok *t, int32_t left, int32_t right, int32_t rank,
                 int32_t id)
{
  uint64_t key = pair_key(left, right);
  uint32_t i = hash_pair(key);

  while (t->merge[i & t->merge_mask].key != HY_TOK_NO_KEY &&
         t->merge[i & t->merge_mask].key != key)
    i++;
  t->merge[i & t->merge_mask] = (hy_tok_merge){key, rank, id};
}

static const hy_tok_merge *
merge_find(const hy_tok *t, int32_t left, int32_t right)
{
  uint64_t key = pair_key(left, right);

  for (uint32_t i = hash_pair(key);; i++) {
    const hy_tok_merge *m = &t->merge[i & t->merge_mask];

    if (m->key == key)
      return m;
    if (m->key == HY_TOK_NO_KEY)
      return NULL;
  }
}

/* ---- one piece ---- */

static int
before(const hy_tok_cand *a, const hy_tok_cand *b)
{
  return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

static void
heap_push(hy_tok_cand *h, size_t *n, hy_tok_cand c)
{
  size_t i = (*n)++;

  for (; i > 0 && before(&c, &h[(i - 1) / 2]); i = (i - 1) / 2)
    h[i] = h[(i - 1) / 2];
  h[i] = c;
}

static hy_tok_cand
heap_pop(hy_tok_cand *h, size_t *n)
{
  hy_tok_cand top = h[0], last = h[--*n];
  size_t i = 0, k;

  for (; (k = 2 * i + 1) < *n; i = k) {
    if (k + 1 < *n && before(&h[k + 1], &h[k]))
      k++;
    if (!before(&h[k], &last))
      break;
    h[i] = h[k];
  }
  h[i] = last;
  return top;
}

/* The pair at pos and its right neighbour becomes a candidate. */
static void
offer(hy_tok *t, int32_t pos, size_t *n_heap)
{
  const hy_tok_sym *s = &t->sym[pos];
  const hy_tok_merge *m;

  if (s->next < 0)
    return;
  m = merge_find(t, s->id, t->sym[s->next].id);
  if (m)
    heap_push(t->heap, n_heap, (hy_tok_cand){m->rank, pos, m->id});
}

/* Lowest rank first, leftmost first among equals: O(n log n). */
static void
merge_heap(hy_tok *t, int32_t n)
{
  size_t n_heap = 0;

  for (int32_t i = 0; i + 1 < n; i++)
    offer(t, i, &n_heap);
  while (n_heap) {
    hy_tok_cand c = heap_pop(t->heap, &n_heap);
    hy_tok_sym *s = &t->sym[c.pos], *r;
    const hy_tok_merge *m;

    if (s->id < 0 || s->next < 0)
      continue; /* swallowed since */
    r = &t->sym[s->next];
    m = merge_find(t, s->id, r->id);
    if (!m || m->id != c.id)
      continue; /* a neighbour has changed since */
    s->id = c.id;
    s->next = r->next;
    r->id = -1;
    if (s->next >= 0)
      t->sym[s->next].prev = c.pos;
    offer(t, c.pos, &n_heap);
    if (s->prev >= 0)
      offer(t, s->prev, &n_heap);
  }
}

/* The same by scanning, for the short pieces that nearly all are. */
static size_t
merge_scan(const hy_tok *t, int32_t *id, size_t n)
{
  while (n > 1) {
    const hy_tok_merge *best = NULL;
    size_t at = 0;

    for (size_t i = 0; i + 1 < n; i++) {
      const hy_tok_merge *m = merge_find(t, id[i], id[i + 1]);

      if (m && (!best || m->rank < best->rank)) {
        best = m;
        at = i;
      }
    }
    if (!best)
      break;
    id[at] = best->id;
    memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
    n--;
  }
  return n;
}

#define SCAN_MAX 24

static void
merge_long(hy_tok *t, const char *s, size_t n, hy_ids *out)
{
  int32_t n_sym = 0;

  if (n > t->n_sym) {
    t->n_sym = n + n / 2;
    t->sym = hy_realloc(t->sym, t->n_sym * sizeof *t->sym);
    /* n - 1 first candidates, at most two more for each of n - 1 merges */
    t->heap = hy_realloc(t->heap, 3 * t->n_sym * sizeof *t->heap);
  }
  for (size_t i = 0; i < n; i++, n_sym++) {
    int32_t id = t->byte_id[(unsigned char)s[i]];

    t->sym[n_sym] = (hy_tok_sym){id >= 0 ? id : t->unk, n_sym - 1, n_sym + 1};
  }
  t->sym[n_sym - 1].next = -1;
  merge_heap(t, n_sym);
  for (int32_t i = 0; i >= 0; i = t->sym[i].next)
    hy_ids_add(out, t->sym[i].id);
}

void
hy_tok_bpe(hy_tok *t, const char *s, size_t n, hy_ids *out)
{
  int32_t id[SCAN_MAX], whole = -1;
  hy_tok_slot *c;

  if (t->ignore_merges)
    whole = hy_tok_entry_find(t, s, n);
  if (whole >= 0 || n == 0) {
    if (n)
      hy_ids_add(out, whole);
    return;
  }
  if (n > SCAN_MAX) {
    merge_long(t, s, n, out);
    return;
  }
  c = &t->slot[hash_bytes(s, n) % HY_TOK_SLOTS];
  if (c->len != n || memcmp(c->text, s, n)) {
    size_t n_id = n;

    for (size_t i = 0; i < n; i++) {
      id[i] = t->byte_id[(unsigned char)s[i]];
      if (id[i] < 0)
        id[i] = t->unk;
    }
    n_id = merge_scan(t, id, n);
    if (n_id > sizeof c->id / sizeof c->id[0]) {
      for (size_t i = 0; i < n_id; i++)
        hy_ids_add(out, id[i]);
      return;
    }
    c->len = (unsigned char)n;
    c->n = (unsigned char)n_id;
    memcpy(c->text, s, n);
    memcpy(c->id, id, n_id * sizeof *id);
  }
  for (int i = 0; i < c->n; i++)
    hy_ids_add(out, c->id[i]);
}

void
hy_tok_bpe_places(const hy_tok *t, const char *s, size_t n, size_t done,
                  const hy_tok_sink *out)
{
  hy_ids all = *out->ids;
  hy_tok_sink one = *out;

  out->ids->n = done; /* they are put again, with places */
  for (size_t i = done; i < all.n; i++) {
    int32_t id = all.id[i];
    size_t len = i + 1 == all.n             ? n
                 : t->holes && id == t->unk ? 1
                                            : (size_t)t->len[id];

    hy_tok_put(&one, id, s, len);
    s += len;
    n -= len;
  }
}

/* ---- the byte-level alphabet ---- */

static int
is_printable(uint32_t c)
{
  return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) ||
         (c >= 0xAE && c <= 0xFF);
}

int
hy_tok_byte(uint32_t c)
{
  uint32_t k = c - 256;

  if (c < 256)
    return is_printable(c) ? (int)c : -1;
  /* bytes that do not print stand in order at U+0100 and after: 00..20,
   * 7F..A0, AD */
  if (k < 33)
    return (int)k;
  if (k < 67)
    return (int)(0x7F + k - 33);
  return k == 67 ? 0xAD : -1;
}

int
hy_tok_unmap(const char *s, size_t n, hy_buf *out)
{
  size_t start = out->len;
  int ok = 1;

  for (size_t i = 0; i < n; i += hy_utf8_next(s + i, n - i, &ok)) {
    int b = hy_tok_byte(hy_utf8_code(s + i));
    char ch = (char)b;

    if (b < 0) {
      out->len = start;
      hy_buf_add(out, s, n);
      return 0;
    }
    hy_buf_add(out, &ch, 1);
  }
  return 1;
}
