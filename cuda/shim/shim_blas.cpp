/* shim_blas.cpp: products as cublasLt does them, by the BLAS library of the
 * host: work of the stream like a kernel; factors in fp32, rounded once. */
#include "src/gpu/gpu_blas.h"

#include <cuda_bf16.h>
#include <vector>

extern "C" void cpu_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k,
                         float alpha, const float *a, int64_t lda,
                         const float *b, int64_t ldb, float beta, float *c,
                         int64_t ldc);

static std::vector<float>
wide(const cu_mat &x, int64_t rows, int64_t cols)
{
  std::vector<float> out((size_t)(rows * cols));

  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++) {
      int64_t at = i * x.ld + j;

      out[(size_t)(i * cols + j)] =
          x.bf16 ? __bfloat162float(((const __nv_bfloat16 *)x.p)[at])
                 : ((const float *)x.p)[at];
    }
  return out;
}

static void
gemm(int ta, int tb, int64_t m, int64_t n, int64_t k, cu_mat a, cu_mat b,
     float beta, cu_mat c)
{
  std::vector<float> x = ta ? wide(a, k, m) : wide(a, m, k);
  std::vector<float> y = tb ? wide(b, n, k) : wide(b, k, n);
  std::vector<float> z =
      beta != 0 ? wide(c, m, n) : std::vector<float>((size_t)(m * n));

  cpu_gemm(ta, tb, m, n, k, 1, x.data(), ta ? m : k, y.data(), tb ? k : n, beta,
           z.data(), n);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++)
      if (c.bf16)
        ((__nv_bfloat16 *)c.p)[i * c.ld + j] =
            __float2bfloat16_rn(z[(size_t)(i * n + j)]);
      else
        ((float *)c.p)[i * c.ld + j] = z[(size_t)(i * n + j)];
}

extern "C" void
gpu_blas_open(void)
{
}

extern "C" void
gpu_blas_close(void)
{
}

extern "C" void
gpu_blas_gemm(cudaStream_t s, int ta, int tb, int64_t m, int64_t n, int64_t k,
              cu_mat a, cu_mat b, float beta, cu_mat c)
{
  if (m > 0 && n > 0)
    shim::launch("gemm of cublasLt", 1, 1, 0, s,
                 [=]() { gemm(ta, tb, m, n, k, a, b, beta, c); });
}
