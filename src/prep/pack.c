#include "prep/pack.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

int
hy_packing_named(const char *name)
{
  static const char *const names[] = {"concatenative", "first_fit_decreasing",
                                      "first_fit_shuffle", "best_fit"};

  for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
    if (!strcmp(name, names[i]))
      return i;
  return -1;
}

/* ---- the order in which documents are placed ---- */

typedef struct {
  int64_t len, doc;
} item;

static int
longer_first(const void *a, const void *b)
{
  const item *x = a, *y = b;

  if (x->len != y->len)
    return x->len > y->len ? -1 : 1;
  return (x->doc > y->doc) - (x->doc < y->doc);
}

static item *
items_in_turn(hy_packing how, const int64_t *len, int64_t n, int64_t seq_len,
              uint64_t seed)
{
  item *it = hy_malloc((size_t)n * sizeof *it);
  uint64_t key = hy_rng_key(seed, "pack");

  for (int64_t i = 0; i < n; i++) {
    if (len[i] < 1 || len[i] > seq_len)
      hy_die(HY_EBUG,
             "pack: document %lld has %lld tokens, rows have %lld; please "
             "report this deck",
             (long long)i, (long long)len[i], (long long)seq_len);
    it[i] = (item){len[i], i};
  }
  if (how != HY_PACK_FIRST_FIT_SHUFFLE) {
    qsort(it, (size_t)n, sizeof *it, longer_first);
    return it;
  }
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = (int64_t)(hy_rng_u64(key, (uint64_t)i) % (uint64_t)(i + 1));
    item t = it[i];

    it[i] = it[j];
    it[j] = t;
  }
  return it;
}

/* ---- first fit: a tree of the most room among a range of rows ---- */

/* Rows that nothing is in yet have all the room, so that one search finds both
 * the first row with room and the one to begin. */
static int64_t
first_fit(const item *it, int64_t n, int64_t seq_len, int64_t *row)
{
  int64_t width = 1, n_rows = 0, *room;

  while (width < n)
    width *= 2;
  room = hy_malloc(2 * (size_t)width * sizeof *room);
  for (int64_t i = 0; i < 2 * width; i++)
    room[i] = seq_len;
  for (int64_t k = 0; k < n; k++) {
    int64_t at = 1;

    while (at < width)
      at = 2 * at + (room[2 * at] < it[k].len);
    row[it[k].doc] = at - width;
    if (at - width == n_rows)
      n_rows++;
    room[at] -= it[k].len;
    for (at /= 2; at > 0; at /= 2)
      room[at] =
          room[2 * at] > room[2 * at + 1] ? room[2 * at] : room[2 * at + 1];
  }
  free(room);
  return n_rows;
}

/* ---- best fit: stacks of rows by their room, and which of them hold any ----
 */

enum { LEVELS = 11 }; /* of 6 bits: any int64_t */

/* A set of numbers below a bound; a word of level l + 1 has a bit for each
 * word of level l that is not 0. */
typedef struct {
  int n;
  int64_t size[LEVELS];
  uint64_t *word[LEVELS];
} set;

static void
set_new(set *s, int64_t bound)
{
  s->n = 0;
  do {
    bound = (bound + 63) / 64;
    s->size[s->n] = bound;
    s->word[s->n++] = hy_calloc((size_t)bound, sizeof **s->word);
  } while (bound > 1);
}

static void
set_free(set *s)
{
  for (int l = 0; l < s->n; l++)
    free(s->word[l]);
}

static void
set_put(set *s, int64_t x)
{
  for (int l = 0; l < s->n; l++, x /= 64)
    s->word[l][x / 64] |= (uint64_t)1 << x % 64;
}

static void
set_drop(set *s, int64_t x)
{
  for (int l = 0; l < s->n; l++, x /= 64) {
    s->word[l][x / 64] &= ~((uint64_t)1 << x % 64);
    if (s->word[l][x / 64])
      return;
  }
}

/* The smallest number in s that is at least x, -1: none. */
static int64_t
set_from(const set *s, int64_t x)
{
  for (int l = 0; l < s->n && x / 64 < s->size[l]; l++) {
    uint64_t w = s->word[l][x / 64] >> x % 64;

    if (w) {
      x += __builtin_ctzll(w);
      while (l-- > 0)
        x = 64 * x + __builtin_ctzll(s->word[l][x]);
      return x;
    }
    x = x / 64 + 1; /* in the level above: the words behind this one */
  }
  return -1;
}

static int64_t
best_fit(const item *it, int64_t n, int64_t seq_len, int64_t *row)
{
  int64_t *top = hy_calloc((size_t)seq_len + 1, sizeof *top); /* row + 1 */
  int64_t *below = hy_malloc((size_t)n * sizeof *below);
  int64_t n_rows = 0;
  set rooms;

  set_new(&rooms, seq_len + 1);
  for (int64_t k = 0; k < n; k++) {
    int64_t room = set_from(&rooms, it[k].len), r;

    if (room < 0) {
      r = n_rows++;
      room = seq_len;
    } else {
      r = top[room] - 1;
      top[room] = below[r];
      if (top[room] == 0)
        set_drop(&rooms, room);
    }
    row[it[k].doc] = r;
    room -= it[k].len;
    below[r] = top[room];
    top[room] = r + 1;
    set_put(&rooms, room);
  }
  set_free(&rooms);
  free(below);
  free(top);
  return n_rows;
}

int64_t
hy_pack(hy_packing how, const int64_t *len, int64_t n, int64_t seq_len,
        uint64_t seed, int64_t *order, int64_t *first)
{
  int64_t *row = hy_malloc((size_t)n * sizeof *row), n_rows;
  item *it = items_in_turn(how, len, n, seq_len, seed);

  n_rows = how == HY_PACK_BEST_FIT ? best_fit(it, n, seq_len, row)
                                   : first_fit(it, n, seq_len, row);
  /* by row: count, sum, and put each document behind those before it */
  memset(first, 0, ((size_t)n + 1) * sizeof *first);
  for (int64_t i = 0; i < n; i++)
    first[row[i] + 1]++;
  for (int64_t r = 0; r < n; r++)
    first[r + 1] += first[r];
  for (int64_t i = 0; i < n; i++)
    order[first[row[i]]++] = i;
  memmove(first + 1, first, (size_t)n * sizeof *first);
  first[0] = 0;
  free(it);
  free(row);
  return n_rows;
}
