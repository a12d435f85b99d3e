/* linear.cu: products for what cublasLt does not do: rows that begin at odd
 * addresses, sums over nothing; and the way of bf16 activations to and from
 * fp32 weights. */
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

template <class T>
__global__ void
widen(float *to, const T *x, int64_t ld, int64_t rows, int64_t n)
{
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (i < rows * n)
    to[i] = cu_get(x[i / n * ld + i % n]);
}

template <class T>
__global__ void
narrow(T *y, int64_t ld, const float *x, int64_t rows, int64_t n, float beta)
{
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (i < rows * n) {
    T *to = y + i / n * ld + i % n;

    cu_put(to, beta != 0 ? beta * cu_get(*to) + x[i] : x[i]);
  }
}

CU_API void
cu_linear_widen(cudaStream_t s, float *to, cu_mat x, int64_t rows, int64_t n)
{
  if (rows * n > 0)
    CU_TYPED(x, CU_LAUNCH((widen<T>), cu_blocks(rows * n, 256), 256, 0, s, to,
                          (const T *)x.p, x.ld, rows, n));
}

CU_API void
cu_linear_narrow(cudaStream_t s, cu_mat y, const float *x, int64_t rows,
                 int64_t n, float beta)
{
  if (rows * n > 0)
    CU_TYPED(y, CU_LAUNCH((narrow<T>), cu_blocks(rows * n, 256), 256, 0, s,
                          (T *)y.p, y.ld, x, rows, n, beta));
}
