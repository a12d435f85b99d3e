/* tok_regex.c: split patterns as PCRE2 runs them.
 *
 * Patterns in tokenizer.json are written for Oniguruma. Where the two read the
 * same text differently the pattern is rewritten, or refused by name when that
 * is not simple. */
#include "text/tok.h"
#include "base/err.h"
#include "text/utf8.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char hy_tok_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                           " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* White_Space of Unicode and the rest; PCRE2's own \s differs (it has U+180E),
 * its \w has no marks. */
#define SPACES                                                                 \
  "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"           \
  "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_SPACES                                                             \
  "\\x{00}-\\x{08}\\x{0e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}"               \
  "\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"                    \
  "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"                  \
  "\\x{3001}-\\x{10ffff}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* outside of a class some digits below U+0100 are of a word, too */
#define WORDS WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* What an escape stands for; NULL inside a class: refused there. */
static const struct {
  char c;
  const char *outside, *inside;
} escapes[] = {
    {'s', "[" SPACES "]", SPACES},
    {'S', "[" NOT_SPACES "]", NOT_SPACES},
    {'w', "[" WORDS "]", WORD},
    {'W', "[^" WORDS "]", NULL},
    {'b', "(?:(?<=[" WORDS "])(?![" WORDS "])|(?<![" WORDS "])(?=[" WORDS "]))",
     "\\x{08}"},
    {'B', "(?:(?<=[" WORDS "])(?=[" WORDS "])|(?<![" WORDS "])(?![" WORDS "]))",
     NULL},
    {'v', "\\x{0b}", "\\x{0b}"}, /* one character there, a class here */
    {'h', "[0-9A-Fa-f]", "0-9A-Fa-f"},
    {'A', "\\A", NULL},
    {'z', "\\z", NULL},
};

/* Classes [:name:]. */
static const struct {
  const char *name, *inside;
} posix[] = {
    {"alpha", "\\p{Alphabetic}"},
    {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"upper", "\\p{Uppercase}"},
    {"lower", "\\p{Lowercase}"},
    {"punct", "\\p{P}\\p{S}"},
    {"digit", "\\p{Nd}"},
    {"space", SPACES},
    {"word", WORD},
};

/* Long names of \p{}; others of more than two letters are scripts. */
static const struct {
  const char *name, *here;
} properties[] = {
    {"Any", "Any"},          {"Alphabetic", "Alphabetic"},
    {"Alpha", "Alphabetic"}, {"Letter", "L"},
    {"Mark", "M"},           {"Number", "N"},
    {"Punctuation", "P"},    {"Punct", "P"},
    {"Symbol", "S"},         {"Separator", "Z"},
    {"Upper", "Uppercase"},  {"Lower", "Lowercase"},
    {"Digit", "Nd"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

int
hy_tok_is_space(uint32_t c)
{
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* State of the rewriting: place in the pattern, and in how many classes. */
typedef struct {
  const char *s, *where, *pattern;
  int in_class;
  const char *letter; /* the last character that stands for itself */
  hy_buf out;
} rewrite;

static void
put(rewrite *w, const char *text)
{
  hy_buf_add(&w->out, text, strlen(text));
}

static int
refuse(const rewrite *w, const char *what)
{
  return hy_fail(HY_EFILE,
                 "%s: split pattern %.200s: %s is not supported; rewrite the "
                 "pattern without it",
                 w->where, w->pattern, what);
}

/* \p{Name}; of a script PCRE2 alone would also take extensions. */
static int
rewrite_property(rewrite *w)
{
  const char *end = strchr(w->s, '}'), *name = w->s + 3;
  size_t n, i = 0;
  int negated;

  if (w->s[2] != '{')
    return refuse(w, "\\p without braces");
  if (!end)
    return refuse(w, "\\p{ without }");
  negated = *name == '^';
  name += negated;
  n = (size_t)(end - name);
  while (i < COUNT(properties) && (strlen(properties[i].name) != n ||
                                   strncasecmp(properties[i].name, name, n)))
    i++;
  hy_buf_add(&w->out, w->s, 2);
  put(w, negated ? "{^" : "{");
  if (i < COUNT(properties)) {
    put(w, properties[i].here);
  } else {
    put(w, n > 2 ? "sc:" : "");
    hy_buf_add(&w->out, name, n);
  }
  put(w, "}");
  w->s = end + 1;
  return HY_OK;
}

static int
rewrite_escape(rewrite *w)
{
  char c = w->s[1], name[] = {'\\', c, 0};
  size_t i = 0;

  if (c == 'p' || c == 'P')
    return rewrite_property(w);
  while (i < COUNT(escapes) && escapes[i].c != c)
    i++;
  if (i < COUNT(escapes)) {
    const char *text = w->in_class ? escapes[i].inside : escapes[i].outside;
    char in[] = {'\\', c, ' ', 'i', 'n', ' ', '[', ' ', ']', 0};

    if (!text)
      return refuse(w, in);
    put(w, text);
  } else if (isalpha((unsigned char)c) && !strchr("dDnrtfaex", c)) {
    return refuse(w, name);
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
rewrite_posix(rewrite *w)
{
  const char *end = strstr(w->s, ":]"), *name = w->s + 2;
  size_t i = 0, n;

  if (!end)
    return refuse(w, "[: without :]");
  n = (size_t)(end - name);
  while (i < COUNT(posix) &&
         (strlen(posix[i].name) != n || strncmp(posix[i].name, name, n)))
    i++;
  if (i == COUNT(posix))
    return refuse(w, "[: with a name other than alpha alnum upper lower punct "
                     "digit space word");
  put(w, posix[i].inside);
  w->s = end + 2;
  return HY_OK;
}

/* A class inside a class adds to it, as long as it is not negated; its brackets
 * are left out. */
static int
rewrite_class(rewrite *w)
{
  const char *s = w->s;

  if (s[0] == '[' && s[1] == ':')
    return rewrite_posix(w);
  if (s[0] == '&' && s[1] == '&')
    return refuse(w, "&& inside [ ]");
  if (s[0] == '[') {
    if (strchr("^]-[", s[1]) || s[-1] == '-')
      return refuse(w, "such a [ inside [ ]");
    w->in_class++;
  } else if (s[0] == ']' && --w->in_class > 0) {
    if (s[-1] == '-')
      return refuse(w, "a - before ] inside [ ]");
  } else {
    hy_buf_add(&w->out, s, 1);
  }
  w->s++;
  return HY_OK;
}

/* Without regard to case, some pairs of letters are also one character. */
static int
check_letter(rewrite *w)
{
  static const char *const pair[] = {"ss", "ff", "fi", "fl", "st"};
  const char *before = w->letter;

  w->letter = w->s;
  for (size_t i = 0; i < COUNT(pair); i++)
    if (before && before + 1 == w->s && !strncasecmp(before, pair[i], 2) &&
        strstr(w->pattern, "(?i"))
      return refuse(w, "ss, ff, fi, fl or st with (?i");
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
    } else if (!(err = check_letter(w))) {
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
  rewrite w = {pattern, where, pattern, 0, NULL, {0}};
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

int
hy_tok_word_new(hy_tok *t)
{
  static const char word[] = "[" WORD "\\x{200c}\\x{200d}]";
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
