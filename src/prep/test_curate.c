/* What curation says of single documents: lengths, repetition, n-grams of
 * evaluation files, signatures; keys and files that are wrong. */
#include "prep/curate_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static hy_comm world;
static hy_deck deck;
static uint64_t draw;

static hy_deck_curate *
fresh_keys(void)
{
  deck.curate.decontaminate = (hy_strs){0}; /* not the deck's */
  hy_deck_free(&deck);
  hy_deck_init(&deck);
  return &deck.curate;
}

static hy_curate *
made(const hy_deck_curate *d)
{
  hy_curate *c;

  hy_err_clear();
  if (hy_curate_new(&c, d, &world))
    fail_msg("%s", hy_err_text());
  return c;
}

static void
refused(const hy_deck_curate *d, int code, const char *word)
{
  hy_curate *c = (hy_curate *)&deck;

  hy_err_clear();
  assert_int_equal(hy_curate_new(&c, d, &world), code);
  assert_null(c);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
}

static void
judged(hy_curate *c, const char *text, const char *why)
{
  const char *is = hy_curate_judge(c, text, strlen(text));

  if (!why && is)
    fail_msg("'%.60s': %s", text, is);
  if (why && (!is || strcmp(is, why) != 0))
    fail_msg("'%.60s': %s, not %s", text, is ? is : "stays", why);
}

/* ---- words ---- */

static void
same_words(const char *a, const char *b, int same)
{
  hy_words x = {0}, y = {0};
  int is;

  hy_words_of(&x, a, strlen(a));
  hy_words_of(&y, b, strlen(b));
  is = x.n == y.n && !memcmp(x.hash, y.hash, x.n * sizeof *x.hash);
  if (is != same)
    fail_msg("'%s' and '%s' %s the same words", a, b, same ? "are not" : "are");
  hy_words_free(&x);
  hy_words_free(&y);
}

static void
words(void **state)
{
  hy_words w = {0};

  (void)state;
  same_words("The quick, brown FOX's tail.", "the\tquick brown foxs\n tail", 1);
  same_words("a b", "ab", 0);
  same_words("a b", "b a", 0);
  same_words("caf\xC3\x89 \xC3\x84rger", "caf\xC3\xA9 \xC3\xA4rger", 1);
  same_words("a\xC2\xA0"
             "b\xE2\x80\xA8"
             "c",
             "a b c", 1); /* spaces, too */
  same_words("\xE2\x80\x9Cyes\xE2\x80\x9D \xE2\x80\x94 no", "yes no", 1);
  same_words("bad \xFF\xC3 byte", "bad byte", 1);
  hy_words_of(&w, "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82 x2", 12);
  assert_int_equal(w.n, 3); /* two characters without a space, x2 */
  assert_int_equal(w.chars[2], 2);
  hy_words_of(&w, " .,;! ", 6);
  assert_int_equal(w.n, 0);
  hy_words_free(&w);
}

/* Equal runs have equal hashes, others have not. */
static void
grams(void **state)
{
  static uint64_t out[400];
  hy_words w = {0};
  char text[801];

  (void)state;
  for (int i = 0; i < 400; i++)
    snprintf(text + 2 * i, 3, "%c ", (char)('a' + hy_rng_u64(4, draw++) % 2));
  hy_words_of(&w, text, 800);
  for (size_t len = 1; len <= HY_NGRAM_MAX; len += 7) {
    assert_int_equal(hy_words_grams(&w, len, out), 400 - len + 1);
    for (size_t i = 0; i + len <= 400; i++)
      for (size_t k = 0; k < i; k++)
        assert_int_equal(out[i] == out[k],
                         !memcmp(text + 2 * i, text + 2 * k, 2 * len));
  }
  w.n = 5;
  assert_int_equal(hy_words_grams(&w, 6, out), 0);
  hy_words_free(&w);
}

/* ---- filters ---- */

static void
lengths(void **state)
{
  hy_deck_curate *d = fresh_keys();
  hy_curate *c;

  (void)state;
  c = made(d);
  judged(c, "", NULL); /* nothing is asked for */
  hy_curate_free(c);
  d->min_chars = 3;
  d->max_chars = 5;
  c = made(d);
  judged(c, "ab", "too short");
  judged(c, "abc", NULL);
  judged(c, "\xC3\xA4\xC3\xB6\xE4\xBD\xA0\xF0\x9F\x99\x82\xC3\xBC", NULL);
  judged(c, "abcdef", "too long");
  hy_curate_free(c);
  d->min_chars = 6;
  refused(d, HY_EDECK, "curate.min_chars=6");
}

static void
repeated(void **state)
{
  hy_deck_curate *d = fresh_keys();
  hy_curate *c;

  (void)state;
  d->max_repeat_lines = 0.25;
  c = made(d);
  judged(c, "", NULL);
  judged(c, "a\nb\nc\n  a\r\n", NULL); /* one of four */
  judged(c, "a\nb\n\n\n\n\na", "repeated lines");
  judged(c, "\n\n\n \n", NULL);
  hy_curate_free(c);

  d = fresh_keys();
  d->max_repeat_ngrams = 0.5;
  d->repeat_ngram = 3;
  c = made(d);
  judged(c, "", NULL);
  judged(c, "one two three four five six", NULL);
  judged(c, "one two three four One, two three!", NULL); /* 11 of 26 */
  judged(c, "one two three one two three one two three", "repeated n-grams");
  judged(c, "a b a b a b a b", "repeated n-grams"); /* overlapping runs */
  judged(c, "a b a b", NULL);
  hy_curate_free(c);
}

/* ---- decontamination ---- */

static char *
file_with(const char *name, const char *text)
{
  const char *dir = getenv("HYMN_TESTDIR");
  char *path = hy_asprintf("%s/%s", dir ? dir : ".", name);

  assert_int_equal(hy_file_write(path, text, strlen(text)), HY_OK);
  return path;
}

static void
done_with(char *path)
{
  unlink(path);
  free(path);
}

#define THIRTEEN "a1 b2 c3 d4 e5 f6 g7 h8 i9 j10 k11 l12 m13"

static void
contaminated(void **state)
{
  char *path = file_with("test_curate.jsonl",
                         "{\"q\":\"zero " THIRTEEN " n14\",\"a\":[\"short\"]}\n"
                         " \n"
                         "{\"q\":{\"x\":\"What is the name of the ninth "
                         "planet?\"},\"n\":3}\n");
  hy_deck_curate *d = fresh_keys();
  char *file[1] = {path}, hash[HY_SHA_HEX];
  hy_curate *c;

  (void)state;
  d->decontaminate = (hy_strs){1, file};
  c = made(d);
  assert_int_equal(c->n_texts, 3);
  assert_int_equal(c->n_short, 1);
  assert_int_equal(c->eval.n, 4);
  judged(c, "so: A1 b2 c3. d4 e5 (f6) g7\nh8 i9 j10 k11 l12 M13",
         "contaminated");
  judged(c, "a1 b2 c3 d4 e5 f6 g7 h8 i9 j10 k11 l12", NULL);
  judged(c, "a1 b2 c3 d4 e5 f6 g7 h8 x i9 j10 k11 l12 m13 n14", NULL);
  judged(c, "what is the name of the ninth planet, sir", "contaminated");
  judged(c, "what is the name of the ninth", NULL);
  judged(c, "short", NULL);
  strcpy(hash, hy_curate_hash(c));
  hy_curate_free(c);
  c = made(d);
  assert_string_equal(hash, hy_curate_hash(c));
  hy_curate_free(c);
  free(file_with("test_curate.jsonl", "{\"q\":\"one two three four\"}\n"));
  refused(d, HY_EDATA, "no text in it has 8 words");
  d->decontaminate_ngram = 4;
  c = made(d);
  assert_string_not_equal(hash, hy_curate_hash(c));
  judged(c, "one two three four", "contaminated");
  judged(c, "one two three", NULL);
  hy_curate_free(c);
  done_with(path);
}

static void
bad_files(void **state)
{
  char *bad = file_with("test_curate.bad.jsonl", "{\"q\":\"x\"}\n{\"q\":\n");
  char *other = file_with("test_curate.csv", "a,b\n");
  char *none = hy_strdup("test_curate.none.txt"), *empty;
  hy_deck_curate *d = fresh_keys();
  char **file[4] = {&bad, &other, &none, &empty};
  const char *word[4] = {"bad.jsonl:2: ", "test_curate.csv",
                         "none.txt: ", "empty.txt"};

  (void)state;
  empty = file_with("test_curate.empty.txt", "");
  d->decontaminate.n = 1;
  for (int i = 0; i < 4; i++) {
    d->decontaminate.s = file[i];
    refused(d, i == 0 || i == 3 ? HY_EDATA : HY_EFILE, word[i]);
  }
  for (int i = 0; i < 4; i++)
    done_with(*file[i]);
}

static void
bad_keys(void **state)
{
  hy_deck_curate *d = fresh_keys();

  (void)state;
  d->near = 1;
  d->near_threshold = 0;
  refused(d, HY_EDECK, "curate.near_threshold=0");
  d->near_threshold = 0.5;
  refused(d, HY_EDECK, "curate.near_bands=16");
  d->near = 0;
  hy_curate_free(made(d));
}

/* ---- signatures ---- */

/* Words n .. n + len - 1 of a series without end, with one of `every` changed.
 */
static void
series(hy_buf *b, int from, int len)
{
  b->len = 0;
  for (int i = from; i < from + len; i++)
    hy_buf_printf(b, "w%d ", i);
}

/* The share of equal values is near the Jaccard similarity. */
static void
similarity(void **state)
{
  hy_deck_curate *d = fresh_keys();
  uint32_t x[256], y[256];
  hy_buf a = {0}, b = {0};
  hy_curate *c;

  (void)state;
  d->near = 1;
  d->near_ngram = 1;
  d->near_bands = 64;
  d->near_rows = 4;
  c = made(d);
  assert_int_equal(hy_curate_sign_bytes(c), sizeof x);
  for (int shift = 0; shift <= 300; shift += 30) {
    double want = (300.0 - shift) / (300 + shift), is = 0;

    series(&a, 0, 300);
    series(&b, shift, 300);
    hy_curate_sign(c, a.data, a.len, x);
    hy_curate_sign(c, b.data, b.len, y);
    for (int i = 0; i < 256; i++)
      is += x[i] == y[i];
    /* four standard deviations of 256 drawings */
    assert_true(fabs(is / 256 - want) <= 4 * sqrt(want * (1 - want) / 256));
  }
  hy_curate_sign(c, ".", 1, x);
  for (int i = 0; i < 256; i++)
    assert_int_equal(x[i], UINT32_MAX);
  hy_curate_free(c);
  free(a.data);
  free(b.data);
}

static void
exact_hash(void **state)
{
  /* FIPS 180-4, SHA-256 of "abc": ba7816bf 8f01cfea 414140de 5dae2223 ... */
  const uint32_t abc[4] = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223};
  hy_deck_curate *d = fresh_keys();
  uint32_t x[4];
  hy_curate *c;

  (void)state;
  c = made(d);
  assert_int_equal(hy_curate_sign_bytes(c), 0);
  hy_curate_free(c);
  d->exact = 1;
  c = made(d);
  assert_int_equal(hy_curate_sign_bytes(c), HY_SIGN_EXACT);
  hy_curate_sign(c, "abc", 3, x);
  assert_memory_equal(x, abc, sizeof x);
  hy_curate_free(c);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words),        cmocka_unit_test(grams),
      cmocka_unit_test(lengths),      cmocka_unit_test(repeated),
      cmocka_unit_test(contaminated), cmocka_unit_test(bad_files),
      cmocka_unit_test(bad_keys),     cmocka_unit_test(similarity),
      cmocka_unit_test(exact_hash)};
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  hy_deck_init(&deck);
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  fresh_keys();
  hy_deck_free(&deck);
  MPI_Finalize();
  return bad != 0;
}
