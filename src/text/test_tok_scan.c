/* The tables of characters and the hand-made scanners against PCRE2. */
#include "text/test_tok.h"
#include "text/tok.h"
#include "text/utf8.h"

#include <stdlib.h>

typedef struct {
  unsigned char *class;     /* as the scanners see it */
  unsigned char *known;     /* 1: both sides know the character */
  uint32_t code[128][4096]; /* some characters of each class */
  int n[128];
  pcre2_match_data *md;
  uint64_t seed;
} world;

static uint32_t
draw(world *w, uint32_t n)
{
  w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((w->seed >> 33) % n);
}

/* Call mark for each character of all that PCRE2 finds in a class. */
static void
each_of(world *w, const char *class, const hy_buf *all, unsigned char bit,
        unsigned char *marks)
{
  pcre2_code *re;
  size_t at = 0;

  assert_int_equal(hy_tok_compile(&re, class, 0, "test"), HY_OK);
  while (pcre2_match(re, (PCRE2_SPTR)all->data, all->len, at,
                     PCRE2_NO_UTF_CHECK, w->md, NULL) > 0) {
    const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(w->md);

    marks[hy_utf8_code(all->data + ov[0])] |= bit;
    at = ov[1];
  }
  pcre2_code_free(re);
}

static world *
world_new(void)
{
  static const char *const class[] = {
      "\\p{Lu}|\\p{Lt}", "\\p{Ll}", "\\p{Lm}|\\p{Lo}", "\\p{M}",
      "\\p{N}",          "\\s",     "[\\r\\n]"};
  world *w = hy_calloc(1, sizeof *w);
  unsigned char *marks = hy_calloc(HY_TOK_CODES, 1), version[64] = {0};
  hy_buf all = {0};
  int newer;

  w->seed = 20;
  w->md = pcre2_match_data_create(1, NULL);
  w->class = hy_malloc(HY_TOK_CODES);
  w->known = hy_calloc(HY_TOK_CODES, 1);
  hy_tok_classes(w->class);
  for (uint32_t c = 0; c < HY_TOK_CODES; c++) {
    char s[4];

    if (c < 0xD800 || c > 0xDFFF)
      hy_buf_add(&all, s, hy_utf8_put(c, s));
  }
  for (int i = 0; i < 7; i++)
    each_of(w, class[i], &all, (unsigned char)(1 << i), marks);
  each_of(w, "\\P{Cn}", &all, 1, w->known);
  pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
  newer = atof((char *)version) > 16;
  for (uint32_t c = 0; c < HY_TOK_CODES; c++) {
    int k = w->class[c];

    if (marks[c] & 64) /* a class of their own here */
      marks[c] = 64;
    if (newer && !k)
      w->known[c] = 0;
    if (w->known[c] && marks[c] != k)
      fail_msg("U+%04X: %d, PCRE2 says %d", (unsigned)c, k, marks[c]);
    if (w->known[c] && (w->n[k] < 4096 || draw(w, 16) == 0))
      w->code[k][w->n[k] < 4096 ? w->n[k]++ : (int)draw(w, 4096)] = c;
  }
  free(marks);
  free(all.data);
  return w;
}

static void
world_free(world *w)
{
  pcre2_match_data_free(w->md);
  free(w->class);
  free(w->known);
  free(w);
}

static void
test_table(void **state)
{
  world *w = world_new();

  (void)state;
  for (int i = 1; i < 64; i *= 2)
    assert_true(w->n[i] > 10);
  assert_int_equal(w->n[64], 2);
  world_free(w);
}

/* A text that goes where the alternatives of the patterns meet. */
static void
compose(world *w, hy_buf *b)
{
  static const char *const part[] = {
      " ",  "  ",       "\n", "\r\n", "\t",        "'",        "'s", "'S",
      "'l", "'LL",      "'r", "'Ve",  "'\xC5\xBF", "/",        "//", "a",
      "B",  "\xC2\xA0", "12", "!",    "\xCC\x81",  "\xCA\xB0", "_",  "'M"};
  static const int class[] = {0, 1, 2, 4, 8, 16, 32, 64};
  int n = 1 + (int)draw(w, 12), kind = (int)draw(w, 4);

  b->len = 0;
  while (n--) {
    const char *s = part[draw(w, sizeof part / sizeof *part)];
    int k = class[draw(w, 8)];
    uint32_t c = w->code[k][draw(w, (uint32_t)w->n[k])], more = 1;
    char one[4];

    if (kind == 3 && draw(w, 4) == 0)
      more += draw(w, 40); /* a run of one character */
    while (more--) {
      if (kind == 0 || (kind > 1 && draw(w, 2)))
        hy_buf_add(b, s, strlen(s));
      else
        hy_buf_add(b, one, hy_utf8_put(c, one));
    }
  }
}

static void
same_cuts(world *w, const pcre2_code *re, const hy_tok_known *k, const char *s,
          size_t n)
{
  size_t at = 0;

  while (at < n) {
    size_t end = (size_t)(k->scan(w->class, s + at, s + n) - s);
    int rc =
        pcre2_match(re, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK, w->md, NULL);
    const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(w->md);

    if (rc < 1 || ov[0] != at || ov[1] != end)
      fail_msg("%.40s...: '%.*s': piece at %zu ends at %zu, not %zu",
               k->pattern, (int)n, s, at, end, rc < 1 ? 0 : ov[1]);
    at = end;
  }
}

static void
test_scanners(void **state)
{
  world *w = world_new();
  hy_buf b = {0};

  (void)state;
  for (const hy_tok_known *k = hy_tok_knowns; k->pattern; k++) {
    pcre2_code *re;

    assert_ptr_equal(hy_tok_scan_of(k->pattern), k->scan);
    assert_int_equal(hy_tok_compile(&re, k->pattern, 0, "test"), HY_OK);
    for (int i = 0; i < 20000; i++) {
      /* no byte behind the text may be read: memory of its very size */
      char *own;

      compose(w, &b);
      own = hy_malloc(b.len);
      memcpy(own, b.data, b.len);
      same_cuts(w, re, k, own, b.len);
      free(own);
    }
    pcre2_code_free(re);
  }
  assert_null(hy_tok_scan_of("\\p{L}+"));
  free(b.data);
  world_free(w);
}

/* The same text in pieces that the cache knows, and in such that it does not:
 * every length about where the ways part, and ends where nothing may be read.
 */
static void
test_lengths(void **state)
{
  hy_tok *t = open_fixture();

  (void)state;
  for (size_t n = 1; n < 140; n++) {
    hy_ids first = {0}, again = {0}, tail = {0};
    char *s = hy_malloc(n), *more = hy_malloc(n + 40);

    for (size_t i = 0; i < n; i++)
      s[i] = "thequickbrowning"[(i * 7 + n) % 16];
    memcpy(more, s, n);
    memset(more + n, '\n', 40);
    assert_int_equal(hy_tok_encode(t, s, n, 0, &first, NULL), HY_OK);
    assert_int_equal(hy_tok_encode(t, s, n, 0, &again, NULL), HY_OK);
    assert_int_equal(hy_tok_encode(t, more, n + 40, 0, &tail, NULL), HY_OK);
    assert_int_equal(first.n, again.n);
    assert_true(tail.n > first.n);
    assert_memory_equal(first.id, again.id, first.n * sizeof *first.id);
    assert_memory_equal(first.id, tail.id, first.n * sizeof *first.id);
    free(first.id);
    free(again.id);
    free(tail.id);
    free(s);
    free(more);
  }
  hy_tok_free(t);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),
      cmocka_unit_test(test_scanners),
      cmocka_unit_test(test_lengths),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
