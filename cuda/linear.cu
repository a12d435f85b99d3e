/* linear.cu: products for what cublasLt does not do: rows that begin at odd
 * addresses, sums over nothing; and fp32 factors as sums of bf16 ones. */
#include "gemm.cuh"
#include "gemm_f32.cuh"
#include "linear.h"

template <bool ALONG_A, bool ALONG_B, class T>
__global__
__launch_bounds__(GEMM_THREADS) void gemm(cu_mat a, cu_mat b, cu_mat c,
                                          int64_t m, int64_t n, int64_t k,
                                          float beta)
{
  CU_DYN_SHARED(bf16, sm);
  int64_t tiles = (m + GEMM_TILE - 1) / GEMM_TILE;
  int64_t m0 = blockIdx.x % tiles * GEMM_TILE;
  int64_t n0 = blockIdx.x / tiles * GEMM_TILE;
  gemm_side x = gemm_lines<ALONG_A>(a.p, a.ld, m0, m);
  gemm_side y = gemm_lines<ALONG_B>(b.p, b.ld, n0, n);
  gemm_sum sum;

  gemm_tile<ALONG_A, ALONG_B, false>(sum, x, y, k, sm);
  gemm_store((T *)c.p + m0 * c.ld + n0, c.ld, x.n, y.n, beta, sum);
}

template <bool ALONG_A, bool ALONG_B>
__global__
__launch_bounds__(GEMM_F32_THREADS) void gemm_f32(cu_mat a, cu_mat b, cu_mat c,
                                                  int64_t m, int64_t n,
                                                  int64_t k, float beta)
{
  int64_t tiles = (m + GEMM_F32_TILE - 1) / GEMM_F32_TILE;
  int64_t m0 = blockIdx.x % tiles * GEMM_F32_TILE;
  int64_t n0 = blockIdx.x / tiles * GEMM_F32_TILE;
  gemm_f32_side x = gemm_f32_lines<ALONG_A>(a.p, a.ld, m0, m);
  gemm_f32_side y = gemm_f32_lines<ALONG_B>(b.p, b.ld, n0, n);
  gemm_f32_sum sum;

  gemm_f32_tile<ALONG_A, ALONG_B>(sum, x, y, k);
  gemm_f32_store((float *)c.p + m0 * c.ld + n0, c.ld, x.n, y.n, beta, sum);
}

template <bool ALONG_A, bool ALONG_B>
static void
launch(cudaStream_t s, int64_t m, int64_t n, int64_t k, cu_mat a, cu_mat b,
       float beta, cu_mat c)
{
  if (!a.bf16) {
    CU_LAUNCH((gemm_f32<ALONG_A, ALONG_B>),
              cu_blocks(m, GEMM_F32_TILE) * cu_blocks(n, GEMM_F32_TILE),
              GEMM_F32_THREADS, 0, s, a, b, c, m, n, k, beta);
    return;
  }
  CU_TYPED(c, {
    static const cudaError_t room = cudaFuncSetAttribute(
        gemm<ALONG_A, ALONG_B, T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
        GEMM_SHARED);

    if (room == cudaSuccess)
      CU_LAUNCH((gemm<ALONG_A, ALONG_B, T>),
                cu_blocks(m, GEMM_TILE) * cu_blocks(n, GEMM_TILE), GEMM_THREADS,
                GEMM_SHARED, s, a, b, c, m, n, k, beta);
  });
}

CU_API void
cu_gemm(cudaStream_t s, int ta, int tb, int64_t m, int64_t n, int64_t k,
        cu_mat a, cu_mat b, float beta, cu_mat c)
{
  if (m <= 0 || n <= 0)
    return;
  if (ta)
    launch<false, false>(s, m, n, k, a, b, beta, c);
  else if (tb)
    launch<true, true>(s, m, n, k, a, b, beta, c);
  else
    launch<true, false>(s, m, n, k, a, b, beta, c);
}

__global__ void
split(bf16 *to, int64_t ld, int64_t step, int left, const float *x, int64_t ldx,
      int64_t rows, int64_t n)
{
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (i < rows * n) {
    float v = x[i / n * ldx + i % n];
    bf16 p1 = __float2bfloat16_rn(v), p2, p3;

    v -= cu_get(p1);
    p2 = __float2bfloat16_rn(v);
    p3 = __float2bfloat16_rn(v - cu_get(p2));
    to += i / n * ld + i % n;
    to[0] = p1;
    to[step] = left ? p2 : p1;
    to[2 * step] = left ? p1 : p2;
    to[3 * step] = p3;
  }
}

CU_API void
cu_linear_split(cudaStream_t s, void *to, int64_t ld, int64_t step, int left,
                cu_mat x, int64_t rows, int64_t n)
{
  if (rows * n > 0)
    CU_LAUNCH(split, cu_blocks(rows * n, 256), 256, 0, s, (bf16 *)to, ld, step,
              left, (const float *)x.p, x.ld, rows, n);
}
