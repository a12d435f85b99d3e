#include "prep/curate_impl.h"
#include "base/mem.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- hashes ---- */

uint64_t
hy_hash_mix(uint64_t x)
{
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u; /* finish of splitmix64 */
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

uint64_t
hy_hash_bytes(const char *s, size_t n)
{
  uint64_t h = FNV_START;

  for (size_t i = 0; i < n; i++)
    h = (h ^ (unsigned char)s[i]) * FNV_PRIME; /* FNV-1a */
  return hy_hash_mix(h ^ n);
}

void
hy_hashes_clear(hy_hashes *s, size_t n)
{
  size_t room = 64;

  while (room < 2 * n)
    room *= 2;
  if (room > s->cap) {
    free(s->v);
    s->v = hy_malloc(room * sizeof *s->v);
    s->cap = room;
  }
  memset(s->v, 0, room * sizeof *s->v);
  s->mask = room - 1;
  s->n = 0;
}

/* The place of h, or the free one where it belongs. */
static uint64_t *
place(const hy_hashes *s, uint64_t h)
{
  size_t i = (size_t)h & s->mask;

  while (s->v[i] && s->v[i] != h)
    i = (i + 1) & s->mask;
  return &s->v[i];
}

static void
grow(hy_hashes *s)
{
  hy_hashes old = *s;

  *s = (hy_hashes){0};
  hy_hashes_clear(s, 2 * (old.n + 32));
  s->n = old.n;
  for (size_t i = 0; old.v && i <= old.mask; i++)
    if (old.v[i])
      *place(s, old.v[i]) = old.v[i];
  free(old.v);
}

int
hy_hashes_add(hy_hashes *s, uint64_t h)
{
  uint64_t *to;

  h += h == 0;
  if (!s->v || 2 * (s->n + 1) > s->mask + 1)
    grow(s);
  to = place(s, h);
  if (*to)
    return 0;
  *to = h;
  s->n++;
  return 1;
}

int
hy_hashes_has(const hy_hashes *s, uint64_t h)
{
  return s->n > 0 && *place(s, h + (h == 0));
}

void
hy_hashes_free(hy_hashes *s)
{
  free(s->v);
  *s = (hy_hashes){0};
}

/* ---- words ---- */

enum { DROP, SPACE, KEEP, ALONE };

/* Scripts whose words have no spaces between: Thai, Lao, Myanmar, Khmer, Han
 * and Kana. Source: The Unicode Standard, chapters 16 and 18. */
static int
no_spaces(uint32_t c)
{
  return (c >= 0x0E00 && c < 0x0F00) || (c >= 0x1000 && c < 0x10A0) ||
         (c >= 0x1780 && c < 0x1800) || (c >= 0x2E80 && c < 0xA000) ||
         (c >= 0xF900 && c < 0xFB00) || (c >= 0xFF66 && c < 0xFFA0) ||
         (c >= 0x20000 && c < 0x40000);
}

static int
kind_of(uint32_t c)
{
  switch (utf8proc_category((utf8proc_int32_t)c)) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_NO:
    return no_spaces(c) ? ALONE : KEEP;
  case UTF8PROC_CATEGORY_ZS:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP:
    return SPACE;
  default:
    return c == 0x85 ? SPACE : DROP;
  }
}

/* Character at s as what it is and in lower case; its bytes. */
static size_t
read_char(const char *s, size_t n, int *kind, uint32_t *code)
{
  unsigned char b = (unsigned char)*s;
  size_t len;
  int ok;

  if (b < 0x80) {
    int upper = b >= 'A' && b <= 'Z';

    *code = upper ? b + 32u : b;
    *kind = upper || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') ? KEEP
            : b == ' ' || (b >= '\t' && b <= '\r')                    ? SPACE
                                                                      : DROP;
    return 1;
  }
  len = hy_utf8_next(s, n, &ok);
  *kind = DROP;
  if (!ok)
    return len;
  *code = hy_utf8_code(s);
  *kind = kind_of(*code);
  *code = (uint32_t)utf8proc_tolower((utf8proc_int32_t)*code);
  return len;
}

static void
add_word(hy_words *w, uint64_t hash, uint32_t chars)
{
  if (chars == 0)
    return;
  if (w->n == w->cap) {
    w->cap = w->cap ? 2 * w->cap : 1024;
    w->hash = hy_realloc(w->hash, w->cap * sizeof *w->hash);
    w->chars = hy_realloc(w->chars, w->cap * sizeof *w->chars);
  }
  w->hash[w->n] = hy_hash_mix(hash ^ chars);
  w->chars[w->n++] = chars;
}

void
hy_words_of(hy_words *w, const char *text, size_t n)
{
  uint64_t h = FNV_START;
  uint32_t chars = 0, code = 0;
  int kind;

  w->n = 0;
  for (size_t i = 0; i < n;) {
    i += read_char(text + i, n - i, &kind, &code);
    if (kind == DROP)
      continue;
    if (kind != KEEP) {
      add_word(w, h, chars);
      h = FNV_START;
      chars = 0;
    }
    if (kind == ALONE)
      add_word(w, (FNV_START ^ code) * FNV_PRIME, 1);
    if (kind == KEEP) {
      h = (h ^ code) * FNV_PRIME;
      chars++;
    }
  }
  add_word(w, h, chars);
}

void
hy_words_free(hy_words *w)
{
  free(w->hash);
  free(w->chars);
  *w = (hy_words){0};
}

size_t
hy_words_grams(const hy_words *w, size_t len, uint64_t *out)
{
  const uint64_t base = 0x9e3779b97f4a7c15u; /* odd */
  uint64_t h = 0, top = 1;

  if (w->n < len)
    return 0;
  for (size_t i = 0; i < len; i++) /* sum of w[i] base^(len - 1 - i) */
    top *= base;
  for (size_t i = 0; i < w->n; i++) {
    h = h * base + w->hash[i];
    if (i >= len)
      h -= top * w->hash[i - len];
    if (i + 1 >= len)
      out[i + 1 - len] = hy_hash_mix(h + len);
  }
  return w->n - len + 1;
}
