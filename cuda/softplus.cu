/* softplus.cu: log(1 + exp(x + b)), in fp32. Few columns (a head each), so that
 * a block takes 32 of them and 8 rows at a time. */
#include "softplus.h"
#include "launch.h"

enum { COLS = 32, ROWS = 8 };

template <class T>
__global__ void
softplus_fwd(cu_mat y, cu_mat x, const float *b, int64_t rows, int n,
             unsigned across)
{
  int j = (int)(blockIdx.x % across) * COLS + threadIdx.x;
  int64_t t = (int64_t)(blockIdx.x / across) * ROWS + threadIdx.y;
  float v;

  if (j >= n || t >= rows)
    return;
  v = cu_get(((const T *)x.p)[t * x.ld + j]) + b[j];
  ((float *)y.p)[t * y.ld + j] = v > 20 ? v : log1pf(expf(v));
}

CU_API void
cu_softplus_fwd(cudaStream_t s, cu_mat y, cu_mat x, const float *b,
                int64_t rows, int64_t n)
{
  unsigned across = cu_blocks(n, COLS);

  if (rows > 0 && n > 0)
    CU_TYPED(x,
             CU_LAUNCH((softplus_fwd<T>), across * cu_blocks(rows, ROWS),
                       dim3(COLS, ROWS), 0, s, y, x, b, rows, (int)n, across));
}

/* A part of the rows; the sums of the ROWS threads of a column are added in
 * their order. */
template <class T>
__global__ void
softplus_bwd(cu_mat dx, float beta, float *part, int n_part, cu_mat x,
             const float *b, cu_mat dy, int64_t rows, int n, unsigned across)
{
  CU_SHARED(float, sum, [ROWS][COLS]);
  int j = (int)(blockIdx.x % across) * COLS + threadIdx.x;
  int p = (int)(blockIdx.x / across);
  int64_t end = rows * (p + 1) / n_part;
  float s = 0, bias = j < n ? b[j] : 0;

#pragma unroll 4
  for (int64_t t = rows * p / n_part + threadIdx.y; t < end && j < n;
       t += ROWS) {
    float v = cu_get(((const T *)x.p)[t * x.ld + j]) + bias;
    float g = ((const float *)dy.p)[t * dy.ld + j] / (1 + expf(-v));
    T *d = (T *)dx.p + t * dx.ld + j;

    s += g;
    if (dx.p)
      cu_put(d, beta == 0 ? g : beta * cu_get(*d) + g);
  }
  sum[threadIdx.y][threadIdx.x] = s;
  __syncthreads();
  if (!part || threadIdx.y > 0 || j >= n)
    return;
#pragma unroll
  for (int i = 1; i < ROWS; i++)
    s += sum[i][threadIdx.x];
  part[(int64_t)p * n + j] = s;
}

CU_API void
cu_softplus_bwd(cudaStream_t s, cu_mat dx, float beta, float *part, int n_part,
                cu_mat x, const float *b, cu_mat dy, int64_t rows, int64_t n)
{
  unsigned across = cu_blocks(n, COLS);

  if (rows > 0 && n > 0)
    CU_TYPED(x, CU_LAUNCH((softplus_bwd<T>), across * n_part, dim3(COLS, ROWS),
                          0, s, dx, beta, part, n_part, x, b, dy, rows, (int)n,
                          across));
}
