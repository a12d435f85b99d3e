/* kit.cu: array functions of the backend: casts and sums. */
#include "kit.h"
#include "pointwise.cuh"

enum { THREADS = 256 };

template <class TO, class FROM, int V>
__global__ void
cast_kernel(TO *to, const FROM *from, int64_t n)
{
  int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  cu_pack<FROM, V> x;
  cu_pack<TO, V> y;
  float f[V];

  if (i >= n)
    return;
  cu_load(x, from + i);
  cu_unpack(f, x);
  cu_repack(y, f);
  cu_store(to + i, y);
}

template <class TO, class FROM>
static void
cast_as(cudaStream_t s, cu_mat to, cu_mat from, int64_t n)
{
  TO *y = (TO *)to.p;
  const FROM *x = (const FROM *)from.p;
  int64_t body =
      cu_packs(y, 0, 1, 0, 1) && cu_packs(x, 0, 1, 0, 1) ? n / 8 * 8 : 0;

  if (body > 0)
    CU_LAUNCH((cast_kernel<TO, FROM, 8>), cu_blocks(body, 8 * THREADS), THREADS,
              0, s, y, x, body);
  if (n > body)
    CU_LAUNCH((cast_kernel<TO, FROM, 1>), cu_blocks(n - body, THREADS), THREADS,
              0, s, y + body, x + body, n - body);
}

CU_API void
cu_kit_cast(cudaStream_t s, cu_mat to, cu_mat from, int64_t n)
{
  if (n <= 0)
    return;
  if (to.bf16)
    CU_TYPED(from, cast_as<bf16, T>(s, to, from, n));
  else
    CU_TYPED(from, cast_as<float, T>(s, to, from, n));
}

namespace
{
struct same {
  __device__ void operator()(int64_t, const float *x, float *y) const
  {
    y[0] = x[0];
  }
};
} // namespace

CU_API void
cu_kit_add(cudaStream_t s, cu_mat y, cu_mat x, int64_t rows, int64_t n,
           float beta)
{
  cu_point<1, 1> a = {{x}, {y}, {beta}, rows, n, 0};

  cu_pointwise(s, a, same());
}

template <class T, int V>
__global__ void
sum_parts_kernel(T *out, const T *part, int64_t n, int64_t step, int n_part,
                 int more)
{
  int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
  float sum[V], f[V];
  cu_pack<T, V> x;

  if (i >= n)
    return;
  cu_load(x, part + i);
  cu_unpack(sum, x);
#pragma unroll 4
  for (int k = 1; k < n_part; k++) {
    cu_load(x, part + k * step + i);
    cu_unpack(f, x);
#pragma unroll
    for (int j = 0; j < V; j++)
      sum[j] += f[j];
  }
  if (more) {
    cu_load(x, out + i);
    cu_unpack(f, x);
#pragma unroll
    for (int j = 0; j < V; j++)
      sum[j] += f[j];
  }
  cu_repack(x, sum);
  cu_store(out + i, x);
}

CU_API void
cu_kit_sum_parts(cudaStream_t s, cu_mat out, const void *part, int64_t n,
                 int n_part, int more)
{
  int v = out.bf16 ? 8 : 4;

  if (n <= 0 || n_part <= 0)
    return;
  if (cu_packs(out.p, 0, 1, n, v) && cu_packs(part, 0, 1, n, v))
    CU_TYPED(out, CU_LAUNCH((sum_parts_kernel<T, cu_wide<T>::n>),
                            cu_blocks(n, v * THREADS), THREADS, 0, s,
                            (T *)out.p, (const T *)part, n, n, n_part, more));
  else
    CU_TYPED(out,
             CU_LAUNCH((sum_parts_kernel<T, 1>), cu_blocks(n, THREADS), THREADS,
                       0, s, (T *)out.p, (const T *)part, n, n, n_part, more));
}

__global__ void
add_counts_kernel(int64_t *to, const int32_t *x, int64_t n)
{
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (i < n)
    to[i] += x[i];
}

CU_API void
cu_kit_add_counts(cudaStream_t s, int64_t *to, const int32_t *x, int64_t n)
{
  if (n > 0)
    CU_LAUNCH(add_counts_kernel, cu_blocks(n, THREADS), THREADS, 0, s, to, x,
              n);
}

__global__ void
least_kernel(float *to, const float *x)
{
  if (*x < *to)
    *to = *x;
}

CU_API void
cu_kit_least(cudaStream_t s, float *to, const float *x)
{
  CU_LAUNCH(least_kernel, 1, 1, 0, s, to, x);
}

/* Of 32 columns; each of 32 warps adds its share of the parts, one warp adds
 * the 32 sums. */
__global__ void
add_parts_kernel(float *out, const float *part, int64_t n, int n_part,
                 float beta)
{
  CU_SHARED(float, sum, [32][33]);
  int64_t j = (int64_t)blockIdx.x * 32 + threadIdx.x;
  int w = threadIdx.y;
  int lo = (int)((int64_t)n_part * w / 32),
      hi = (int)((int64_t)n_part * (w + 1) / 32);
  float s = 0;

  if (j < n)
#pragma unroll 8
    for (int k = lo; k < hi; k++)
      s += part[k * n + j];
  sum[w][threadIdx.x] = s;
  __syncthreads();
  if (w == 0 && j < n) {
    s = 0;
#pragma unroll
    for (int k = 0; k < 32; k++)
      s += sum[k][threadIdx.x];
    out[j] = beta == 0 ? s : beta * out[j] + s;
  }
}

CU_API void
cu_add_parts(cudaStream_t s, float *out, const float *part, int64_t n,
             int n_part, float beta)
{
  if (n > 0)
    CU_LAUNCH(add_parts_kernel, cu_blocks(n, 32), dim3(32, 32), 0, s, out, part,
              n, n_part, beta);
}
