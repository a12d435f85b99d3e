/* tok_split.c: the regular expressions that cut text into pieces.
 *
 * Patterns in tokenizer.json are written for Oniguruma; PCRE2 runs them here.
 * Where the two read the same text differently the pattern is rewritten, or
 * refused by name when that is not simple. */
#include "text/tok.h"
#include "base/err.h"
#include "text/utf8.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const char hy_tok_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                           " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* White_Space of Unicode; PCRE2's own \s differs (it has U+180E). */
#define SPACES                                                                 \
  "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"           \
  "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

int
hy_tok_is_space(uint32_t c)
{
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* State of the rewriting: place in the pattern, and in a class or not. */
typedef struct {
  const char *s, *where, *pattern;
  int in_class;
  hy_buf out;
} rewrite;

static int
refuse(const rewrite *w, const char *what)
{
  return hy_fail(HY_EFILE,
                 "%s: split pattern %.200s: %s is not supported; rewrite the "
                 "pattern without it",
                 w->where, w->pattern, what);
}

/* \p{Name}: names of more than two letters are scripts, for which PCRE2 would
 * also take script extensions. */
static int
rewrite_property(rewrite *w)
{
  const char *end = strchr(w->s, '}'), *name = w->s + 3;
  int negated;

  if (w->s[2] != '{')
    return refuse(w, "\\p without braces");
  if (!end)
    return refuse(w, "\\p{ without }");
  negated = *name == '^';
  name += negated;
  hy_buf_add(&w->out, w->s, 2);
  hy_buf_printf(&w->out, "{%s%s%.*s}", negated ? "^" : "",
                end - name > 2 && strncmp(name, "Any", 3) ? "sc:" : "",
                (int)(end - name), name);
  w->s = end + 1;
  return HY_OK;
}

static int
rewrite_escape(rewrite *w)
{
  char c = w->s[1];

  if (c == 'p' || c == 'P')
    return rewrite_property(w);
  if (c == 's' || c == 'S') {
    if (w->in_class && c == 'S')
      return refuse(w, "\\S inside [ ]");
    hy_buf_printf(&w->out,
                  w->in_class ? "%s"
                  : c == 's'  ? "[%s]"
                              : "[^%s]",
                  SPACES);
  } else if (isalpha((unsigned char)c) && !strchr("dDwWbBnrtfvaexzA", c)) {
    char name[] = {'\\', c, 0};

    return refuse(w, name);
  } else if (c == 'v') {
    /* one character there, a class here */
    hy_buf_printf(&w->out, "\\x{0b}");
  } else if (c == '\0') {
    return refuse(w, "a \\ at the end");
  } else {
    hy_buf_add(&w->out, w->s, 2);
  }
  w->s += 2;
  return HY_OK;
}

static int
rewrite_group(rewrite *w)
{
  static const char *known[] = {"(?:",  "(?i:", "(?=", "(?!",
                                "(?<=", "(?<!", "(?>"};

  if (w->s[1] != '?') {
    hy_buf_add(&w->out, w->s++, 1);
    return HY_OK;
  }
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    size_t n = strlen(known[i]);

    if (strncmp(w->s, known[i], n) == 0) {
      hy_buf_add(&w->out, w->s, n);
      w->s += n;
      return HY_OK;
    }
  }
  /* whole-pattern (?i): the reach of a later one differs */
  if (w->s == w->pattern && strncmp(w->s, "(?i)", 4) == 0) {
    hy_buf_add(&w->out, w->s, 4);
    w->s += 4;
    return HY_OK;
  }
  return refuse(w, "a group that begins with (? other than (?: (?i: (?= (?! "
                   "(?<= (?<! (?>");
}

static int
rewrite_class(rewrite *w)
{
  if (w->s[0] == '[' && w->s[1] != ':')
    return refuse(w, "[ inside [ ]");
  if (w->s[0] == '[' && w->s[1] == ':') {
    const char *end = strstr(w->s, ":]");

    if (!end)
      return refuse(w, "[: without :]");
    hy_buf_add(&w->out, w->s, (size_t)(end + 2 - w->s));
    w->s = end + 2;
    return HY_OK;
  }
  if (w->s[0] == '&' && w->s[1] == '&')
    return refuse(w, "&& inside [ ]");
  if (w->s[0] == ']')
    w->in_class = 0;
  hy_buf_add(&w->out, w->s++, 1);
  return HY_OK;
}

static int
rewrite_pattern(rewrite *w)
{
  int err = HY_OK;

  while (*w->s && !err) {
    if (*w->s == '\\') {
      err = rewrite_escape(w);
    } else if (w->in_class) {
      err = rewrite_class(w);
    } else if (*w->s == '(') {
      err = rewrite_group(w);
    } else if (w->s[0] == '}' && w->s[1] == '+') {
      err = refuse(w, "{ } followed by + (possessive in some engines)");
    } else {
      w->in_class = *w->s == '[';
      hy_buf_add(&w->out, w->s++, 1);
      /* ] directly after [ or [^ is a character of the class */
      if (w->in_class && *w->s == '^')
        hy_buf_add(&w->out, w->s++, 1);
      if (w->in_class && *w->s == ']')
        hy_buf_add(&w->out, w->s++, 1);
    }
  }
  return err;
}

int
hy_tok_compile(pcre2_code **re, const char *pattern, int literal,
               const char *where)
{
  rewrite w = {pattern, where, pattern, 0, {0}};
  PCRE2_UCHAR text[128];
  PCRE2_SIZE at;
  uint32_t opt =
      PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE);
  int code, err = HY_OK;

  *re = NULL;
  if (literal)
    hy_buf_add(&w.out, pattern, strlen(pattern));
  else
    err = rewrite_pattern(&w);
  if (!err) {
    *re =
        pcre2_compile((PCRE2_SPTR)w.out.data, w.out.len, opt, &code, &at, NULL);
    if (!*re) {
      pcre2_get_error_message(code, text, sizeof text);
      err = hy_fail(HY_EFILE,
                    "%s: split pattern %.200s: %s; correct the "
                    "pattern",
                    where, pattern, (char *)text);
    } else {
      pcre2_jit_compile(*re, PCRE2_JIT_COMPLETE); /* slower without */
    }
  }
  free(w.out.data);
  return err;
}

/* Next match at or after *at; 1 found, 0 none, else an error code < 0. An
 * empty match where the last one ended does not count. */
static int
next_match(hy_tok *t, const pcre2_code *re, const char *s, size_t n, size_t *at,
           size_t last, size_t *from, size_t *to)
{
  while (*at <= n) {
    int rc = pcre2_match(re, (PCRE2_SPTR)s, n, *at, PCRE2_NO_UTF_CHECK, t->md,
                         t->mc);
    const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(t->md);
    int ok;

    if (rc == PCRE2_ERROR_NOMATCH)
      return 0;
    if (rc < 0)
      return rc;
    *from = ov[0];
    *to = ov[1];
    if (*to > *from || *from != last) {
      *at = *to;
      return 1;
    }
    *at = *from + (*from < n ? hy_utf8_next(s + *from, n - *from, &ok) : 1);
  }
  return 0;
}

/* Pieces of one step on their way to the next: the last one may still grow. */
typedef struct {
  hy_tok *t;
  int step;
  const char *s;
  const hy_tok_sink *out;
  size_t from, to; /* the last one */
  int have, match; /* there is one; it ends with a match */
} parts;

static int
send(parts *p)
{
  int have = p->have && p->to > p->from;

  p->have = 0;
  return have ? hy_tok_pieces(p->t, p->step + 1, p->s + p->from,
                              p->to - p->from, p->out)
              : HY_OK;
}

/* A match or gap. Source of the rules: the `tokenizers` package. */
static int
part(parts *p, size_t from, size_t to, int match)
{
  const hy_tok_step *step = &p->t->step[p->step];
  int was = p->match, join = 0, err;

  match ^= step->invert;
  p->match = match;
  if (step->behavior == HY_TOK_CONTIGUOUS)
    join = match == was;
  else if (step->behavior == HY_TOK_PREVIOUS)
    join = match && !was;
  else if (step->behavior == HY_TOK_NEXT)
    join = !match && was;
  if (join && p->have) {
    p->to = to;
    return HY_OK;
  }
  err = send(p);
  p->from = from;
  p->to = to;
  p->have = !match || step->behavior != HY_TOK_REMOVED;
  return err;
}

static int
cut(hy_tok *t, int k, const char *s, size_t n, const hy_tok_sink *out)
{
  parts p = {t, k, s, out, 0, 0, 0, 0};
  size_t at = 0, done = 0, last = SIZE_MAX, from, to;
  int err = HY_OK, rc;

  while (!err &&
         (rc = next_match(t, t->step[k].re, s, n, &at, last, &from, &to))) {
    if (rc < 0)
      return hy_fail(HY_EDATA,
                     "tokenizer: the split pattern fails on a text of %zu "
                     "bytes (PCRE2 error %d); cut the text",
                     n, rc);
    if (from > done)
      err = part(&p, done, from, 0);
    if (!err)
      err = part(&p, from, to, 1);
    done = last = to;
  }
  if (!err && n > done)
    err = part(&p, done, n, 0);
  return err ? err : send(&p);
}

/* The same by a function that finds every match. */
static int
cut_scan(hy_tok *t, int k, const char *s, size_t n, const hy_tok_sink *out)
{
  hy_tok_scan *scan = t->step[k].scan;
  const char *end = s + n, *to;
  int err = HY_OK, last = k + 1 == t->n_steps && !out->at;

  for (; s < end && !err; s = to) {
    to = scan(t->class, s, end);
    if (last)
      hy_tok_piece(t, s, (size_t)(to - s), end, out->ids);
    else
      err = hy_tok_pieces(t, k + 1, s, (size_t)(to - s), out);
  }
  return err;
}

static void
one_piece(hy_tok *t, const char *s, size_t n, const hy_tok_sink *out)
{
  size_t done = out->ids->n;

  hy_tok_piece(t, s, n, s + n, out->ids);
  if (out->at)
    hy_tok_bpe_places(t, s, n, done, out);
}

int
hy_tok_pieces(hy_tok *t, int k, const char *text, size_t n,
              const hy_tok_sink *out)
{
  hy_tok_sink in = *out;
  hy_buf b = {0};
  int err;

  if (k == t->n_steps) {
    one_piece(t, text, n, out);
    return HY_OK;
  }
  if (t->step[k].prefix_space && text[0] != ' ') {
    hy_buf_add(&b, " ", 1);
    hy_buf_add(&b, text, n);
    /* the added space stands before the text: a place begins with the text */
    in.first = out->base + (text - out->origin);
    in.base = in.first - 1;
    in.origin = text = b.data;
    n = b.len;
  }
  if (t->step[k].scan)
    err = cut_scan(t, k, text, n, &in);
  else if (t->step[k].re)
    err = cut(t, k, text, n, &in);
  else
    err = hy_tok_pieces(t, k + 1, text, n, &in);
  free(b.data);
  return err;
}

int
hy_tok_word_new(hy_tok *t)
{
  static const char word[] =
      "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]";
  PCRE2_SIZE at;
  int code;

  if (!t->word)
    t->word = pcre2_compile((PCRE2_SPTR)word, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
  return t->word ? HY_OK
                 : hy_fail(HY_ERES, "tokenizer: single_word needs PCRE2 10.40 "
                                    "or newer; install it");
}

int
hy_tok_is_word(hy_tok *t, const char *s, size_t n)
{
  return pcre2_match(t->word, (PCRE2_SPTR)s, n, 0,
                     PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, t->md, NULL) > 0;
}
