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

  if ((size_t)t->len[id] > t->longest)
    t->longest = (size_t)t->len[id];
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

static int32_t
byte_token(const hy_tok *t, char c)
{
  int32_t id = t->byte_id[(unsigned char)c];

  return id >= 0 ? id : t->unk;
}

/* Candidates in a heap of 4 children each: rank, then place, in one number. */
static void
heap_push(uint64_t *h, size_t *n, uint64_t c)
{
  size_t i = (*n)++;

  for (; i > 0 && c < h[(i - 1) / 4]; i = (i - 1) / 4)
    h[i] = h[(i - 1) / 4];
  h[i] = c;
}

static uint64_t
heap_pop(uint64_t *h, size_t *n)
{
  uint64_t top = h[0], last = h[--*n];
  size_t i = 0, k;

  for (; (k = 4 * i + 1) < *n; i = k) {
    size_t stop = k + 4 < *n ? k + 4 : *n;

    for (size_t j = k + 1; j < stop; j++)
      if (h[j] < h[k])
        k = j;
    if (last <= h[k])
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
  if (!m)
    return;
  if (*n_heap == t->n_heap) {
    t->n_heap = t->n_heap ? t->n_heap + t->n_heap / 2 : 1024;
    t->heap = hy_realloc(t->heap, t->n_heap * sizeof *t->heap);
  }
  heap_push(t->heap, n_heap, (uint64_t)m->rank << 32 | (uint32_t)pos);
}

/* Lowest rank first, leftmost first among equals: O(n log n). */
static void
merge_heap(hy_tok *t, int32_t n)
{
  size_t n_heap = 0;

  for (int32_t i = 0; i + 1 < n; i++)
    offer(t, i, &n_heap);
  while (n_heap) {
    uint64_t c = heap_pop(t->heap, &n_heap);
    int32_t pos = (int32_t)(uint32_t)c;
    hy_tok_sym *s = &t->sym[pos], *r;
    const hy_tok_merge *m;

    if (s->id < 0 || s->next < 0)
      continue; /* swallowed since */
    r = &t->sym[s->next];
    m = merge_find(t, s->id, r->id);
    if (!m || (uint64_t)m->rank != c >> 32)
      continue; /* a neighbour has changed since */
    s->id = m->id;
    s->next = r->next;
    r->id = -1;
    if (s->next >= 0)
      t->sym[s->next].prev = pos;
    offer(t, pos, &n_heap);
    if (s->prev >= 0)
      offer(t, s->prev, &n_heap);
  }
}

#define KEPT (1u << 20) /* symbols whose memory is kept for the next piece */

static void
merge_long(hy_tok *t, const char *s, size_t n, hy_ids *out)
{
  int32_t n_sym = 0;

  if (n > t->n_sym) {
    t->n_sym = n;
    free(t->sym);
    t->sym = hy_malloc(n * sizeof *t->sym);
  }
  for (size_t i = 0; i < n; i++, n_sym++)
    t->sym[n_sym] = (hy_tok_sym){byte_token(t, s[i]), n_sym - 1, n_sym + 1};
  t->sym[n_sym - 1].next = -1;
  merge_heap(t, n_sym);
  for (int32_t i = 0; i >= 0; i = t->sym[i].next)
    hy_ids_add(out, t->sym[i].id);
  if (n > KEPT) {
    free(t->sym);
    free(t->heap);
    t->sym = NULL;
    t->heap = NULL;
    t->n_sym = t->n_heap = 0;
  }
}

#define SCAN_MAX 48

/* The same for the short pieces that nearly all are: the ranks of all pairs
 * stand in a row, the lowest is looked for each time. */
static void
merge_short(const hy_tok *t, const char *s, size_t n, hy_ids *out)
{
  const hy_tok_merge *pair[SCAN_MAX]; /* of id[i] and id[i + 1] */
  int32_t id[SCAN_MAX];

  for (size_t i = 0; i < n; i++)
    id[i] = byte_token(t, s[i]);
  for (size_t i = 0; i + 1 < n; i++)
    pair[i] = merge_find(t, id[i], id[i + 1]);
  while (n > 1) {
    const hy_tok_merge *best = NULL;
    size_t at = 0;

    for (size_t i = 0; i + 1 < n; i++)
      if (pair[i] && (!best || pair[i]->rank < best->rank)) {
        best = pair[i];
        at = i;
      }
    if (!best)
      break;
    id[at] = best->id;
    memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
    memmove(pair + at, pair + at + 1, (n - at - 2) * sizeof *pair);
    n--;
    if (at + 1 < n)
      pair[at] = merge_find(t, id[at], id[at + 1]);
    if (at > 0)
      pair[at - 1] = merge_find(t, id[at - 1], id[at]);
  }
  for (size_t i = 0; i < n; i++)
    hy_ids_add(out, id[i]);
}

void
hy_tok_bpe(hy_tok *t, const char *s, size_t n, hy_ids *out)
{
  int32_t whole = -1;

  if (t->ignore_merges && n <= t->longest)
    whole = hy_tok_entry_find(t, s, n);
  if (whole >= 0)
    hy_ids_add(out, whole);
  else if (n > SCAN_MAX)
    merge_long(t, s, n, out);
  else
    merge_short(t, s, n, out);
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
