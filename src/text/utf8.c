#include "text/utf8.h"

#include <string.h>

size_t
hy_utf8_next(const char *s, size_t n, int *ok)
{
  const unsigned char *u = (const unsigned char *)s;
  unsigned char lo = 0x80, hi = 0xBF;
  size_t need;

  *ok = 0;
  if (u[0] < 0x80) {
    *ok = 1;
    return 1;
  }
  if (u[0] < 0xC2 || u[0] > 0xF4)
    return 1;
  need = u[0] < 0xE0 ? 1 : u[0] < 0xF0 ? 2 : 3;
  /* overlong forms, surrogates and codes above 10FFFF show in byte two */
  lo = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
  hi = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i <= need; i++) {
    if (i >= n || u[i] < lo || u[i] > hi)
      return i;
    lo = 0x80;
    hi = 0xBF;
  }
  *ok = 1;
  return need + 1;
}

/* Bytes of ASCII that s begins with, in whole words. */
static size_t
ascii_run(const char *s, size_t n)
{
  uint64_t w;
  size_t i = 0;

  for (; n - i >= sizeof w; i += sizeof w) {
    memcpy(&w, s + i, sizeof w);
    if (w & 0x8080808080808080u)
      break;
  }
  return i;
}

int
hy_utf8_ok(const char *s, size_t n)
{
  int ok = 1;

  for (size_t i = ascii_run(s, n); i < n && ok;) {
    i += hy_utf8_next(s + i, n - i, &ok);
    i += ascii_run(s + i, n - i);
  }
  return ok;
}

int64_t
hy_utf8_repair(const char *s, size_t n, hy_buf *out)
{
  int64_t n_bad = 0;
  size_t good = 0; /* start of the run of characters not yet copied */

  for (size_t i = ascii_run(s, n), len; i < n;
       i += len + ascii_run(s + i + len, n - i - len)) {
    int ok;

    len = hy_utf8_next(s + i, n - i, &ok);
    if (ok)
      continue;
    hy_buf_add(out, s + good, i - good);
    hy_buf_add(out, "\xEF\xBF\xBD", 3);
    good = i + len;
    n_bad++;
  }
  hy_buf_add(out, s + good, n - good);
  return n_bad;
}

uint32_t
hy_utf8_code(const char *s)
{
  const unsigned char *u = (const unsigned char *)s;

  if (u[0] < 0x80)
    return u[0];
  if (u[0] < 0xE0)
    return (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
  if (u[0] < 0xF0)
    return (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
  return (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 |
         (u[3] & 0x3Fu);
}

size_t
hy_utf8_put(uint32_t c, char s[4])
{
  if (c < 0x80) {
    s[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    s[0] = (char)(0xC0 | c >> 6);
    s[1] = (char)(0x80 | (c & 0x3F));
    return 2;
  }
  if (c < 0x10000) {
    s[0] = (char)(0xE0 | c >> 12);
    s[1] = (char)(0x80 | (c >> 6 & 0x3F));
    s[2] = (char)(0x80 | (c & 0x3F));
    return 3;
  }
  s[0] = (char)(0xF0 | c >> 18);
  s[1] = (char)(0x80 | (c >> 12 & 0x3F));
  s[2] = (char)(0x80 | (c >> 6 & 0x3F));
  s[3] = (char)(0x80 | (c & 0x3F));
  return 4;
}
