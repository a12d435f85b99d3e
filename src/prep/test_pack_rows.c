/* Rows from lengths: every method against the definition of its name, done
 * slowly, for many kinds of lengths. */
#include "prep/pack.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 700 };

static uint64_t draw;

static int64_t
any(int64_t n)
{
  return (int64_t)(hy_rng_u64(11, draw++) % (uint64_t)n);
}

/* Documents in the order of placing: longest first, by number among equals. */
static void
by_length(const int64_t *len, int64_t n, int64_t *turn)
{
  for (int64_t i = 0; i < n; i++) {
    int64_t k = i;

    for (; k > 0 && len[turn[k - 1]] < len[i]; k--)
      turn[k] = turn[k - 1];
    turn[k] = i;
  }
}

/* Look at every row for every document. */
static int64_t
naive(int best, const int64_t *len, const int64_t *turn, int64_t n,
      int64_t seq_len, int64_t *row)
{
  int64_t room[MAX], touched[MAX], n_rows = 0;

  for (int64_t k = 0; k < n; k++) {
    int64_t to = -1, l = len[turn[k]];

    for (int64_t r = 0; r < n_rows; r++) {
      if (room[r] < l)
        continue;
      if (to < 0 ||
          (best && (room[r] < room[to] ||
                    (room[r] == room[to] && touched[r] > touched[to]))))
        to = r;
    }
    if (to < 0) {
      to = n_rows++;
      room[to] = seq_len;
    }
    room[to] -= l;
    touched[to] = k;
    row[turn[k]] = to;
  }
  return n_rows;
}

/* Every document once, in rows that are neither empty nor too full, by number
 * within a row. row[]: where each went. */
static void
sound(const int64_t *len, int64_t n, int64_t seq_len, const int64_t *order,
      const int64_t *first, int64_t n_rows, int64_t *row)
{
  assert_int_equal(first[0], 0);
  assert_int_equal(first[n_rows], n);
  for (int64_t i = 0; i < n; i++)
    row[i] = -1;
  for (int64_t r = 0; r < n_rows; r++) {
    int64_t sum = 0;

    assert_true(first[r] < first[r + 1]);
    for (int64_t k = first[r]; k < first[r + 1]; k++) {
      assert_in_range(order[k], 0, n - 1);
      assert_true(k == first[r] || order[k - 1] < order[k]);
      assert_int_equal(row[order[k]], -1);
      row[order[k]] = r;
      sum += len[order[k]];
    }
    assert_true(sum <= seq_len);
  }
}

static void
lengths(int64_t *len, int64_t n, int64_t seq_len)
{
  int kind = (int)any(4);

  for (int64_t i = 0; i < n; i++)
    if (kind == 0)
      len[i] = 1 + any(seq_len);
    else if (kind == 1) /* many small, a few large */
      len[i] = any(10) ? 1 + any((seq_len + 9) / 10) : 1 + any(seq_len);
    else if (kind == 2) /* few different ones */
      len[i] = 1 + seq_len * any(3) / 3;
    else
      len[i] = any(2) ? seq_len : 1;
}

static void
methods_do_as_named(void **state)
{
  static int64_t len[MAX], turn[MAX], order[MAX], first[MAX + 1], row[MAX],
      want[MAX];

  (void)state;
  for (int round = 0; round < 300; round++) {
    int64_t n = 1 + any(round % 10 ? 60 : MAX);
    int64_t seq_len = 1 + any(any(2) ? 20 : 5000), n_rows;

    lengths(len, n, seq_len);
    by_length(len, n, turn);
    for (int best = 0; best < 2; best++) {
      n_rows = hy_pack(best ? HY_PACK_BEST_FIT : HY_PACK_FIRST_FIT_DECREASING,
                       len, n, seq_len, 1, order, first);
      sound(len, n, seq_len, order, first, n_rows, row);
      assert_int_equal(naive(best, len, turn, n, seq_len, want), n_rows);
      assert_memory_equal(row, want, (size_t)n * sizeof *row);
    }
  }
}

/* First fit in an order that nobody knows: no row before the one of a document
 * had room for it when all that came into these rows is counted. The order is
 * the seed's: the same again, another for another seed. */
static void
shuffled_by_seed(void **state)
{
  static int64_t len[MAX], order[MAX], first[MAX + 1], row[MAX], again[MAX];
  int64_t n_rows, n_more, moved = 0;

  (void)state;
  for (int round = 0; round < 100; round++) {
    int64_t n = 1 + any(MAX), seq_len = 1 + any(3000);

    lengths(len, n, seq_len);
    n_rows =
        hy_pack(HY_PACK_FIRST_FIT_SHUFFLE, len, n, seq_len, 7, order, first);
    sound(len, n, seq_len, order, first, n_rows, row);
    memcpy(again, order, sizeof again);
    for (int64_t i = 0; i < n; i++)
      for (int64_t r = 0; r < row[i]; r++) {
        int64_t sum = 0;

        for (int64_t k = first[r]; k < first[r + 1]; k++)
          sum += len[order[k]];
        assert_true(sum + len[i] > seq_len);
      }
    n_more =
        hy_pack(HY_PACK_FIRST_FIT_SHUFFLE, len, n, seq_len, 7, order, first);
    assert_int_equal(n_more, n_rows);
    assert_memory_equal(order, again, (size_t)n * sizeof *order);
    hy_pack(HY_PACK_FIRST_FIT_SHUFFLE, len, n, seq_len, 8, order, first);
    moved += memcmp(order, again, (size_t)n * sizeof *order) != 0;
  }
  assert_true(moved > 50);
}

static void
none_and_one(void **state)
{
  int64_t len[1] = {5}, order[1], first[2] = {9, 9};

  (void)state;
  for (int how = HY_PACK_FIRST_FIT_DECREASING; how <= HY_PACK_BEST_FIT; how++) {
    assert_int_equal(hy_pack((hy_packing)how, len, 0, 8, 1, order, first), 0);
    assert_int_equal(first[0], 0);
    assert_int_equal(hy_pack((hy_packing)how, len, 1, 5, 1, order, first), 1);
    assert_int_equal(first[1], 1);
    assert_int_equal(order[0], 0);
  }
}

/* A million documents in rows of a million tokens: what is not O(n log n) would
 * not end. */
static void
many(void **state)
{
  int64_t n = 1000000, seq_len = 1 << 20, total = 0;
  int64_t *len = hy_malloc((size_t)n * sizeof *len);
  int64_t *order = hy_malloc((size_t)n * sizeof *order);
  int64_t *first = hy_malloc(((size_t)n + 1) * sizeof *first);
  int64_t *row = hy_malloc((size_t)n * sizeof *row);

  (void)state;
  for (int64_t i = 0; i < n; i++)
    total += len[i] = 1 + any(seq_len);
  for (int how = HY_PACK_FIRST_FIT_DECREASING; how <= HY_PACK_BEST_FIT; how++) {
    int64_t n_rows = hy_pack((hy_packing)how, len, n, seq_len, 3, order, first);

    sound(len, n, seq_len, order, first, n_rows, row);
    assert_true((n_rows - 1) * seq_len < 2 * total); /* any first fit */
    if (how != HY_PACK_FIRST_FIT_SHUFFLE)            /* 11/9 of the best */
      assert_true((double)n_rows * (double)seq_len < 1.23 * (double)total);
  }
  free(len);
  free(order);
  free(first);
  free(row);
}

static void
names(void **state)
{
  (void)state;
  assert_int_equal(hy_packing_named("concatenative"), HY_PACK_CONCATENATIVE);
  assert_int_equal(hy_packing_named("first_fit_decreasing"),
                   HY_PACK_FIRST_FIT_DECREASING);
  assert_int_equal(hy_packing_named("first_fit_shuffle"),
                   HY_PACK_FIRST_FIT_SHUFFLE);
  assert_int_equal(hy_packing_named("best_fit"), HY_PACK_BEST_FIT);
  assert_int_equal(hy_packing_named("best"), -1);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(methods_do_as_named), cmocka_unit_test(shuffled_by_seed),
      cmocka_unit_test(none_and_one), cmocka_unit_test(many),
      cmocka_unit_test(names)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
