#include "cpu/cpu.h"
#include "base/clock.h"
#include "cpu/cpu_attention.h"
#include "cpu/cpu_kit.h"
#include "cpu/cpu_ssd.h"
#include "op/cost.h"
#include "config.h"

#include <cblas.h>
#include <stdlib.h>

void
cpu_init(void)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
  openblas_set_num_threads(1);
#endif
}

const char *
cpu_blas_kernels(void)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
  return openblas_get_corename();
#else
  return "";
#endif
}

void
cpu_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha,
         const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
         float *c, int64_t ldc)
{
  if (m > 0 && n > 0)
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans,
                tb ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha,
                a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void
cpu_gemm_par(int n_threads, int ta, int tb, int64_t m, int64_t n, int64_t k,
             float alpha, const float *a, int64_t lda, const float *b,
             int64_t ldb, float beta, float *c, int64_t ldc)
{
  int by_rows = m >= n;
  int64_t len = by_rows ? m : n;

#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int i = 0; i < n_threads; i++) {
    int64_t lo = len * i / n_threads, hi = len * (i + 1) / n_threads;

    if (by_rows)
      cpu_gemm(ta, tb, hi - lo, n, k, alpha, a + (ta ? lo : lo * lda), lda, b,
               ldb, beta, c + lo * ldc, ldc);
    else
      cpu_gemm(ta, tb, m, hi - lo, k, alpha, a, lda, b + (tb ? lo * ldb : lo),
               ldb, beta, c + lo, ldc);
  }
}

double
cpu_sgemm_rate(int n_threads, int repeats)
{
  enum { N = 1536 };
  float *m = hy_calloc(3 * N * N, sizeof *m), *a = m, *b = m + N * N;
  double best = 1e30;

  for (int64_t i = 0; i < 2 * N * N; i++)
    m[i] = (float)(i % 17) - 8;
  for (int i = 0; i < 2 * repeats; i++) {
    double t = hy_now();

    if (i % 2 == 0)
      cpu_gemm_par(n_threads, 0, 0, N, N, N, 1, a, N, b, N, 0, m + 2 * N * N,
                   N);
    else {
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
      openblas_set_num_threads(n_threads);
#endif
      cpu_gemm(0, 0, N, N, N, 1, a, N, b, N, 0, m + 2 * N * N, N);
      cpu_init();
    }
    t = hy_now() - t;
    best = t < best ? t : best;
  }
  free(m);
  return 2.0 * N * N * N / best;
}

double
cpu_copy_rate(int n_threads, int repeats)
{
  enum { N = 1 << 24 };
  float *a = hy_calloc(2 * (size_t)N, sizeof *a), *b = a + N;
  double best = 1e30;

  for (int k = 0; k <= repeats; k++) { /* the first touches the pages */
    double t = hy_now();

#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int i = 0; i < 64; i++)
      memcpy(b + i * (N / 64), a + i * (N / 64), N / 64 * sizeof *a);
    t = hy_now() - t;
    if (k > 0)
      best = t < best ? t : best;
  }
  free(a);
  return 2.0 * N * sizeof *a / best;
}

static double
cpu_timed(void (*body)(hy_ctx *, hy_rec *), hy_ctx *c, hy_rec *r)
{
  double t = hy_now();

  body(c, r);
  return hy_now() - t;
}

void
cpu_add_parts(float *out, const float *part, int64_t n, float beta)
{
  if (beta == 0)
    memset(out, 0, (size_t)n * sizeof *out);
  for (int i = 0; i < CPU_N_PART; i++)
    for (int64_t j = 0; j < n; j++)
      out[j] += part[i * n + j];
}

static size_t
cpu_scratch(const hy_ctx *c, const hy_rec *r, int backward)
{
  int64_t n = r->n_in ? r->in[0]->dim[0] : 0, cols;
  size_t (*ssd)(int64_t, int64_t, int64_t, int64_t, int64_t, int) =
      backward ? cpu_ssd_scratch_bwd : cpu_ssd_scratch_fwd;

  if (r->op < c->be->op || r->op >= c->be->op + HY_N_OPS)
    return 0;
  cols = hy_cols(r->in[0]);
  switch (r->op - c->be->op) {
  case HY_OP_ssd:
    return ssd(n, r->attr.n_heads, cols / r->attr.n_heads, r->attr.n_groups,
               hy_cols(r->in[2]) / r->attr.n_groups, c->n_threads);
  case HY_OP_ssd_state:
    return cpu_ssd_state_scratch(
        r->attr.n_span, r->attr.n_heads, cols / r->attr.n_heads,
        r->attr.n_groups, hy_cols(r->in[2]) / r->attr.n_groups, c->n_threads);
  case HY_OP_attention:
  case HY_OP_attention_block:
    if (backward)
      return cpu_attention_scratch_bwd(n, r->in[1]->dim[0], r->attr.n_heads,
                                       r->attr.n_kv_heads,
                                       cols / r->attr.n_heads, c->n_threads);
    return cpu_attention_scratch_fwd(n, r->attr.n_heads, r->attr.n_kv_heads,
                                     cols / r->attr.n_heads, c->n_threads);
  case HY_OP_router:
    return backward ? 0
                    : (size_t)c->n_threads *
                          hy_bytes(HY_F32, 2 * cols + 2 * r->attr.n_group);
  case HY_OP_seq_count:
  case HY_OP_seq_aux:
    return backward ? 0 : hy_bytes(HY_F32, 4 * cols);
  case HY_OP_ce:
    return backward ? 0 : (size_t)n * sizeof(double);
  case HY_OP_gated_rmsnorm:
    return backward ? hy_bytes(HY_F32, 2 * CPU_N_PART * cols) : 0;
  case HY_OP_rmsnorm:
  case HY_OP_scaled_norm:
  case HY_OP_softplus:
    return backward ? hy_bytes(HY_F32, CPU_N_PART * cols) : 0;
  default:
    return 0;
  }
}

/* A missing body does not link. */
#define HY_OP(n)                                                               \
  void cpu_##n##_fwd(hy_ctx *, hy_rec *);                                      \
  void cpu_##n##_bwd(hy_ctx *, hy_rec *);
#include "op/ops.def"
#undef HY_OP

static const hy_op cpu_op[] = {
#define HY_OP(n) {#n, cpu_##n##_fwd, cpu_##n##_bwd, hy_##n##_cost, 0},
#include "op/ops.def"
#undef HY_OP
};

const hy_backend hy_backend_cpu = {.name = "cpu",
                                   .act = HY_F32,
                                   .ssd_chunk = CPU_SSD_CHUNK,
                                   .op = cpu_op,
                                   .host_memory = 1,
                                   .plan = &hy_backend_plan,
                                   .scratch = cpu_scratch,
                                   .init = cpu_init,
                                   .mem = &cpu_mem,
                                   .kit = &cpu_kit,
                                   .timed = cpu_timed,
                                   .product_rate = cpu_sgemm_rate,
                                   .copy_rate = cpu_copy_rate,
                                   .product_name = "sgemm"};

/* Shapes without storage: the CPU's program and memory, no bodies run. */
const hy_backend hy_backend_plan = {.name = "cpu",
                                    .act = HY_F32,
                                    .ssd_chunk = CPU_SSD_CHUNK,
                                    .op = cpu_op,
                                    .dry = 1,
                                    .host_memory = 1,
                                    .scratch = cpu_scratch,
                                    .init = cpu_init};
