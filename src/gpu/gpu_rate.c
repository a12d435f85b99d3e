/* gpu_rate.c: time on the GPU, and the limits of this GPU as measured. */
#include "gpu/gpu_rate.h"
#include "gpu/gpu.h"
#include "gpu/gpu_blas.h"
#include "base/err.h"

#include <stdlib.h>

/* Seconds between two events around what the call puts into the stream. */
static double
between(void (*call)(void *), void *arg)
{
  cudaEvent_t a, b;
  float ms = 0;

  gpu_check(cudaEventCreate(&a), "timing");
  gpu_check(cudaEventCreate(&b), "timing");
  gpu_check(cudaEventRecord(a, gpu_stream()), "timing");
  call(arg);
  gpu_check(cudaEventRecord(b, gpu_stream()), "timing");
  gpu_check(cudaEventSynchronize(b), "timing");
  gpu_check(cudaEventElapsedTime(&ms, a, b), "timing");
  gpu_check(cudaEventDestroy(a), "timing");
  gpu_check(cudaEventDestroy(b), "timing");
  return ms * 1e-3;
}

typedef struct {
  void (*body)(hy_ctx *, hy_rec *);
  hy_ctx *c;
  hy_rec *r;
} timed;

static void
run_timed(void *arg)
{
  timed *t = arg;

  t->body(t->c, t->r);
}

double
gpu_timed(void (*body)(hy_ctx *, hy_rec *), hy_ctx *c, hy_rec *r)
{
  timed t = {body, c, r};

  gpu_mem.wait();
  return between(run_timed, &t);
}

/* Memory for a measurement: as large as there is room for, up to `most`. */
static void *
get_most(size_t most, size_t least, size_t *got)
{
  void *p = NULL;

  for (*got = most; !p && *got >= least; *got /= 2)
    p = gpu_mem.get(*got);
  *got *= 2; /* the loop has halved it once more */
  if (!p)
    hy_die(HY_ERES, "bench: no room on the GPU to measure its limits");
  return p;
}

/* ---- copies ---------------------------------------------------------------
 */

typedef struct {
  char *p;
  size_t n;
} half;

static void
run_copy(void *arg)
{
  half *h = arg;

  gpu_mem.copy(h->p, h->p + h->n, h->n);
}

double
gpu_copy_rate(int n_threads, int repeats)
{
  double best = 1e30;
  size_t n;
  half h;

  (void)n_threads;
  h.p = get_most((size_t)1 << 30, 1 << 20, &n);
  h.n = n / 2;
  for (int i = 0; i <= repeats; i++) {
    double t = between(run_copy, &h);

    best = i > 0 && t < best ? t : best;
  }
  gpu_mem.put(h.p);
  return (double)n / best;
}

/* ---- products -------------------------------------------------------------
 */

typedef struct {
  int64_t n;
  cu_mat a, b, c;
} product;

static void
run_product(void *arg)
{
  product *p = arg;

  gpu_blas_gemm(gpu_stream(), 0, 1, p->n, p->n, p->n, p->a, p->b, 0, p->c);
}

/* Random numbers: zeros would let the GPU run faster than any model does. */
static void
fill(void *to, hy_fmt fmt, int64_t n)
{
  float *x = hy_malloc((size_t)n * sizeof *x);
  void *raw = hy_malloc(hy_bytes(fmt, n));
  uint32_t s = 1;

  for (int64_t i = 0; i < n; i++) {
    s = s * 1664525u + 1013904223u;
    x[i] = (float)(s >> 8) / (1 << 23) - 1;
  }
  hy_from_f32(raw, x, fmt, n);
  gpu_mem.load(to, raw, hy_bytes(fmt, n));
  free(raw);
  free(x);
}

static double
product_rate(hy_fmt fmt, int repeats)
{
  product p = {.n = 8192};
  double best = 1e30;
  size_t got, one;
  char *room;

  /* a smaller one where memory is short, as in tests */
  room = get_most(3 * hy_bytes(fmt, p.n * p.n), 3 * hy_bytes(fmt, 128 * 128),
                  &got);
  while (3 * hy_bytes(fmt, p.n * p.n) > got)
    p.n /= 2;
  one = hy_bytes(fmt, p.n * p.n);
  p.a = (cu_mat){room, p.n, fmt == HY_BF16};
  p.b = (cu_mat){room + one, p.n, fmt == HY_BF16};
  p.c = (cu_mat){room + 2 * one, p.n, fmt == HY_BF16};
  fill(room, fmt, 2 * p.n * p.n);
  for (int i = 0; i <= repeats; i++) {
    double t = between(run_product, &p);

    best = i > 0 && t < best ? t : best;
  }
  gpu_mem.put(room);
  return 2.0 * (double)p.n * (double)p.n * (double)p.n / best;
}

double
gpu_product_rate_fp32(int n_threads, int repeats)
{
  (void)n_threads;
  return product_rate(HY_F32, repeats);
}

double
gpu_product_rate_bf16(int n_threads, int repeats)
{
  (void)n_threads;
  return product_rate(HY_BF16, repeats);
}
