/* test_cut.c: rows cut over cp and tp against the definitions, for random
 * documents; every rank's part is made in this one process. */
#include "data/cut.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 256, N_AHEAD = 2, MAX_TP = 3 };

typedef struct {
  int32_t token[MAX], target[MAX], start[MAX];
  float weight[MAX];
  uint8_t pad[MAX];
  int32_t ahead[2 * N_AHEAD][MAX];
  float ahead_weight[N_AHEAD][MAX];
  hy_batch b;
} rows;

static uint64_t draw;

static int64_t
any(int64_t n)
{
  return (int64_t)(hy_rng_u64(5, draw++) % (uint64_t)n);
}

/* Rows of documents whose mean length is one of several, then padding. */
static void
make_rows(rows *r, int64_t n_rows, int64_t seq_len)
{
  hy_batch *b = &r->b;
  int64_t mean = 1 + any(2 * seq_len);

  *b = (hy_batch){.n_rows = n_rows,
                  .seq_len = seq_len,
                  .n_tokens = n_rows * seq_len,
                  .token = r->token,
                  .target = r->target,
                  .weight = r->weight,
                  .seq_start = r->start,
                  .pad = r->pad,
                  .n_ahead = N_AHEAD,
                  .n_target = 17};
  for (int k = 0; k < N_AHEAD; k++) {
    b->ahead[k].token = r->ahead[2 * k];
    b->ahead[k].target = r->ahead[2 * k + 1];
    b->ahead[k].weight = r->ahead_weight[k];
  }
  for (int64_t t = 0; t < b->n_tokens; t++) {
    int first = t % seq_len == 0;

    r->pad[t] = !first && (r->pad[t - 1] || any(8 * seq_len) == 0);
    first |= any(mean) == 0 && !r->pad[t];
    first |= t > 0 && r->pad[t] != r->pad[t - 1];
    r->token[t] = (int32_t)t + 1;
    r->target[t] = (int32_t)t + 2;
    r->weight[t] = (float)t;
    r->start[t] = first ? (int32_t)t : r->start[t - 1];
  }
  hy_batch_ahead(b);
}

/* Where each token of the rows lies. */
typedef struct {
  int rank, span, slice;
} place;

static void
check_columns(const rows *r, const hy_batch *m, int cp, int rank, place *at)
{
  int64_t s = r->b.seq_len;

  assert_int_equal(m->n_tokens, r->b.n_rows * hy_cut_tokens(s, cp, rank));
  assert_int_equal(m->n_rows, r->b.n_rows);
  assert_true(m->n_target == 17);
  for (int64_t t = 0; t < m->n_tokens; t++) {
    int64_t g = m->token[t] - 1, first = r->start[g];

    assert_int_equal(hy_cut_global(s, cp, rank, t), g);
    assert_int_equal(m->target[t], g + 2);
    assert_true(m->weight[t] == (float)g);
    assert_int_equal(m->pad[t], r->pad[g]);
    for (int k = 0; k < N_AHEAD; k++) {
      assert_int_equal(m->ahead[k].token[t], r->ahead[2 * k][g]);
      assert_int_equal(m->ahead[k].target[t], r->ahead[2 * k + 1][g]);
      assert_true(m->ahead[k].weight[t] == r->ahead_weight[k][g]);
    }
    assert_int_equal(at[g].rank, -1);
    at[g] = (place){rank, -1, -1};
    for (int i = 0; i < m->n_span; i++)
      if (t >= m->span[i].at && t < m->span[i].at + m->span[i].n) {
        at[g].span = i;
        first =
            first > g - (t - m->span[i].at) ? first : g - (t - m->span[i].at);
      }
    assert_int_equal(m->seq_start[t], t - (g - first));
  }
}

static void
check_spans(const rows *r, const hy_batch *m, int cp, int rank)
{
  int64_t s = r->b.seq_len;

  if (cp == 1) {
    assert_int_equal(m->n_span, 0);
    assert_null(m->row_start);
    return;
  }
  assert_int_equal(m->n_span, 2 * m->n_rows);
  for (int64_t i = 0; i < m->n_span; i++) {
    const hy_span *p = &m->span[i];
    int64_t g = m->token[p->at] - 1;

    assert_int_equal(p->row, i / 2);
    assert_int_equal(hy_cut_owner(cp, p->piece), rank);
    assert_int_equal(g, p->row * s + s * p->piece / (2 * cp));
    assert_int_equal(p->n, s * (p->piece + 1) / (2 * cp) - g + p->row * s);
    assert_int_equal(p->before, g - r->start[g]);
  }
  for (int64_t i = 0; i < 2 * cp * m->n_rows; i++) {
    int64_t row = i / (2 * cp), g = row * s + s * (i % (2 * cp)) / (2 * cp);

    assert_int_equal(m->row_start[i], r->start[g] - row * s);
  }
}

static void
check_docs(const rows *r, const hy_batch *m, const place *at)
{
  int32_t n = 0;

  for (int64_t t = 0, end; t < r->b.n_tokens; t = end) {
    int cut = 0;

    for (end = t; end < r->b.n_tokens && r->start[end] == t; end++)
      cut |= memcmp(&at[end], &at[t], sizeof *at) != 0;
    cut &= !r->pad[t];
    for (int64_t u = 0; m->doc && u < m->n_tokens; u++)
      if (r->start[m->token[u] - 1] == t)
        assert_int_equal(m->doc[u], cut ? n : -1);
    n += cut;
  }
  assert_int_equal(m->n_cut_docs, n);
}

static void
check_layout(const rows *r, int cp, int tp)
{
  place at[MAX];
  hy_cut *c[8];
  hy_batch m[8];

  memset(at, 0xff, sizeof at);
  for (int k = 0; k < cp; k++) {
    hy_cut_layout l = {cp, k, tp, 3};

    assert_int_equal(hy_cut_new(&c[k], &l, 3, r->b.seq_len, N_AHEAD), 0);
    hy_cut_rows(c[k], &r->b, &m[k]);
    check_columns(r, &m[k], cp, k, at);
    check_spans(r, &m[k], cp, k);
    for (int64_t t = 0; t < m[k].n_tokens; t++)
      for (int q = 0; q < tp; q++)
        if (t >= m[k].n_tokens * q / tp && t < m[k].n_tokens * (q + 1) / tp)
          at[m[k].token[t] - 1].slice = q;
  }
  for (int64_t t = 0; t < r->b.n_tokens; t++)
    assert_true(at[t].rank >= 0 && at[t].slice >= 0);
  for (int k = 0; k < cp; k++) {
    assert_int_equal(m[k].doc != NULL, cp * tp > 1);
    check_docs(r, &m[k], at);
    hy_cut_free(c[k]);
  }
}

static void
test_random(void **state)
{
  static rows r;

  (void)state;
  for (int i = 0; i < 300; i++) {
    int cp = 1 + i % 4;
    int64_t seq_len = 6 * cp + any(50);

    make_rows(&r, any(4), seq_len);
    for (int tp = 1; tp <= MAX_TP; tp++)
      check_layout(&r, cp, tp);
  }
}

static void
test_short(void **state)
{
  hy_cut_layout l = {4, 0, 1, 3};
  hy_cut *c;

  (void)state;
  assert_int_equal(hy_cut_new(&c, &l, 1, 23, 0), HY_EDECK);
  assert_null(c);
  assert_non_null(strstr(hy_err_text(), "23 tokens cut in 8 pieces"));
  assert_int_equal(hy_cut_new(&c, &l, 1, 24, 0), 0);
  hy_cut_free(c);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),
                                     cmocka_unit_test(test_short)};

  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
