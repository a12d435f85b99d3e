/* test_op.h: records made by hand, for the tests of single ops against naive
 * double-precision versions. */
#ifndef HYMN_CPU_TEST_OP_H
#define HYMN_CPU_TEST_OP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cpu/cpu.h"

/* Everything that a test allocates, freed together. */
static void *test_block[4096];
static int test_n_blocks;

#if defined HY_TEST_PINNED || defined HY_TEST_GPU
/* memory that a GPU reads as well (gpu/test_parity.c, gpu/test_gpu.c) */
void *test_pinned(size_t bytes);
void test_unpin(void *p);
#else
#define test_pinned(bytes) calloc(bytes, 1)
#define test_unpin free
#endif

/* The backend that a test of regions runs on; a grid, between hy_grid_new and
 * hy_grid_free, whose ranks are to use it; how many ways they have to talk. */
#ifdef HY_TEST_GPU
const hy_backend *test_backend(void);
void test_open(hy_grid *grid);
void test_close(hy_grid *grid);
enum { TEST_WAYS = 6 };
#else
#define test_backend() (&hy_backend_cpu)
#define test_open(grid) ((void)(grid))
#define test_close(grid) ((void)(grid))
enum { TEST_WAYS = 1 };
#endif

static inline void *
test_alloc(size_t n, size_t size)
{
  void *p = test_pinned((n > 0 ? n : 1) * size);

  assert_non_null(p);
  assert_true(test_n_blocks < 4096);
  test_block[test_n_blocks++] = p;
  return p;
}

static inline void
test_release(void)
{
  while (test_n_blocks > 0)
    test_unpin(test_block[--test_n_blocks]);
}

/* Uniform in [-1, 1), the same everywhere (splitmix64). */
static uint64_t test_seed;

static inline double
test_random(void)
{
  uint64_t z = (test_seed += 0x9e3779b97f4a7c15u);

  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) / (double)(1ull << 52) - 1.0;
}

/* A tensor (rows, cols) with `gap` more elements from row to row; all, also
 * the gap, is NaN. */
static inline hy_tensor *
test_tensor(int64_t rows, int64_t cols, int64_t gap)
{
  hy_tensor *t = test_alloc(1, sizeof *t);
  int64_t n = rows * (cols + gap);

  t->fmt = t->gfmt = HY_F32;
  t->n_dim = 2;
  t->dim[0] = rows;
  t->dim[1] = cols;
  t->ld = cols + gap;
  t->data = test_alloc((size_t)n, sizeof(float));
  for (int64_t i = 0; i < n; i++)
    hy_f32(t)[i] = NAN;
  return t;
}

/* data = lo + (hi - lo) random */
static inline void
test_fill(hy_tensor *t, double lo, double hi)
{
  for (int64_t i = 0; i < t->dim[0]; i++)
    for (int64_t j = 0; j < hy_cols(t); j++)
      hy_f32(t)[i * t->ld + j] =
          (float)(lo + (hi - lo) * 0.5 * (test_random() + 1.0));
}

/* A gradient with t's shape and ld, all `value`. */
static inline void
test_grad(hy_tensor *t, float value)
{
  t->grad = test_alloc((size_t)(t->dim[0] * t->ld), sizeof(float));
  for (int64_t i = 0; i < t->dim[0] * t->ld; i++)
    t->grad[i] = value;
}

/* seq_start of documents of the lengths len[0], len[1], ..., repeated until n
 * tokens are full. */
static inline int32_t *
test_docs(int64_t n, const int *len, int n_len)
{
  int32_t *f = test_alloc((size_t)n, sizeof *f);
  int64_t t = 0;

  for (int i = 0; t < n; i = (i + 1) % n_len)
    for (int64_t u = 0, first = t; u < len[i] && t < n; u++, t++)
      f[t] = (int32_t)first;
  return f;
}

/* t's numbers (or its gradient's) without the gaps, in double. */
static inline double *
test_double(const hy_tensor *t, const float *from)
{
  int64_t cols = hy_cols(t);
  double *p = test_alloc((size_t)(t->dim[0] * cols), sizeof *p);

  for (int64_t i = 0; i < t->dim[0] * cols; i++)
    p[i] = (double)from[i / cols * t->ld + i % cols];
  return p;
}

/* max |got - (want + add)| / max(|want|, 0.5), NaN counting as infinite. The
 * floor is for gradients that are exactly zero (of a single key, say). */
static inline double
test_error(const hy_tensor *t, const float *got, const double *want, double add)
{
  int64_t cols = hy_cols(t);
  double worst = 0.0, largest = 0.5;

  for (int64_t i = 0; i < t->dim[0] * cols; i++) {
    double e = fabs((double)got[i / cols * t->ld + i % cols] - want[i] - add);

    if (!(e <= 1e30))
      return INFINITY;
    worst = e > worst ? e : worst;
    largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
  }
  return worst / largest;
}

/* out[0] gets a random gradient, and *dy the same in double, once. */
static inline void
test_dy(hy_rec *r, double **dy)
{
  hy_tensor *out = r->out[0], *t;

  if (out->grad != NULL)
    return;
  t = test_tensor(out->dim[0], hy_cols(out), out->ld - hy_cols(out));
  test_fill(t, -1, 1);
  out->grad = t->data;
  *dy = test_double(out, out->grad);
}

/* The gaps between rows still hold NaN: nothing was written past a row. */
static inline void
test_gaps(const hy_tensor *t, const float *p)
{
  for (int64_t i = 0; i < t->dim[0]; i++)
    for (int64_t j = hy_cols(t); j < t->ld; j++)
      assert_true(isnan(p[i * t->ld + j]));
}

/* Scratch full of NaN, of exactly the bytes the body asked for. */
static inline void
test_scratch(hy_rec *r, size_t bytes)
{
  r->scratch = test_alloc(bytes, 1);
  memset(r->scratch, 0xff, bytes);
}

/* The numbers of a and b are the same bits for rows t0 .. t1-1. */
static inline int
test_same(const hy_tensor *t, const float *a, const float *b, int64_t t0,
          int64_t t1)
{
  for (int64_t i = t0; i < t1; i++)
    if (memcmp(a + i * t->ld, b + i * t->ld, (size_t)hy_cols(t) * sizeof *a) !=
        0)
      return 0;
  return 1;
}

/* Central difference of f(arg) along p[i]; the naive versions are double, so
 * that a step of 1e-5 leaves about 1e-9. */
static inline double
test_slope(double (*f)(void *), void *arg, double *p)
{
  double at = *p, step = 1e-5, up, down;

  *p = at + step;
  up = f(arg);
  *p = at - step;
  down = f(arg);
  *p = at;
  return (up - down) / (2.0 * step);
}

/* A tensor of its own with the same numbers, also those of the gradient. */
static inline hy_tensor *
test_copy(const hy_tensor *t)
{
  hy_tensor *c = test_alloc(1, sizeof *c);
  size_t n = (size_t)(t->dim[0] * t->ld);

  *c = *t;
  c->data = test_alloc(n, sizeof(float));
  memcpy(c->data, t->data, n * sizeof(float));
  if (t->grad != NULL) {
    c->grad = test_alloc(n, sizeof(float));
    memcpy(c->grad, t->grad, n * sizeof(float));
  }
  return c;
}

/* All rows but t0 .. t1-1 become huge or NaN. */
static inline void
test_poison(const hy_tensor *t, float *p, int64_t t0, int64_t t1)
{
  for (int64_t i = 0; i < t->dim[0]; i++)
    for (int64_t j = 0; j < hy_cols(t) && (i < t0 || i >= t1); j++)
      p[i * t->ld + j] = (i + j) % 3 == 0   ? NAN
                         : (i + j) % 3 == 1 ? INFINITY
                                            : 3e38f;
}

/* --- generation: sequences that arrive in pieces ------------------------- */

enum { TEST_CALLS = 5, TEST_SEQS = 3 };

/* How many new tokens of each sequence a call brings. The last piece of
 * sequence 2 spans several tiles and chunks; calls 1, 2 have single tokens. */
static const int test_piece[TEST_CALLS][TEST_SEQS] = {
    {5, 0, 90}, {1, 1, 1}, {1, 3, 1}, {9, 0, 150}, {0, 64, 1}};
static const int32_t test_slot[TEST_SEQS] = {3, 0, 2};

typedef struct {
  int n_calls;
  int64_t n_tokens, n_slots, max_len;
  int32_t *seq_start; /* of all sequences one after another */
  int64_t first[TEST_SEQS], len[TEST_SEQS], done[TEST_SEQS];
} test_plan;

static inline test_plan
test_plan_new(void)
{
  test_plan p = {.n_calls = TEST_CALLS, .n_slots = 4};

  for (int s = 0; s < TEST_SEQS; s++) {
    for (int i = 0; i < TEST_CALLS; i++)
      p.len[s] += test_piece[i][s];
    p.first[s] = p.n_tokens;
    p.n_tokens += p.len[s];
    p.max_len = p.len[s] + 2 > p.max_len ? p.len[s] + 2 : p.max_len;
  }
  p.seq_start = test_alloc((size_t)p.n_tokens, sizeof *p.seq_start);
  for (int s = 0; s < TEST_SEQS; s++)
    for (int64_t t = 0; t < p.len[s]; t++)
      p.seq_start[p.first[s] + t] = (int32_t)p.first[s];
  return p;
}

/* The segments of call i, the last sequence first; returns, by row of the
 * call, the row of the whole. */
static inline const int64_t *
test_plan_call(test_plan *p, int i, hy_segments *seg)
{
  int64_t *start = test_alloc(TEST_SEQS + 1, sizeof *start);
  int64_t *past = test_alloc(TEST_SEQS, sizeof *past);
  int32_t *slot = test_alloc(TEST_SEQS, sizeof *slot);
  int64_t *row = test_alloc((size_t)p->n_tokens, sizeof *row), n = 0;

  *seg = (hy_segments){0, start, slot, past};
  for (int s = TEST_SEQS - 1; s >= 0; s--) {
    if (test_piece[i][s] == 0)
      continue;
    slot[seg->n_seg] = test_slot[s];
    past[seg->n_seg] = p->done[s];
    for (int t = 0; t < test_piece[i][s]; t++)
      row[n++] = p->first[s] + p->done[s]++;
    start[++seg->n_seg] = n;
  }
  return row;
}

/* Rows row[0], row[1], ... of `from`. */
static inline void
test_rows(hy_tensor *to, const hy_tensor *from, const int64_t *row)
{
  for (int64_t i = 0; i < to->dim[0]; i++)
    memcpy(hy_f32(to) + i * to->ld, hy_f32(from) + row[i] * from->ld,
           (size_t)hy_cols(to) * sizeof(float));
}

/* max |got - want[row]| / max |want| */
static inline double
test_rows_error(const hy_tensor *got, const hy_tensor *want, const int64_t *row)
{
  hy_tensor *w = test_tensor(got->dim[0], hy_cols(got), 0);

  test_rows(w, want, row);
  return test_error(got, hy_f32(got), test_double(w, hy_f32(w)), 0.0);
}

#endif
