/* gpu_blas.c: products by cublasLt. How a product is done, the library is asked
 * once for each shape; the answer is kept in a table. */
#include "gpu/gpu_blas.h"
#include "gpu/gpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "cuda/linear.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

/* What decides how a product is done. Compared as bytes: it has no gaps. */
typedef struct {
  int64_t m, n, k, lda, ldb, ldc;
  int ta, tb, bf16, c_bf16, add;
  uint32_t align[3]; /* of a, b, c, bytes, at most 16 */
} shape;

_Static_assert(sizeof(shape) == 6 * 8 + 8 * 4, "a shape with gaps");

/* The library counts columns first: its a is our b, and the other way round. */
typedef struct {
  shape key;
  int used, none; /* none: the library cannot do it */
  cublasLtMatmulDescOpaque_t op;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulAlgo_t algo;
} product;

/* One library a process, as there is one GPU. The table has places for a power
 * of two, at most half of them taken; an entry lies at its hash or behind. */
static struct {
  cublasLtHandle_t handle;
  void *room;
  product *table;
  size_t n, size;
} lib;

static void
check(cublasStatus_t e, const char *what, const shape *s)
{
  if (e == CUBLAS_STATUS_SUCCESS)
    return;
  if (s == NULL)
    hy_die(HY_ERES, "CUDA: cublasLt: %s: %s", what, cublasLtGetStatusName(e));
  hy_die(HY_ERES,
         "CUDA: cublasLt: %s of a product (%lld x %lld) = (%lld x %lld%s) "
         "(%lld x %lld%s), %s to %s: %s",
         what, (long long)s->m, (long long)s->n, (long long)s->m,
         (long long)s->k, s->ta ? ", transposed" : "", (long long)s->k,
         (long long)s->n, s->tb ? ", transposed" : "",
         s->bf16 ? "bf16" : "fp32", s->c_bf16 ? "bf16" : "fp32",
         cublasLtGetStatusName(e));
}

void
gpu_blas_open(void)
{
  if (lib.handle != NULL)
    return;
  check(cublasLtCreate(&lib.handle), "start", NULL);
  gpu_check(cudaMalloc(&lib.room, CU_BLAS_ROOM), "workspace of cublasLt");
  lib.size = 256;
  lib.table = hy_calloc(lib.size, sizeof *lib.table);
}

void
gpu_blas_close(void)
{
  if (lib.handle == NULL)
    return;
  check(cublasLtDestroy(lib.handle), "end", NULL);
  gpu_check(cudaFree(lib.room), "workspace of cublasLt");
  free(lib.table);
  memset(&lib, 0, sizeof lib);
}

/* --- the table ----------------------------------------------------------- */

static size_t
place(const product *table, size_t size, const shape *key)
{
  const unsigned char *p = (const unsigned char *)key;
  uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
  size_t i;

  for (size_t j = 0; j < sizeof *key; j++)
    h = (h ^ p[j]) * 0x100000001b3u;
  for (i = h & (size - 1); table[i].used; i = (i + 1) & (size - 1))
    if (memcmp(&table[i].key, key, sizeof *key) == 0)
      break;
  return i;
}

static void
grow(void)
{
  size_t size = 2 * lib.size;
  product *table = hy_calloc(size, sizeof *table);

  for (size_t i = 0; i < lib.size; i++)
    if (lib.table[i].used)
      table[place(table, size, &lib.table[i].key)] = lib.table[i];
  free(lib.table);
  lib.table = table;
  lib.size = size;
}

/* --- how it is done ------------------------------------------------------ */

static uint32_t
alignment(const void *p)
{
  uintptr_t at = (uintptr_t)p | 16;

  return (uint32_t)(at & (~at + 1)); /* the lowest bit that is set */
}

static void
describe(product *p)
{
  const shape *s = &p->key;
  cudaDataType_t in = s->bf16 ? CUDA_R_16BF : CUDA_R_32F;
  cudaDataType_t out = s->c_bf16 ? CUDA_R_16BF : CUDA_R_32F;
  cublasOperation_t a = s->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasOperation_t b = s->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
  uint64_t m = (uint64_t)s->m, n = (uint64_t)s->n, k = (uint64_t)s->k;

  /* COMPUTE_32F multiplies fp32 as fp32: TF32 has a name of its own. */
  check(cublasLtMatmulDescInit(&p->op, CUBLAS_COMPUTE_32F, CUDA_R_32F), "init",
        s);
  check(cublasLtMatmulDescSetAttribute(&p->op, CUBLASLT_MATMUL_DESC_TRANSA, &a,
                                       sizeof a),
        "operand", s);
  check(cublasLtMatmulDescSetAttribute(&p->op, CUBLASLT_MATMUL_DESC_TRANSB, &b,
                                       sizeof b),
        "operand", s);
  check(
      cublasLtMatrixLayoutInit(&p->a, in, s->tb ? k : n, s->tb ? n : k, s->ldb),
      "layout", s);
  check(
      cublasLtMatrixLayoutInit(&p->b, in, s->ta ? m : k, s->ta ? k : m, s->lda),
      "layout", s);
  check(cublasLtMatrixLayoutInit(&p->c, out, n, m, s->ldc), "layout", s);
}

static void
prefer(cublasLtMatmulPreferenceOpaque_t *pref, const shape *s)
{
  size_t room = CU_BLAS_ROOM;
  /* Parts of a sum are added in fp32, in the order of the parts. */
  uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const struct {
    cublasLtMatmulPreferenceAttributes_t name;
    const void *value;
    size_t size;
  } set[] = {
      {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room},
      {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &scheme, sizeof scheme},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &s->align[1], 4},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &s->align[0], 4},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &s->align[2], 4},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &s->align[2], 4},
  };

  check(cublasLtMatmulPreferenceInit(pref), "preference", s);
  for (size_t i = 0; i < sizeof set / sizeof *set; i++)
    check(cublasLtMatmulPreferenceSetAttribute(pref, set[i].name, set[i].value,
                                               set[i].size),
          "preference", s);
}

/* Are there rows that do not begin at 16 bytes? The library does most of
 * these products, and says in two ways that it does not. */
static int
is_odd(const shape *s)
{
  int64_t in = s->bf16 ? 8 : 4, out = s->c_bf16 ? 8 : 4;

  return s->align[0] < 16 || s->align[1] < 16 || s->align[2] < 16 ||
         s->lda % in || s->ldb % in || s->ldc % out;
}

static void
ask(product *p)
{
  cublasLtMatmulPreferenceOpaque_t pref;
  cublasLtMatmulHeuristicResult_t found;
  cublasStatus_t e;
  int n = 0;

  p->used = 1;
  describe(p);
  prefer(&pref, &p->key);
  e = cublasLtMatmulAlgoGetHeuristic(lib.handle, &p->op, &p->a, &p->b, &p->c,
                                     &p->c, &pref, 1, &found, &n);
  p->none = e == CUBLAS_STATUS_NOT_SUPPORTED ||
            (e == CUBLAS_STATUS_INVALID_VALUE && is_odd(&p->key)) ||
            (!e && (n == 0 || found.state != CUBLAS_STATUS_SUCCESS));
  if (p->none)
    return;
  check(e, "choice", &p->key);
  p->algo = found.algo;
}

static product *
lookup(const shape *key)
{
  size_t i = place(lib.table, lib.size, key);

  if (!lib.table[i].used) {
    if (2 * (lib.n + 1) > lib.size) {
      grow();
      i = place(lib.table, lib.size, key);
    }
    lib.n++;
    lib.table[i].key = *key;
    ask(&lib.table[i]);
  }
  return &lib.table[i];
}

void
gpu_blas_gemm(cudaStream_t s, int ta, int tb, int64_t m, int64_t n, int64_t k,
              cu_mat a, cu_mat b, float beta, cu_mat c)
{
  const float one = 1;
  const shape key = {.m = m,
                     .n = n,
                     .k = k,
                     .lda = a.ld,
                     .ldb = b.ld,
                     .ldc = c.ld,
                     .ta = ta,
                     .tb = tb,
                     .bf16 = a.bf16,
                     .c_bf16 = c.bf16,
                     .add = beta != 0,
                     .align = {alignment(a.p), alignment(b.p), alignment(c.p)}};
  product *p;

  if (m <= 0 || n <= 0)
    return;
  gpu_blas_open();
  p = k > 0 ? lookup(&key) : NULL;
  if (p == NULL || p->none) {
    cu_gemm(s, ta, tb, m, n, k, a, b, beta, c);
    return;
  }
  check(cublasLtMatmul(lib.handle, &p->op, &one, b.p, &p->a, a.p, &p->b, &beta,
                       c.p, &p->c, c.p, &p->c, &p->algo, lib.room, CU_BLAS_ROOM,
                       s),
        "start", &key);
}
