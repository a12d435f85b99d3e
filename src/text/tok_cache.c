/* tok_cache.c: pieces of text met before, and their ids. Text repeats itself:
 * nearly all pieces are found here. */
#include "text/tok.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS_LOG 16
#define PAIRS (1u << PAIRS_LOG)
#define WIDE (1u << 12)
#define POOL (1 << 18)
#define SHORT 15 /* bytes of a piece that fit into a key */

void
hy_tok_cache_new(hy_tok_cache *c)
{
  c->slot = hy_calloc(2 * PAIRS, sizeof *c->slot);
  c->wide = hy_calloc(WIDE, sizeof *c->wide);
  c->pool = hy_malloc(POOL * sizeof *c->pool);
}

void
hy_tok_cache_free(hy_tok_cache *c)
{
  free(c->slot);
  free(c->wide);
  free(c->pool);
  free(c->work.id);
}

static inline void
put_all(hy_ids *out, const int32_t *id, int32_t n)
{
  if (out->n + (size_t)n > out->cap) {
    for (int32_t i = 0; i < n; i++)
      hy_ids_add(out, id[i]);
    return;
  }
  for (int32_t i = 0; i < n; i++)
    out->id[out->n++] = id[i];
}

/* Bytes of a short piece and its length. */
static inline void
key_of(uint64_t key[2], const char *s, size_t n, const char *end)
{
  unsigned char b[16] = {0};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if (end - s >= 16) {
    /* read past the piece, then clear what is not of it */
    memcpy(key, s, 16);
    if (n < 8) {
      key[0] &= ((uint64_t)1 << 8 * n) - 1;
      key[1] = 0;
    } else {
      key[1] &= ((uint64_t)1 << 8 * (n - 8)) - 1;
    }
    key[1] |= (uint64_t)n << 56;
    return;
  }
#endif
  memcpy(b, s, n);
  b[15] = (unsigned char)n;
  memcpy(key, b, 16);
}

/* A slot gets the ids that a slow way has found. */
static void
fill(hy_tok_cache *c, hy_tok_slot *slot, const uint64_t key[2])
{
  int32_t n = (int32_t)c->work.n;

  if (n > 3 && c->n_pool + n > POOL) {
    memset(c->slot, 0, 2 * PAIRS * sizeof *c->slot);
    c->n_pool = 0;
  }
  slot[1] = slot[0];
  *slot = (hy_tok_slot){{key[0], key[1]}, n, {0}};
  if (n <= 3) {
    memcpy(slot->id, c->work.id, (size_t)n * sizeof *slot->id);
    return;
  }
  slot->id[0] = c->n_pool;
  memcpy(c->pool + c->n_pool, c->work.id, (size_t)n * sizeof *c->pool);
  c->n_pool += n;
}

static void
wide_piece(hy_tok *t, const char *s, size_t n, hy_ids *out)
{
  hy_tok_cache *c = &t->cache;
  uint64_t h = 0, word;
  hy_tok_wide *w;

  for (size_t i = 0; i + 8 <= n; i += 8) {
    memcpy(&word, s + i, 8);
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  memcpy(&word, s + n - 8, 8);
  h = (h ^ word ^ n) * 0x9e3779b97f4a7c15u;
  w = &c->wide[h >> 32 & (WIDE - 1)];
  if (w->hash != (uint32_t)h || w->len != n || memcmp(w->text, s, n)) {
    c->work.n = 0;
    hy_tok_bpe(t, s, n, &c->work);
    if (c->work.n > sizeof w->id / sizeof w->id[0]) {
      put_all(out, c->work.id, (int32_t)c->work.n);
      return;
    }
    w->hash = (uint32_t)h;
    w->len = (unsigned char)n;
    w->n = (unsigned char)c->work.n;
    memcpy(w->text, s, n);
    memcpy(w->id, c->work.id, c->work.n * sizeof *w->id);
  }
  put_all(out, w->id, w->n);
}

void
hy_tok_piece(hy_tok *t, const char *s, size_t n, const char *end, hy_ids *out)
{
  hy_tok_cache *c = &t->cache;
  hy_tok_slot *slot;
  uint64_t key[2], h;

  if (n > SHORT) {
    if (n <= sizeof c->wide->text)
      wide_piece(t, s, n, out);
    else
      hy_tok_bpe(t, s, n, out);
    return;
  }
  key_of(key, s, n, end);
  h = (key[0] ^ key[1] * 0xff51afd7ed558ccdu) * 0x9e3779b97f4a7c15u;
  h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
  slot = &c->slot[2 * (h >> (64 - PAIRS_LOG))];
  if (slot->key[0] != key[0] || slot->key[1] != key[1]) {
    if (slot[1].key[0] == key[0] && slot[1].key[1] == key[1]) {
      slot++;
    } else {
      c->work.n = 0;
      hy_tok_bpe(t, s, n, &c->work);
      fill(c, slot, key);
    }
  }
  put_all(out, slot->n > 3 ? c->pool + slot->id[0] : slot->id, slot->n);
}
