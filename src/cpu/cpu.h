/* cpu.h: what the CPU bodies share: products, threads, vector functions.
 *
 * Threads: a body splits its own work over ctx->n_threads with OpenMP and
 * calls single-threaded BLAS inside, so that products, scans and elementwise
 * work use the same threads and never fight for cores. Our own sums are split
 * into a fixed number of parts, never by thread. */
#ifndef HYMN_CPU_CPU_H
#define HYMN_CPU_CPU_H

#include "cpu/cpu_exp.h"
#include "op/op.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/** Name of the product kernels that the BLAS library runs ("Haswell" is AVX2,
 *  "SkylakeX" and later AVX-512), "" where it does not say. */
const char *cpu_blas_kernels(void);

/** FLOP/s of the fastest of `repeats` square products of 1536 rows on
 *  n_threads, the larger of our split and the library's own threads: the limit
 *  that benchmarks divide by. */
double cpu_sgemm_rate(int n_threads, int repeats);

/** Bytes/s that the fastest of `repeats` copies of 64 MiB reads and writes. */
double cpu_copy_rate(int n_threads, int repeats);

/** c = beta c + alpha op(a) op(b), row-major, op(a) (m, k), op(b) (k, n), on
 *  the calling thread alone. ta, tb: 1 for the transposed operand. */
void cpu_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb,
              float beta, float *c, int64_t ldc);

/** As cpu_gemm, split over n_threads along the longer of m and n. */
void cpu_gemm_par(int n_threads, int ta, int tb, int64_t m, int64_t n,
                  int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c,
                  int64_t ldc);

/** Make the BLAS library single-threaded, before the first product. */
void cpu_init(void);

/* Sums over rows (gradients of norm weights and biases) go through this many
 * partial sums, added in order. */
enum { CPU_N_PART = 16 };

/** Rows first .. end-1 of part i of n rows. */
static inline int64_t
cpu_part(int64_t n, int i)
{
  return n * i / CPU_N_PART;
}

/** out[j] = beta out[j] + sum over parts of part[i][j], j < n, in order. */
void cpu_add_parts(float *out, const float *part, int64_t n, float beta);

/** g = beta g + x for n floats; beta 0 does not read g. */
static inline void
cpu_put(float *g, const float *x, int64_t n, float beta)
{
  if (beta == 0)
    memcpy(g, x, (size_t)n * sizeof *g);
  else
    for (int64_t i = 0; i < n; i++)
      g[i] += x[i];
}

/** 1/(1 + exp(-x)) from the exponential of -|x|, which never overflows. */
static inline float
cpu_sigmoid(float x)
{
  float e = cpu_exp_neg(x > 0 ? -x : x);

  return (x > 0 ? 1.0f : e) / (1.0f + e);
}

#endif
