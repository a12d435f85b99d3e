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

static inline void *
test_alloc(size_t n, size_t size)
{
  void *p = calloc(n > 0 ? n : 1, size);

  assert_non_null(p);
  assert_true(test_n_blocks < 4096);
  test_block[test_n_blocks++] = p;
  return p;
}

static inline void
test_release(void)
{
  while (test_n_blocks > 0)
    free(test_block[--test_n_blocks]);
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

  t->fmt = HY_F32;
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

/* max |got - (want + add)| / max |want|: NaN counts as infinite. */
static inline double
test_error(const hy_tensor *t, const float *got, const double *want, double add)
{
  int64_t cols = hy_cols(t);
  double worst = 0.0, largest = 1e-30;

  for (int64_t i = 0; i < t->dim[0] * cols; i++) {
    double e = fabs((double)got[i / cols * t->ld + i % cols] - want[i] - add);

    if (!(e <= 1e30))
      return INFINITY;
    worst = e > worst ? e : worst;
    largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
  }
  return worst / largest;
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

#endif
