#include "prep/json.h"
#include "base/mem.h"
#include "text/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 2048 /* as jansson */

/* A text on its way. */
typedef struct {
  const char *s, *end;
  const char *why; /* set when it is refused */
  int depth;
  hy_buf text; /* a string with escapes, a number, a key */
} parse;

static json_t *any_value(parse *p);

/* What is wrong at p->s. */
static json_t *
broken(parse *p)
{
  if (!p->why)
    p->why = p->s >= p->end  ? "JSON that breaks off"
             : *p->s == '\0' ? "NUL byte"
                             : "broken JSON";
  return NULL;
}

static void
skip_blanks(parse *p)
{
  while (p->s < p->end &&
         (*p->s == ' ' || *p->s == '\t' || *p->s == '\n' || *p->s == '\r'))
    p->s++;
}

static int
next_is(parse *p, char c)
{
  skip_blanks(p);
  if (p->s >= p->end || *p->s != c)
    return 0;
  p->s++;
  return 1;
}

/* ---- strings ---- */

static int
is_special(unsigned char c)
{
  return c == '"' || c == '\\' || c < 0x20;
}

/* Bytes from s on that stand for themselves in a string. A word is passed over
 * when none of its bytes is special; that some is can be a false alarm. */
static size_t
plain_run(const char *s, size_t n)
{
  const uint64_t ones = 0x0101010101010101u, high = ones << 7;
  size_t i = 0;

  while (i < n) {
    uint64_t w, quote, slash;

    if (n - i >= 8) {
      memcpy(&w, s + i, 8);
      quote = w ^ ones * '"';
      slash = w ^ ones * '\\';
      if (!((((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
             ((w - ones * 0x20) & ~w)) &
            high)) {
        i += 8;
        continue;
      }
    }
    if (is_special((unsigned char)s[i]))
      break;
    i++;
  }
  return i;
}

/* Four hexadecimal digits at p->s, -1: something else. */
static int32_t
hex4(const parse *p)
{
  int32_t v = 0;

  if (p->end - p->s < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    char c = p->s[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;

    if (digit < 0)
      return -1;
    v = v << 4 | digit;
  }
  return v;
}

/* \uXXXX, or two of them for one character; p->s is behind the u. */
static int
escaped_code(parse *p)
{
  int32_t c = hex4(p), low;
  char utf8[4];

  if (c < 0 || (c >= 0xDC00 && c <= 0xDFFF))
    return 0;
  p->s += 4;
  if (c >= 0xD800 && c <= 0xDBFF) {
    if (p->end - p->s < 2 || p->s[0] != '\\' || p->s[1] != 'u')
      return 0;
    p->s += 2;
    low = hex4(p);
    if (low < 0xDC00 || low > 0xDFFF)
      return 0;
    p->s += 4;
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
  }
  hy_buf_add(&p->text, utf8, hy_utf8_put((uint32_t)c, utf8));
  return 1;
}

/* The character behind a backslash. */
static int
escape(parse *p)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *at;

  if (p->s >= p->end)
    return 0;
  if (*p->s == 'u') {
    p->s++;
    return escaped_code(p);
  }
  at = *p->s ? strchr(from, *p->s) : NULL;
  if (!at)
    return 0;
  hy_buf_add(&p->text, to + (at - from), 1);
  p->s++;
  return 1;
}

/* A string behind its quote; it lies in the text itself or in p->text. */
static int
string(parse *p, const char **s, size_t *n)
{
  size_t run = plain_run(p->s, (size_t)(p->end - p->s));

  *s = p->s;
  *n = run;
  p->s += run;
  if (p->s < p->end && *p->s == '"') {
    p->s++;
    return 1;
  }
  p->text.len = 0;
  hy_buf_add(&p->text, *s, run);
  while (p->s < p->end && *p->s == '\\') {
    p->s++;
    if (!escape(p))
      break;
    run = plain_run(p->s, (size_t)(p->end - p->s));
    hy_buf_add(&p->text, p->s, run);
    p->s += run;
    if (p->s < p->end && *p->s == '"') {
      p->s++;
      *s = p->text.data;
      *n = p->text.len;
      return 1;
    }
  }
  broken(p);
  return 0;
}

/* ---- numbers ---- */

static int
digits(parse *p)
{
  const char *from = p->s;

  while (p->s < p->end && *p->s >= '0' && *p->s <= '9')
    p->s++;
  return p->s > from;
}

static json_t *
number(parse *p)
{
  const char *from = p->s;
  int real = 0;
  long long v;
  double d;

  p->s += *p->s == '-';
  if (p->s < p->end && *p->s == '0')
    p->s++;
  else if (!digits(p))
    return broken(p);
  if (p->s < p->end && *p->s == '.') {
    p->s++;
    real = 1;
    if (!digits(p))
      return broken(p);
  }
  if (p->s < p->end && (*p->s == 'e' || *p->s == 'E')) {
    p->s++;
    real = 1;
    p->s += p->s < p->end && (*p->s == '+' || *p->s == '-');
    if (!digits(p))
      return broken(p);
  }
  p->text.len = 0;
  hy_buf_add(&p->text, from, (size_t)(p->s - from));
  errno = 0;
  v = real ? 0 : strtoll(p->text.data, NULL, 10);
  if (!real && errno == 0)
    return json_integer(v);
  d = strtod(p->text.data, NULL);
  if (isfinite(d))
    return json_real(d);
  p->why = "number out of range";
  return NULL;
}

/* ---- the rest ---- */

static json_t *
word(parse *p, const char *w, json_t *v)
{
  size_t n = strlen(w);

  if ((size_t)(p->end - p->s) >= n && !memcmp(p->s, w, n)) {
    p->s += n;
    return v;
  }
  while (p->s < p->end && *w == *p->s) {
    p->s++;
    w++;
  }
  return broken(p);
}

static json_t *
array(parse *p)
{
  json_t *list = json_array(), *v;

  if (next_is(p, ']'))
    return list;
  do {
    v = any_value(p);
    if (v)
      json_array_append_new(list, v);
  } while (v && next_is(p, ','));
  if (v && next_is(p, ']'))
    return list;
  json_decref(list);
  return broken(p);
}

/* One key and its value. */
static int
member(parse *p, json_t *o)
{
  const char *s;
  char *key;
  size_t n;
  json_t *v = NULL;

  if (!next_is(p, '"') || !string(p, &s, &n))
    return 0;
  if (memchr(s, '\0', n)) /* jansson keeps keys as strings of C */
    p->why = "broken JSON";
  key = hy_strndup(s, n);
  if (!p->why && json_object_get(o, key))
    p->why = "duplicated key";
  if (!p->why && next_is(p, ':'))
    v = any_value(p);
  if (v)
    json_object_set_new_nocheck(o, key, v);
  free(key);
  return v != NULL;
}

static json_t *
object(parse *p)
{
  json_t *o = json_object();
  int ok = 1;

  if (next_is(p, '}'))
    return o;
  do
    ok = member(p, o);
  while (ok && next_is(p, ','));
  if (ok && next_is(p, '}'))
    return o;
  json_decref(o);
  return broken(p);
}

static json_t *
any_value(parse *p)
{
  json_t *v = NULL;
  const char *s;
  size_t n;

  skip_blanks(p);
  if (p->s >= p->end)
    return broken(p);
  if (p->depth++ >= DEPTH_MAX)
    p->why = "JSON too deeply nested";
  else if (*p->s == '"') {
    p->s++;
    v = string(p, &s, &n) ? json_stringn_nocheck(s, n) : NULL;
  } else if (*p->s == '{') {
    p->s++;
    v = object(p);
  } else if (*p->s == '[') {
    p->s++;
    v = array(p);
  } else if (*p->s == 't')
    v = word(p, "true", json_true());
  else if (*p->s == 'f')
    v = word(p, "false", json_false());
  else if (*p->s == 'n')
    v = word(p, "null", json_null());
  else if (*p->s == '-' || (*p->s >= '0' && *p->s <= '9'))
    v = number(p);
  else
    broken(p);
  p->depth--;
  return v;
}

const char *
hy_json_parse(const char *text, size_t n, json_t **out)
{
  parse p = {.s = text, .end = text + n};

  *out = any_value(&p);
  skip_blanks(&p);
  if (*out && p.s < p.end) {
    json_decref(*out);
    *out = NULL;
    broken(&p);
  }
  free(p.text.data);
  return p.why;
}
