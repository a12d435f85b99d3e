/* cublaslt.cpp: the calls of cublasLt that hymn makes, by the BLAS library of
 * the CPU: a product is work of its stream like a kernel. Stricter than the
 * library: descriptors must fit together, and an algorithm is good only for
 * what it was chosen for. bf16 rows at odd addresses are not supported here, so
 * that the way around them is taken too. */
#include "include/cublasLt.h"
#include "threads.h"

#include <cstring>
#include <cuda_bf16.h>
#include <vector>

extern "C" void cpu_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k,
                         float alpha, const float *a, int64_t lda,
                         const float *b, int64_t ldb, float beta, float *c,
                         int64_t ldc);

static char the_library;

typedef cublasLtMatrixLayoutOpaque_t layout;

extern "C" const char *
cublasLtGetStatusName(cublasStatus_t status)
{
#define NAMED(e)                                                               \
  if (status == e)                                                             \
  return #e
  NAMED(CUBLAS_STATUS_SUCCESS);
  NAMED(CUBLAS_STATUS_NOT_INITIALIZED);
  NAMED(CUBLAS_STATUS_NOT_SUPPORTED);
  NAMED(CUBLAS_STATUS_INVALID_VALUE);
#undef NAMED
  return "unknown";
}

extern "C" cublasStatus_t
cublasLtCreate(cublasLtHandle_t *handle)
{
  *handle = (cublasLtHandle_t)&the_library;
  return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t
cublasLtDestroy(cublasLtHandle_t handle)
{
  return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

/* --- descriptors --------------------------------------------------------- */

extern "C" cublasStatus_t
cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t l, cudaDataType_t type,
                         uint64_t rows, uint64_t cols, int64_t ld)
{
  memset(l, 0, sizeof *l);
  l->type = type;
  l->rows = rows;
  l->cols = cols;
  l->ld = ld;
  return ld >= (int64_t)rows ? CUBLAS_STATUS_SUCCESS
                             : CUBLAS_STATUS_INVALID_VALUE;
}

extern "C" cublasStatus_t
cublasLtMatmulDescInit(cublasLtMatmulDesc_t op, cublasComputeType_t compute,
                       cudaDataType_t scale)
{
  memset(op, 0, sizeof *op);
  op->compute = compute;
  op->scale = scale;
  return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t
cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t op,
                               cublasLtMatmulDescAttributes_t name,
                               const void *value, size_t size)
{
  if (size != sizeof op->trans[0])
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&op->trans[name - CUBLASLT_MATMUL_DESC_TRANSA], value, size);
  return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t
cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t pref)
{
  memset(pref, 0, sizeof *pref);
  pref->schemes = 7;
  for (uint32_t &a : pref->align)
    a = 256;
  return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                     cublasLtMatmulPreferenceAttributes_t name,
                                     const void *value, size_t size)
{
  void *to =
      name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
          ? (void *)&pref->workspace
      : name == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
          ? (void *)&pref->schemes
          : (void *)&pref
                ->align[name - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];

  if (size != (to == &pref->workspace ? sizeof(size_t) : sizeof(uint32_t)))
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(to, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

/* --- products ------------------------------------------------------------ */

static uint64_t
op_rows(const layout &x, cublasOperation_t t)
{
  return t == CUBLAS_OP_T ? x.cols : x.rows;
}

static uint64_t
op_cols(const layout &x, cublasOperation_t t)
{
  return t == CUBLAS_OP_T ? x.rows : x.cols;
}

static bool
fits(const cublasLtMatmulAlgo_t &p)
{
  return op_rows(p.a, p.op.trans[0]) == p.c.rows &&
         op_cols(p.b, p.op.trans[1]) == p.c.cols &&
         op_cols(p.a, p.op.trans[0]) == op_rows(p.b, p.op.trans[1]) &&
         p.a.type == p.b.type &&
         (p.a.type == CUDA_R_16BF || p.c.type == CUDA_R_32F) &&
         p.op.compute == CUBLAS_COMPUTE_32F && p.op.scale == CUDA_R_32F &&
         p.c.rows * p.c.cols * op_cols(p.a, p.op.trans[0]) > 0;
}

static bool
aligned(const layout &x, uint32_t bytes)
{
  return x.type == CUDA_R_32F || (bytes % 4 == 0 && x.ld % 2 == 0);
}

extern "C" cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t pref, int wanted,
    cublasLtMatmulHeuristicResult_t *result, int *found)
{
  cublasLtMatmulAlgo_t &p = result->algo;

  *found = 0;
  if (!handle)
    return CUBLAS_STATUS_NOT_INITIALIZED;
  memset(result, 0, sizeof *result);
  p.op = *op;
  p.a = *a;
  p.b = *b;
  p.c = *c;
  memcpy(p.align, pref->align, sizeof p.align);
  if (!fits(p) || memcmp(c, d, sizeof *c) != 0 || wanted < 1)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!aligned(p.a, p.align[0]) || !aligned(p.b, p.align[1]) ||
      !aligned(p.c, p.align[2]))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

/* Columns one after another, in fp32. */
static std::vector<float>
wide(const void *from, const layout &x)
{
  std::vector<float> out(x.rows * x.cols);

  for (uint64_t j = 0; j < x.cols; j++)
    for (uint64_t i = 0; i < x.rows; i++) {
      uint64_t at = j * (uint64_t)x.ld + i;

      out[j * x.rows + i] =
          x.type == CUDA_R_16BF
              ? __bfloat162float(((const __nv_bfloat16 *)from)[at])
              : ((const float *)from)[at];
    }
  return out;
}

static void
multiply(const cublasLtMatmulAlgo_t &p, float alpha, const void *a,
         const void *b, float beta, void *c)
{
  std::vector<float> x = wide(a, p.a), y = wide(b, p.b), z;
  uint64_t m = p.c.rows, n = p.c.cols;

  if (beta != 0)
    z = wide(c, p.c);
  else
    z.resize(m * n);
  /* Rows and columns change places: c' = op(b)' op(a)'. */
  cpu_gemm(p.op.trans[1] == CUBLAS_OP_T, p.op.trans[0] == CUBLAS_OP_T,
           (int64_t)n, (int64_t)m, (int64_t)op_cols(p.a, p.op.trans[0]), alpha,
           y.data(), (int64_t)p.b.rows, x.data(), (int64_t)p.a.rows, beta,
           z.data(), (int64_t)m);
  for (uint64_t j = 0; j < n; j++)
    for (uint64_t i = 0; i < m; i++) {
      uint64_t at = j * (uint64_t)p.c.ld + i;

      if (p.c.type == CUDA_R_16BF)
        ((__nv_bfloat16 *)c)[at] = __float2bfloat16_rn(z[j * m + i]);
      else
        ((float *)c)[at] = z[j * m + i];
    }
}

extern "C" cublasStatus_t
cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t op,
               const void *alpha, const void *a, cublasLtMatrixLayout_t la,
               const void *b, cublasLtMatrixLayout_t lb, const void *beta,
               const void *c, cublasLtMatrixLayout_t lc, void *d,
               cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t *algo,
               void *workspace, size_t workspace_size, cudaStream_t stream)
{
  const cublasLtMatmulAlgo_t p = *algo;
  float one = *(const float *)alpha, more = *(const float *)beta;

  if (!handle || (workspace_size > 0 && !workspace))
    return CUBLAS_STATUS_NOT_INITIALIZED;
  if (memcmp(&p.op, op, sizeof *op) != 0 || memcmp(&p.a, la, sizeof *la) != 0 ||
      memcmp(&p.b, lb, sizeof *lb) != 0 || memcmp(&p.c, lc, sizeof *lc) != 0 ||
      memcmp(&p.c, ld, sizeof *ld) != 0 || c != d ||
      (uintptr_t)a % p.align[0] || (uintptr_t)b % p.align[1] ||
      (uintptr_t)c % p.align[2])
    return CUBLAS_STATUS_INVALID_VALUE;
  shim::launch("cublasLtMatmul", 1, 1, 0, stream,
               [=]() { multiply(p, one, a, b, more, d); });
  return CUBLAS_STATUS_SUCCESS;
}
