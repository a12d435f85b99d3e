/* region.cu: statistics of parts of the vocabulary, states of a scan that are
 * handed from piece to piece. Small: their time is that of a launch. */
#include "region.h"
#include "launch.h"

enum { THREADS = 256, STAT = 4 };

/* A row of four floats: the largest logit, the sum of exp as two floats, the
 * target's logit. */
__global__ void
merge_stat_kernel(float *out, const float *part, int64_t rows, int n_part)
{
  int64_t t = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  float top = -INFINITY, target = 0;
  double sum = 0;

  if (t >= rows)
    return;
  for (int p = 0; p < n_part; p++) {
    const float *s = part + (p * rows + t) * STAT;

    top = s[0] > top ? s[0] : top;
    target += s[3];
  }
  for (int p = 0; p < n_part; p++) {
    const float *s = part + (p * rows + t) * STAT;

    sum += ((double)s[1] + s[2]) * exp((double)s[0] - top);
  }
  out += t * STAT;
  out[0] = top;
  out[1] = (float)sum;
  out[2] = (float)(sum - out[1]);
  out[3] = target;
}

CU_API void
cu_merge_stat(cudaStream_t s, float *out, const float *part, int64_t rows,
              int n_part)
{
  if (rows > 0)
    CU_LAUNCH(merge_stat_kernel, cu_blocks(rows, THREADS), THREADS, 0, s, out,
              part, rows, n_part);
}

__global__ void
carry_none_kernel(float *item, int64_t total, int64_t all, int64_t n_heads)
{
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (i < total)
    item[i] = i % (all + n_heads) < all ? 0.0f : 1.0f;
}

CU_API void
cu_carry_none(cudaStream_t s, float *item, int64_t n_item, int64_t n_heads,
              int64_t n)
{
  int64_t all = n_heads * n, total = n_item * (all + n_heads);

  if (total > 0)
    CU_LAUNCH(carry_none_kernel, cu_blocks(total, THREADS), THREADS, 0, s, item,
              total, all, n_heads);
}

/* A block for each head. */
__global__ void
carry_join_kernel(float *to, const float *state, const float *decay,
                  const float *far, int64_t n)
{
  int64_t h = blockIdx.x, all = (int64_t)gridDim.x * n;
  float w = decay[h];

  __syncthreads(); /* the decay may be where `to` gets its own */
  for (int64_t i = h * n + threadIdx.x; i < (h + 1) * n; i += blockDim.x)
    to[i] = w == 0.0f ? state[i] : state[i] + w * far[i];
  if (threadIdx.x == 0)
    to[all + h] = w * far[all + h];
}

CU_API void
cu_carry_join(cudaStream_t s, float *to, const float *state, const float *decay,
              const float *far, int64_t n_heads, int64_t n)
{
  if (n_heads > 0)
    CU_LAUNCH(carry_join_kernel, (unsigned)n_heads, THREADS, 0, s, to, state,
              decay, far, n);
}

__global__ void
carry_grad_kernel(float *to, const float *g, const float *in, int64_t n,
                  float beta)
{
  CU_SHARED(double, part, [THREADS / 32]);
  int64_t h = blockIdx.x, all = (int64_t)gridDim.x * n;
  double dot = 0;

  for (int64_t i = h * n + threadIdx.x; i < (h + 1) * n; i += blockDim.x) {
    dot += (double)g[i] * (double)in[i];
    to[i] = beta == 0.0f ? g[i] : g[i] + to[i];
  }
  for (int k = 16; k > 0; k /= 2)
    dot += __shfl_xor_sync(0xffffffffu, dot, k);
  if (threadIdx.x % 32 == 0)
    part[threadIdx.x / 32] = dot;
  __syncthreads();
  if (threadIdx.x != 0)
    return;
  for (int k = 1; k < THREADS / 32; k++)
    dot += part[k];
  to[all + h] = (float)dot + (beta == 0.0f ? 0.0f : to[all + h]);
}

CU_API void
cu_carry_grad(cudaStream_t s, float *to, const float *g, const float *in,
              int64_t n_heads, int64_t n, float beta)
{
  if (n_heads > 0)
    CU_LAUNCH(carry_grad_kernel, (unsigned)n_heads, THREADS, 0, s, to, g, in, n,
              beta);
}
