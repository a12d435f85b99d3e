#include "deck/namelist.h"
#include "base/err.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_MAX 65536
#define NAME_MAX_LEN 128

typedef struct {
  const char *s;     /* next character */
  const char *where; /* for errors */
  int line;
  char group[NAME_MAX_LEN], key[NAME_MAX_LEN];
  int group_line, key_line;
  hy_nml_value *v; /* values of the key so far */
  int n, cap;
  hy_nml_fn *fn;
  void *arg;
} reader;

static void
skip_blank(reader *r)
{
  for (; *r->s; r->s++) {
    if (*r->s == '!')
      r->s += strcspn(r->s, "\n");
    if (*r->s == '\n')
      r->line++;
    else if (!isspace((unsigned char)*r->s))
      return;
    if (!*r->s)
      return;
  }
}

static int
is_name(int c)
{
  return isalnum((unsigned char)c) || c == '_';
}

/* A name in lower case; its length, 0 if there is none. Label: also x:y. */
static size_t
read_name(reader *r, char *out, int label)
{
  size_t n = 0;

  if (isdigit((unsigned char)*r->s))
    return 0;
  while (is_name(r->s[n]) || (label && n && r->s[n] == ':'))
    n++;
  if (n >= NAME_MAX_LEN)
    return 0;
  for (size_t i = 0; i < n; i++)
    out[i] = (char)tolower((unsigned char)r->s[i]);
  out[n] = '\0';
  r->s += n;
  return n;
}

static int
bad(const reader *r, int line, const char *what)
{
  return hy_fail(HY_EDECK, "%s:%d: %s", r->where, line, what);
}

static void
add_value(reader *r, const char *text, size_t n, int quoted)
{
  if (r->n == r->cap) {
    r->cap = r->cap ? 2 * r->cap : 8;
    r->v = hy_realloc(r->v, (size_t)r->cap * sizeof *r->v);
  }
  r->v[r->n++] = (hy_nml_value){.text = hy_strndup(text, n), .quoted = quoted};
}

void
hy_nml_free(hy_nml_value *v, int n)
{
  for (int i = 0; i < n; i++)
    free(v[i].text);
  free(v);
}

static int
emit(reader *r, const char *key)
{
  hy_nml_item item = {.group = r->group,
                      .key = key,
                      .line = key ? r->key_line : r->group_line,
                      .n = r->n,
                      .v = r->v};
  int err = r->fn(r->arg, &item);

  hy_nml_free(r->v, r->n);
  r->v = NULL;
  r->n = r->cap = 0;
  return err;
}

/* Undo the doubling of quote q in s up to the closing one; the text goes to
 * out, the place after the closing quote is returned, NULL if it is missing. */
static const char *
unquote(const char *s, hy_buf *out)
{
  char q = *s++;

  hy_buf_add(out, "", 0);
  for (; *s; s++) {
    if (*s == q && *++s != q)
      return s;
    hy_buf_add(out, s, 1);
  }
  return NULL;
}

static int
read_string(reader *r, int times)
{
  hy_buf b = {0};
  const char *end = unquote(r->s, &b);
  int err = 0, line = r->line;

  for (const char *p = r->s; end && p < end; p++)
    r->line += *p == '\n';
  /* A string over several lines that something sticks to is most likely one
   * whose closing quote was forgotten. */
  if (!end || (r->line != line && *end && !isspace((unsigned char)*end) &&
               !strchr(",/!", *end)))
    err = bad(r, line,
              "a quoted string is not closed; end it with the quote "
              "it begins with");
  for (int i = 0; !err && i < times; i++)
    add_value(r, b.data, b.len, 1);
  if (end)
    r->s = end;
  free(b.data);
  return err;
}

/* One value, bare or quoted, with its repeat count. */
static int
read_value(reader *r)
{
  size_t n = strcspn(r->s, " \t\r\n\v\f,/!=&'\""),
         d = strspn(r->s, "0123456789");
  long times = 1;

  if (d > 0 && d < n && r->s[d] == '*') {
    times = d > 6 ? REPEAT_MAX + 1 : atol(r->s);
    if (times < 1 || times > REPEAT_MAX)
      return bad(r, r->line, "a repeat count n*value is 1 to 65536");
    r->s += d + 1;
    n -= d + 1;
    if (n == 0 && *r->s != '\'' && *r->s != '"')
      return bad(r, r->line, "n* needs a value right after it: 3*0.1");
  }
  if (n == 0 && (*r->s == '\'' || *r->s == '"'))
    return read_string(r, (int)times);
  if (n == 0)
    return bad(r, r->line,
               "a value was expected here; quote text that holds "
               "any of = & / ,");
  for (long i = 0; i < times; i++)
    add_value(r, r->s, n, 0);
  r->s += n;
  return HY_OK;
}

/* 1 if the text here is "name =": the next key, not a value. */
static int
at_key(const reader *r)
{
  reader look = *r;
  char name[NAME_MAX_LEN];

  if (!read_name(&look, name, 0))
    return 0;
  skip_blank(&look);
  return *look.s == '=';
}

static int
at_group_end(const reader *r)
{
  return *r->s == '/' || (!strncasecmp(r->s, "&end", 4) && !is_name(r->s[4]));
}

/* The values after "key =", to the next key or the end of the group. */
static int
read_values(reader *r)
{
  int comma = 1, err = 0; /* a comma must not come first */

  for (;;) {
    skip_blank(r);
    if (!*r->s || *r->s == '&' || at_group_end(r) || at_key(r))
      return HY_OK;
    if (*r->s == ',') {
      if (comma)
        return bad(r, r->line, "a value is missing before this comma");
      comma = 1;
      r->s++;
      continue;
    }
    comma = 0;
    if ((err = read_value(r)))
      return err;
  }
}

static int
read_group(reader *r)
{
  int err = emit(r, NULL);

  while (!err) {
    skip_blank(r);
    if (at_group_end(r)) {
      r->s += *r->s == '/' ? 1 : 4;
      return HY_OK;
    }
    if (!*r->s || *r->s == '&')
      return hy_fail(HY_EDECK, "%s:%d: group &%s is not closed; end it with /",
                     r->where, r->group_line, r->group);
    r->key_line = r->line;
    if (!at_key(r))
      return hy_fail(HY_EDECK, "%s:%d: `key = value` was expected in &%s",
                     r->where, r->line, r->group);
    read_name(r, r->key, 0);
    skip_blank(r);
    r->s++; /* the = */
    if (!(err = read_values(r)))
      err = emit(r, r->key);
  }
  return err;
}

int
hy_nml_read(const char *text, const char *where, hy_nml_fn *fn, void *arg)
{
  reader r = {.s = text, .where = where, .line = 1, .fn = fn, .arg = arg};
  int err = 0;

  if (!strncmp(r.s, "\xef\xbb\xbf", 3)) /* a byte order mark some editors set */
    r.s += 3;
  for (skip_blank(&r); !err && *r.s; skip_blank(&r)) {
    if (*r.s++ != '&')
      err = bad(&r, r.line,
                "text outside a group; a group is &name ... / and text that "
                "holds a / needs quotes");
    else {
      r.group_line = r.line;
      if (!read_name(&r, r.group, 1))
        err = bad(&r, r.line, "a group name was expected after &");
      else
        err = read_group(&r);
    }
  }
  hy_nml_free(r.v, r.n);
  return err;
}

/* One part of a command-line value, [s, s + n). */
static void
split_add(reader *r, const char *s, size_t n)
{
  hy_buf b = {0};
  char *part;

  if (r->cap) { /* a list: blanks around a part do not count */
    for (; n && isspace((unsigned char)*s); s++)
      n--;
    while (n && isspace((unsigned char)s[n - 1]))
      n--;
  }
  part = hy_strndup(s, n);
  if (n > 1 && (*part == '\'' || *part == '"')) {
    const char *end = unquote(part, &b);

    if (end && !*end)
      add_value(r, b.data, b.len, 1);
    else
      add_value(r, part, n, 0);
    free(b.data);
  } else
    add_value(r, part, n, 0);
  free(part);
}

int
hy_nml_split(const char *text, int list, hy_nml_value **v)
{
  reader r = {0};
  const char *from = text, *s = text;
  char q = 0;

  if (list && !*text) {
    *v = NULL;
    return 0;
  }
  if (list) {
    r.cap = 8;
    r.v = hy_malloc((size_t)r.cap * sizeof *r.v);
  }
  for (; *s; s++) {
    if (q)
      q = *s == q ? 0 : q;
    else if ((*s == '\'' || *s == '"') && s == from + strspn(from, " "))
      q = *s;
    else if (list && *s == ',') {
      split_add(&r, from, (size_t)(s - from));
      from = s + 1;
    }
  }
  split_add(&r, from, (size_t)(s - from));
  *v = r.v;
  return r.n;
}
