/* What templates leave to Python: chat templates of the hub are run by it, so
 * its spelling of values is part of the text that models were trained on.
 * Source: Python 3 library reference, str.strip, repr, json.dumps. */
#include "text/chat_impl.h"
#include "text/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* str.isspace of one character. */
static int
is_space(uint32_t c)
{
  utf8proc_bidi_class_t bidi;

  if (c < 0x80)
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
  bidi = utf8proc_get_property((utf8proc_int32_t)c)->bidi_class;
  return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ZS ||
         bidi == UTF8PROC_BIDI_CLASS_WS || bidi == UTF8PROC_BIDI_CLASS_B ||
         bidi == UTF8PROC_BIDI_CLASS_S;
}

hy_chat_str
hy_chat_ltrim(hy_chat_str s)
{
  int ok;

  while (s.n > 0 && is_space(hy_utf8_code(s.s))) {
    size_t k = hy_utf8_next(s.s, s.n, &ok);

    s.s += k;
    s.n -= k;
  }
  return s;
}

hy_chat_str
hy_chat_rtrim(hy_chat_str s)
{
  while (s.n > 0) {
    size_t k = s.n - 1;

    while (k > 0 && ((unsigned char)s.s[k] & 0xc0) == 0x80)
      k--;
    if (!is_space(hy_utf8_code(s.s + k)))
      break;
    s.n = k;
  }
  return s;
}

hy_chat_str
hy_chat_trim(hy_chat_str s)
{
  return hy_chat_rtrim(hy_chat_ltrim(s));
}

const char *
hy_chat_first(hy_chat_str s, const char *word)
{
  size_t m = strlen(word);

  for (size_t i = 0; i + m <= s.n; i++) {
    const char *p = memchr(s.s + i, word[0], s.n - m + 1 - i);

    if (!p)
      return NULL;
    if (memcmp(p, word, m) == 0)
      return p;
    i = (size_t)(p - s.s);
  }
  return NULL;
}

const char *
hy_chat_last(hy_chat_str s, const char *word)
{
  size_t m = strlen(word);

  for (size_t i = s.n + 1; i-- > m;)
    if (memcmp(s.s + i - m, word, m) == 0)
      return s.s + i - m;
  return NULL;
}

/* The shortest digits that read back as x; 1 + 0.4 -> digits "14", place 0. */
static int
shortest(double x, char digit[32])
{
  char text[40];
  int p = 0, place;
  size_t n = 0;

  do
    snprintf(text, sizeof text, "%.*e", p++, x);
  while (p < 17 && strtod(text, NULL) != x);
  place = atoi(strchr(text, 'e') + 1);
  for (const char *s = text; *s != 'e'; s++)
    if (*s >= '0' && *s <= '9')
      digit[n++] = *s;
  while (n > 1 && digit[n - 1] == '0')
    n--;
  digit[n] = '\0';
  return place;
}

static void
put_real(hy_buf *b, double x)
{
  char digit[32];
  int place = shortest(fabs(x), digit), n = (int)strlen(digit);

  if (signbit(x))
    hy_buf_add(b, "-", 1);
  if (place < -4 || place >= 16) {
    hy_buf_printf(b, "%c%s%se%c%02d", digit[0], n > 1 ? "." : "", digit + 1,
                  place < 0 ? '-' : '+', abs(place));
    return;
  }
  if (place < 0)
    hy_buf_printf(b, "0.%.*s%s", -place - 1, "0000", digit);
  else if (place >= n - 1)
    hy_buf_printf(b, "%s%.*s.0", digit, place - n + 1, "0000000000000000");
  else
    hy_buf_printf(b, "%.*s.%s", place + 1, digit, digit + place + 1);
}

/* A string in JSON, with everything but the needed escapes as it is. */
static void
put_quoted(hy_buf *b, const char *s, size_t n)
{
  static const char letter[] = "btnvfr"; /* of codes 8 to 13 */

  hy_buf_add(b, "\"", 1);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];

    if (c == '"' || c == '\\')
      hy_buf_printf(b, "\\%c", c);
    else if (c >= 8 && c <= 13 && c != 11)
      hy_buf_printf(b, "\\%c", letter[c - 8]);
    else if (c < 0x20)
      hy_buf_printf(b, "\\u%04x", c);
    else
      hy_buf_add(b, s + i, 1);
  }
  hy_buf_add(b, "\"", 1);
}

/* str.isprintable of one character. */
static int
is_printable(uint32_t c)
{
  switch (utf8proc_category((utf8proc_int32_t)c)) {
  case UTF8PROC_CATEGORY_CC:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_CS:
  case UTF8PROC_CATEGORY_CO:
  case UTF8PROC_CATEGORY_CN:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP:
    return 0;
  case UTF8PROC_CATEGORY_ZS:
    return c == ' ';
  default:
    return 1;
  }
}

/* repr of a string. */
static void
put_repr(hy_buf *b, const char *s, size_t n)
{
  char quote = memchr(s, '\'', n) && !memchr(s, '"', n) ? '"' : '\'';
  int ok;

  hy_buf_add(b, &quote, 1);
  for (size_t i = 0, k; i < n; i += k) {
    uint32_t c = hy_utf8_code(s + i);

    k = hy_utf8_next(s + i, n - i, &ok);
    if (c == (uint32_t)quote || c == '\\')
      hy_buf_printf(b, "\\%c", (int)c);
    else if (c == '\t' || c == '\n' || c == '\r')
      hy_buf_printf(b, "\\%c", c == '\t' ? 't' : c == '\n' ? 'n' : 'r');
    else if (is_printable(c))
      hy_buf_add(b, s + i, k);
    else
      hy_buf_printf(b,
                    c < 0x100     ? "\\x%02x"
                    : c < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                    c);
  }
  hy_buf_add(b, &quote, 1);
}

/* Names of JSON's three words, and how strings are written. */
typedef struct {
  const char *null, *yes, *no;
  void (*string)(hy_buf *b, const char *s, size_t n);
} spelling;

static const spelling in_json = {"null", "true", "false", put_quoted};
static const spelling in_python = {"None", "True", "False", put_repr};

static void put(hy_buf *b, const json_t *v, const spelling *w);

static void
put_parts(hy_buf *b, const json_t *v, const spelling *w)
{
  int object = json_is_object(v), more = 0;
  const char *key;
  const json_t *x;
  size_t i;

  hy_buf_add(b, object ? "{" : "[", 1);
  if (object)
    json_object_foreach((json_t *)v, key, x)
    {
      if (more++)
        hy_buf_add(b, ", ", 2);
      w->string(b, key, strlen(key));
      hy_buf_add(b, ": ", 2);
      put(b, x, w);
    }
  else
    json_array_foreach(v, i, x)
    {
      if (i > 0)
        hy_buf_add(b, ", ", 2);
      put(b, x, w);
    }
  hy_buf_add(b, object ? "}" : "]", 1);
}

static void
put(hy_buf *b, const json_t *v, const spelling *w)
{
  if (json_is_string(v))
    w->string(b, json_string_value(v), json_string_length(v));
  else if (json_is_integer(v))
    hy_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
  else if (json_is_real(v))
    put_real(b, json_real_value(v));
  else if (json_is_object(v) || json_is_array(v))
    put_parts(b, v, w);
  else
    hy_buf_printf(b, "%s",
                  json_is_true(v)    ? w->yes
                  : json_is_false(v) ? w->no
                                     : w->null);
}

void
hy_chat_json(hy_buf *b, const json_t *v)
{
  put(b, v, &in_json);
}

void
hy_chat_value(hy_buf *b, const json_t *v)
{
  if (json_is_string(v))
    hy_buf_add(b, json_string_value(v), json_string_length(v));
  else
    put(b, v, &in_python);
}
