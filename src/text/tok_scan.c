/* tok_scan.c: split patterns that many tokenizers share, as loops over
 * characters in place of a regex.
 *
 * A piece of text is cut at its start, again and again: the function of a
 * pattern returns where the match there ends. Every character begins a match
 * of these patterns, so nothing lies between matches. A lookahead sees the end
 * of the piece as the end of the text. */
#include "text/tok.h"

#include <string.h>

#define UPPER 1 /* Lu, Lt */
#define LOWER 2 /* Ll */
#define BOTH 4  /* Lm, Lo: count as either */
#define MARK 8  /* M */
#define NUMBER 16
#define SPACE 32 /* White_Space without the next */
#define LINE 64  /* CR, LF */

#define LETTER (UPPER | LOWER | BOTH)
#define BLANK (SPACE | LINE)

/* How the patterns differ. */
typedef struct {
  int any_case;   /* 'S is taken as 's is */
  int after_word; /* 's belongs to the word before it */
  int prefix;     /* before a word: 0 a space, 1 any one but CR LF L N */
  int cases;      /* a word ends where upper case follows lower case */
  int digits;     /* most digits of a piece; 0: any number, after a space */
  int lines;      /* CR, LF are taken after punctuation, and with the blanks
                     before them */
  int slash;      /* / too is taken after punctuation */
} shape;

void
hy_tok_classes(unsigned char *class)
{
  for (const uint32_t *r = hy_tok_table; r[0] >> 8 < HY_TOK_CODES; r++)
    memset(class + (r[0] >> 8), (int)(r[0] & 255), (r[1] >> 8) - (r[0] >> 8));
}

/* Class and length of the character at s. */
static inline unsigned
class_at(const unsigned char *class, const unsigned char *s, size_t *len)
{
  if (s[0] < 0x80) {
    *len = 1;
    return class[s[0]];
  }
  if (s[0] < 0xE0) {
    *len = 2;
    return class[(s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu)];
  }
  if (s[0] < 0xF0) {
    *len = 3;
    return class[(s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu)];
  }
  *len = 4;
  return class[(s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 |
               (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu)];
}

/* End of the characters at s that are of one of the classes. */
static inline const unsigned char *
run_of(const unsigned char *class, const unsigned char *s,
       const unsigned char *e, unsigned of)
{
  size_t len;

  while (s < e && class_at(class, s, &len) & of)
    s += len;
  return s;
}

/* Neither letter nor number nor blank, at least one; then the tail. */
static inline const unsigned char *
other(const shape k, const unsigned char *class, const unsigned char *s,
      const unsigned char *e)
{
  size_t len;

  while (s < e && !(class_at(class, s, &len) & (LETTER | NUMBER | BLANK)))
    s += len;
  while (k.lines && s < e &&
         (*s == '\n' || *s == '\r' || (k.slash && *s == '/')))
    s++;
  return s;
}

/* Blanks: through the last end of a line where that counts, else all but the
 * last one when something follows. */
static inline const unsigned char *
blanks(const shape k, const unsigned char *class, const unsigned char *s,
       const unsigned char *e)
{
  const unsigned char *at = s, *last = s, *line = NULL;
  size_t len;
  unsigned c;

  while (at < e && (c = class_at(class, at, &len)) & BLANK) {
    last = at;
    at += len;
    if (c & LINE)
      line = at;
  }
  if (k.lines && line)
    return line;
  return at == e || last == s ? at : last;
}

/* Length of 's 't 're 've 'm 'll 'd at s, 0: none. U+017F is an s of another
 * case. */
static inline size_t
ending(const unsigned char *s, const unsigned char *e, int any_case)
{
  unsigned fold = any_case ? 0x20 : 0, c, d;

  if (e - s < 2 || s[0] != '\'')
    return 0;
  c = s[1] | (s[1] < 0x80 ? fold : 0);
  if (c == 's' || c == 't' || c == 'm' || c == 'd')
    return 2;
  if (e - s < 3)
    return 0;
  if (any_case && s[1] == 0xC5 && s[2] == 0xBF)
    return 3;
  d = s[2] | (s[2] < 0x80 ? fold : 0);
  return (d == 'e' && (c == 'r' || c == 'v')) || (c == 'l' && d == 'l') ? 3 : 0;
}

/* A word at s: characters that may be upper case, then such that may be lower
 * case, at least one of these; failing that upper case alone, which *weak
 * tells. NULL: no word. */
static inline const unsigned char *
cased(const unsigned char *class, const unsigned char *s,
      const unsigned char *e, int *weak)
{
  const unsigned char *at = s, *both = NULL;
  size_t len;
  unsigned c = 0;

  *weak = 0;
  for (; at < e; at += len) {
    c = class_at(class, at, &len);
    if (!(c & (UPPER | BOTH | MARK)))
      break;
    if (!(c & UPPER))
      both = at + len;
  }
  if (at < e && c & LOWER)
    return run_of(class, at, e, LOWER | BOTH | MARK);
  if (both)
    return both; /* the last that counts as lower case ends the word */
  *weak = 1;
  return at > s ? at : NULL;
}

/* The word at s, of class c and len bytes, with what may stand before it. */
static inline const unsigned char *
cased_word(const shape k, const unsigned char *class, const unsigned char *s,
           const unsigned char *e, unsigned c, size_t len)
{
  const unsigned char *at = NULL;
  int weak = 1;

  if (!(c & (LETTER | NUMBER | LINE)))
    at = cased(class, s + len, e, &weak);
  if (weak && c & (LETTER | MARK)) {
    const unsigned char *own = cased(class, s, e, &weak);

    at = !weak || !at ? own : at;
  }
  return at && k.after_word ? at + ending(at, e, k.any_case) : at;
}

static inline const unsigned char *
numbers(const shape k, const unsigned char *class, const unsigned char *s,
        const unsigned char *e)
{
  size_t len;

  for (int i = 0; i < k.digits && s < e; i++, s += len)
    if (!(class_at(class, s, &len) & NUMBER))
      break;
  return s;
}

/* The match at s of a pattern where a word may follow one other character. */
static inline const unsigned char *
scan_prefix(const shape k, const unsigned char *class, const unsigned char *s,
            const unsigned char *e)
{
  const unsigned char *at;
  size_t len, n;
  unsigned c = class_at(class, s, &len), d;

  if (k.cases) {
    if ((at = cased_word(k, class, s, e, c, len)))
      return at;
  } else {
    if ((n = ending(s, e, k.any_case)))
      return s + n;
    if (c & LETTER)
      return run_of(class, s + len, e, LETTER);
  }
  if (c & NUMBER)
    return numbers(k, class, s, e);
  d = s + len < e ? class_at(class, s + len, &n) : BLANK;
  if (!k.cases && !(c & LINE) && d & LETTER)
    return run_of(class, s + len + n, e, LETTER);
  if (!(c & BLANK))
    return other(k, class, s, e);
  if (*s == ' ' && !(d & (LETTER | NUMBER | BLANK)))
    return other(k, class, s + 1, e);
  return blanks(k, class, s, e);
}

/* The match at s of a pattern where a space may stand before anything. */
static inline const unsigned char *
scan_space(const shape k, const unsigned char *class, const unsigned char *s,
           const unsigned char *e)
{
  const unsigned char *at = s + (*s == ' ' && s + 1 < e);
  size_t len;
  unsigned c = class_at(class, at, &len);

  if ((len = ending(s, e, k.any_case)))
    return s + len;
  if (c & LETTER)
    return run_of(class, at, e, LETTER);
  if (c & NUMBER)
    return run_of(class, at, e, NUMBER);
  return c & BLANK ? blanks(k, class, s, e) : other(k, class, at, e);
}

#define SCAN(name, body, ...)                                                  \
  static const char *scan_##name(const unsigned char *class, const char *s,    \
                                 const char *e)                                \
  {                                                                            \
    return (const char *)body((const shape){__VA_ARGS__}, class,               \
                              (const unsigned char *)s,                        \
                              (const unsigned char *)e);                       \
  }

SCAN(gpt2, scan_space, 0)
SCAN(cl100k, scan_prefix, .any_case = 1, .digits = 3, .lines = 1)
SCAN(qwen2, scan_prefix, .any_case = 1, .digits = 1, .lines = 1)
SCAN(tekken, scan_prefix, .cases = 1, .digits = 1, .lines = 1, .slash = 1)
SCAN(o200k, scan_prefix, .any_case = 1, .after_word = 1, .cases = 1,
     .digits = 3, .lines = 1, .slash = 1)

#define BLANKS "|\\s+(?!\\S)|\\s+"
#define LINES "|\\s*[\\r\\n]+" BLANKS
#define ENDING "'s|'t|'re|'ve|'m|'ll|'d"
#define GPT2 "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" BLANKS
#define PREFIX "[^\\r\\n\\p{L}\\p{N}]?"
#define PREFIXED(digits)                                                       \
  "|" PREFIX "\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" LINES
#define CASED(after, digits)                                                   \
  PREFIX "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"                               \
         "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" after "|" PREFIX                     \
         "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"                               \
         "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" after "|" digits                     \
         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" LINES

const hy_tok_known hy_tok_knowns[] = {
    {ENDING GPT2, scan_gpt2},
    {"'(?:[sdmt]|ll|ve|re)" GPT2, scan_gpt2},
    {"(?i:" ENDING ")" PREFIXED("\\p{N}{1,3}"), scan_cl100k},
    {"'(?i:[sdmt]|ll|ve|re)" PREFIXED("\\p{N}{1,3}"), scan_cl100k},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]" BLANKS,
     scan_cl100k},
    {"(?i:" ENDING ")" PREFIXED("\\p{N}"), scan_qwen2},
    {"'(?i:[sdmt]|ll|ve|re)" PREFIXED("\\p{N}"), scan_qwen2},
    {CASED("", "\\p{N}"), scan_tekken},
    {CASED("(?i:" ENDING ")?", "\\p{N}{1,3}"), scan_o200k},
    {NULL, NULL},
};

hy_tok_scan *
hy_tok_scan_of(const char *pattern)
{
  const hy_tok_known *k = hy_tok_knowns;

  while (k->pattern && strcmp(k->pattern, pattern))
    k++;
  return k->scan;
}
