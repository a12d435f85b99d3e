#include "prep/curate_impl.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys ---- */

/* Chance that documents of similarity s share one of `bands` bands. */
static double
share_a_band(double s, double bands, double rows)
{
  return 1 - pow(1 - pow(s, rows), bands);
}

static int
check_near(const hy_deck_curate *d)
{
  double chance = share_a_band(d->near_threshold, (double)d->near_bands,
                               (double)d->near_rows);

  if (d->near_threshold <= 0)
    return hy_fail(HY_EDECK, "curate.near_threshold=0: all documents would be "
                             "nearly equal; give a share above 0");
  if (chance < 0.5)
    return hy_fail(HY_EDECK,
                   "curate.near_bands=%lld, curate.near_rows=%lld: of "
                   "documents at curate.near_threshold=%g only %.0f %% would "
                   "be compared; give more bands or fewer rows",
                   (long long)d->near_bands, (long long)d->near_rows,
                   d->near_threshold, 100 * chance);
  return HY_OK;
}

static int
check_keys(const hy_deck_curate *d)
{
  if (d->max_chars > 0 && d->min_chars > d->max_chars)
    return hy_fail(HY_EDECK,
                   "curate.min_chars=%lld: larger than curate.max_chars=%lld, "
                   "no document would stay",
                   (long long)d->min_chars, (long long)d->max_chars);
  return d->near ? check_near(d) : HY_OK;
}

/* What judges and signs: every key, and what the evaluation files hold. */
static void
hash_keys(const hy_curate *c, hy_sha256 *s)
{
  const hy_deck_curate *d = &c->d;
  hy_buf b = {0};

  hy_buf_printf(&b,
                "curate 1: %d %d %.17g %lld %lld %lld %lld %lld %.17g %.17g "
                "%lld %lld",
                d->exact, d->near, d->near_threshold, (long long)d->near_ngram,
                (long long)d->near_bands, (long long)d->near_rows,
                (long long)d->min_chars, (long long)d->max_chars,
                d->max_repeat_lines, d->max_repeat_ngrams,
                (long long)d->repeat_ngram, (long long)d->decontaminate_ngram);
  hy_sha256_add(s, b.data, b.len);
  free(b.data);
}

int
hy_curate_new(hy_curate **out, const hy_deck_curate *d, const hy_comm *comm)
{
  hy_curate *c = hy_calloc(1, sizeof *c);
  hy_sha256 sha;
  int err = check_keys(d);

  *out = NULL;
  c->d = *d;
  c->most_entries = 1 << 23;
  c->n_cached = (1 << 22) / ((int64_t)hy_curate_sign_bytes(c) + 1) + 16;
  hy_sha256_init(&sha);
  hash_keys(c, &sha);
  if (!err)
    err = hy_curate_eval(c, &sha);
  err = hy_agree(comm, err);
  if (err) {
    hy_curate_free(c);
    return err;
  }
  hy_sha256_hex(&sha, c->hash);
  if (d->near) {
    size_t n = (size_t)(d->near_bands * d->near_rows);
    uint64_t key = hy_rng_key(0, "minhash");

    c->seed = hy_malloc(n * sizeof *c->seed);
    for (size_t i = 0; i < n; i++)
      c->seed[i] = (uint32_t)hy_rng_u64(key, i);
  }
  *out = c;
  return HY_OK;
}

void
hy_curate_free(hy_curate *c)
{
  if (!c)
    return;
  hy_words_free(&c->words);
  hy_hashes_free(&c->seen);
  hy_hashes_free(&c->eval);
  free(c->maybe);
  free(c->gram);
  free(c->seed);
  free(c);
}

const char *
hy_curate_hash(const hy_curate *c)
{
  return c->hash;
}

void
hy_curate_print(const hy_curate *c, FILE *out)
{
  if (c->d.decontaminate.n == 0)
    return;
  fprintf(out,
          "curate: %lld evaluation texts hold %lld different n-grams (%lld "
          "words, or a whole text from %d words on)\n",
          (long long)c->n_texts, (long long)c->eval.n,
          (long long)c->d.decontaminate_ngram, hy_curate_shortest(c));
  if (c->n_short)
    fprintf(out,
            "curate: %lld evaluation texts are shorter than that and are "
            "not looked for\n",
            (long long)c->n_short);
}

/* ---- one document ---- */

uint64_t *
hy_curate_grams(hy_curate *c, size_t len, size_t *n)
{
  if (c->words.n > c->cap_gram) {
    c->cap_gram = 2 * c->words.n;
    free(c->gram);
    c->gram = hy_malloc(c->cap_gram * sizeof *c->gram);
  }
  *n = hy_words_grams(&c->words, len, c->gram);
  return c->gram;
}

static int64_t
count_chars(const char *text, size_t n)
{
  int64_t count = 0;

  for (size_t i = 0; i < n; i++) /* all but continuation bytes */
    count += ((unsigned char)text[i] & 0xC0) != 0x80;
  return count;
}

static int
is_blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Lines that repeat an earlier one, without the blanks around them; empty ones
 * do not count. Source: Rae et al. 2021, arXiv:2112.11446, table A1. */
static int
repeats_lines(hy_curate *c, const char *text, size_t n)
{
  int64_t n_lines = 0, n_old = 0;

  hy_hashes_clear(&c->seen, 0);
  for (size_t i = 0, end; i < n; i = end + 1) {
    const char *stop = memchr(text + i, '\n', n - i);
    size_t to = end = stop ? (size_t)(stop - text) : n;

    while (i < to && is_blank(text[i]))
      i++;
    while (i < to && is_blank(text[to - 1]))
      to--;
    if (i == to)
      continue;
    n_lines++;
    n_old += !hy_hashes_add(&c->seen, hy_hash_bytes(text + i, to - i));
  }
  return (double)n_old > c->d.max_repeat_lines * (double)n_lines;
}

/* Characters of words that lie in an n-gram which was there before; each counts
 * once. Source: as above. */
static int
repeats_grams(hy_curate *c)
{
  size_t len = (size_t)c->d.repeat_ngram, n, covered = 0;
  const uint64_t *gram = hy_curate_grams(c, len, &n);
  int64_t all = 0, old = 0;

  hy_hashes_clear(&c->seen, n);
  for (size_t i = 0; i < c->words.n; i++) {
    if (i < n && !hy_hashes_add(&c->seen, gram[i]))
      covered = i + len; /* words before this one */
    all += c->words.chars[i];
    old += i < covered ? c->words.chars[i] : 0;
  }
  return (double)old > c->d.max_repeat_ngrams * (double)all;
}

static int
shares_gram(hy_curate *c)
{
  for (size_t len = 1; len <= HY_NGRAM_MAX; len++) {
    const uint64_t *gram;
    size_t n;

    if (!c->eval_has[len])
      continue;
    gram = hy_curate_grams(c, len, &n);
    for (size_t i = 0; i < n; i++)
      if (hy_curate_known(c, gram[i]))
        return 1;
  }
  return 0;
}

const char *
hy_curate_judge(hy_curate *c, const char *text, size_t n)
{
  const hy_deck_curate *d = &c->d;
  int64_t chars = 0;

  if (d->min_chars > 0 || d->max_chars > 0)
    chars = count_chars(text, n);
  if (chars < d->min_chars)
    return "too short";
  if (d->max_chars > 0 && chars > d->max_chars)
    return "too long";
  if (d->max_repeat_lines < 1 && repeats_lines(c, text, n))
    return "repeated lines";
  if (d->max_repeat_ngrams >= 1 && c->eval.n == 0)
    return NULL;
  hy_words_of(&c->words, text, n);
  if (d->max_repeat_ngrams < 1 && repeats_grams(c))
    return "repeated n-grams";
  return shares_gram(c) ? "contaminated" : NULL;
}

/* ---- signatures ---- */

size_t
hy_curate_sign_bytes(const hy_curate *c)
{
  size_t n = (size_t)(c->d.near_bands * c->d.near_rows);

  return (c->d.exact ? HY_SIGN_EXACT : 0) +
         (c->d.near ? n * sizeof(uint32_t) : 0);
}

/* v = least of a hash of each n-gram, for one hash function a value. */
static void
min_hash(const uint32_t *seed, size_t n_values, const uint64_t *gram, size_t n,
         uint32_t *v)
{
  memset(v, 0xff, n_values * sizeof *v);
  for (size_t k = 0; k < n; k++) {
    uint32_t x = (uint32_t)(gram[k] ^ gram[k] >> 32);

    for (size_t i = 0; i < n_values; i++) {
      uint32_t h = x ^ seed[i];

      h = (h ^ h >> 16) * 0x85ebca6bu; /* finish of MurmurHash3 */
      h = (h ^ h >> 13) * 0xc2b2ae35u;
      h ^= h >> 16;
      v[i] = h < v[i] ? h : v[i];
    }
  }
}

void
hy_curate_sign(hy_curate *c, const char *text, size_t n, void *sign)
{
  size_t n_values = (size_t)(c->d.near_bands * c->d.near_rows), n_grams;
  size_t len = (size_t)c->d.near_ngram;
  const uint64_t *gram;

  if (c->d.exact) {
    char hex[HY_SHA_HEX];
    hy_sha256 s;

    hy_sha256_init(&s);
    hy_sha256_add(&s, text, n);
    hy_sha256_hex(&s, hex);
    memcpy(sign, s.h, HY_SIGN_EXACT);
  }
  if (!c->d.near)
    return;
  hy_words_of(&c->words, text, n);
  if (c->words.n < len) /* the whole is its only n-gram, unless it is empty */
    len = c->words.n ? c->words.n : 1;
  gram = hy_curate_grams(c, len, &n_grams);
  min_hash(c->seed, n_values, gram, n_grams,
           (uint32_t *)sign + (c->d.exact ? HY_SIGN_EXACT / 4 : 0));
}
