/* router.cu: experts by score + bias, weights from the plain scores. A warp
 * takes a token; its keys, sums of groups and choices are in shared memory. */
#include "router.h"
#include "topk.cuh"

/* Blocks walk over the tokens, so that the counts reach memory seldom. */
enum { MOST_BLOCKS = 1024 };

/* Shared memory of a warp. */
typedef struct {
  unsigned *key; /* (n) */
  float *group;  /* (n_group) */
  int *sel;      /* (top_k) */
} room;

__device__ static inline room
room_of(int *shared, const cu_router &a, int warp)
{
  int *p = shared + a.n + (int64_t)warp * (a.n + a.n_group + a.top_k);

  return room{(unsigned *)p, (float *)(p + a.n), p + a.n + a.n_group};
}

/* The sum of the two best of each group (of a group of one: it). */
__device__ static void
rate_groups(const room &m, const cu_router &a, int lane)
{
  int size = a.n / a.n_group;

  for (int g = lane; g < a.n_group; g += 32) {
    unsigned x = TOPK_DROPPED, y = TOPK_DROPPED;

    for (int i = g * size; i < (g + 1) * size; i++) {
      unsigned v = m.key[i];

      y = v > x ? x : max(v, y);
      x = max(v, x);
    }
    m.group[g] = topk_value(x) + (size > 1 ? topk_value(y) : 0.0f);
  }
}

/* Drop all but the best groups; returns by how much the last of them beats the
 * next. */
__device__ static float
limit_groups(const room &m, const cu_router &a, int lane)
{
  int size = a.n / a.n_group;
  float last = INFINITY, next = -INFINITY;

  __syncwarp();
  rate_groups(m, a, lane);
  __syncwarp();
  for (int g = lane; g < a.n_group; g += 32) {
    float mine = m.group[g];
    int rank = 0;

    for (int o = 0; o < a.n_group; o++)
      rank += m.group[o] > mine || (m.group[o] == mine && o < g);
    last = rank == a.topk_group - 1 ? mine : last;
    next = rank == a.topk_group ? mine : next;
    for (int i = g * size; rank >= a.topk_group && i < (g + 1) * size; i++)
      m.key[i] = TOPK_DROPPED;
  }
  for (int d = 16; d > 0; d >>= 1) {
    last = fminf(last, __shfl_xor_sync(~0u, last, d));
    next = fmaxf(next, __shfl_xor_sync(~0u, next, d));
  }
  __syncwarp();
  return last - next;
}

/* The experts of a token into m.sel; returns the margin. */
__device__ static float
choose(const room &m, const cu_router &a, const float *logit, const float *bias,
       int lane)
{
  float margin = INFINITY, by;

  for (int e = lane; e < a.n; e += 32)
    m.key[e] = topk_key(topk_sigmoid(logit[e]) + bias[e]);
  if (a.n_group > 1)
    margin = limit_groups(m, a, lane);
  by = topk_choose(m.key, a.n, a.top_k, lane);
  topk_list(m.key, a.n, m.sel, lane);
  return by < margin ? by : margin;
}

/* Weights of the chosen. */
__device__ static void
weigh(const int *sel, const cu_router &a, const float *logit, float *w,
      int32_t *idx, int lane)
{
  float sum = 0, factor;

  for (int j = lane; j < a.top_k; j += 32)
    sum += topk_sigmoid(logit[sel[j]]);
  sum = warp_sum(sum) + 1e-20f;
  factor = a.norm ? a.scale / sum : a.scale;
  for (int j = lane; j < a.top_k; j += 32) {
    idx[j] = sel[j];
    w[j] = topk_sigmoid(logit[sel[j]]) * factor;
  }
}

__global__ void
router_begin(int32_t *count, int n, float *margin)
{
  for (int e = threadIdx.x; e < n; e += blockDim.x)
    count[e] = 0;
  if (threadIdx.x == 0)
    *margin = INFINITY;
}

__global__ void
router_fwd(cu_router a, float *w, int64_t ldw, int32_t *idx, int32_t *count,
           float *margin, const float *logit, int64_t ld, const float *bias,
           const int32_t *given, const uint8_t *pad)
{
  CU_DYN_SHARED(int, shared); /* counts of the block, then rooms */
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t n_warp = blockDim.x / 32;
  room m = room_of(shared, a, warp);
  float least = INFINITY;

  for (int e = threadIdx.x; e < a.n; e += blockDim.x)
    shared[e] = 0;
  __syncthreads();
  for (int64_t t = blockIdx.x * n_warp + warp; t < a.n_tokens;
       t += gridDim.x * n_warp) {
    int real = !(pad && pad[t]);
    float by = INFINITY;

    for (int j = lane; given && j < a.top_k; j += 32)
      m.sel[j] = given[t * a.top_k + j];
    __syncwarp();
    if (!given)
      by = choose(m, a, logit + t * ld, bias, lane);
    weigh(m.sel, a, logit + t * ld, w + t * ldw, idx + t * a.top_k, lane);
    for (int j = lane; real && j < a.top_k; j += 32)
      atomicAdd(&shared[m.sel[j]], 1);
    least = real && by < least ? by : least;
    __syncwarp(); /* before the room is used again */
  }
  __syncthreads();
  for (int e = threadIdx.x; e < a.n; e += blockDim.x)
    if (shared[e] > 0)
      atomicAdd(&count[e], shared[e]);
  if (lane == 0 && least < INFINITY) /* >= 0: in the order of its bits */
    atomicMin((int *)margin, __float_as_int(least));
}

CU_API void
cu_router_fwd(cudaStream_t s, const cu_router *a, cu_mat w, int32_t *idx,
              int32_t *count, float *margin, cu_mat logit, const float *bias,
              const int32_t *given, const uint8_t *pad)
{
  cu_router p = *a;
  size_t each = (size_t)(p.n + p.n_group + p.top_k) * sizeof(int);
  size_t fixed = (size_t)p.n * sizeof(int);
  int n_warp = topk_warps(fixed, each);
  unsigned n_block = cu_blocks(p.n_tokens, n_warp);

  CU_LAUNCH(router_begin, 1, 256, 0, s, count, p.n, margin);
  if (p.n_tokens == 0)
    return;
  topk_ask((const void *)router_fwd, fixed + n_warp * each);
  CU_LAUNCH(router_fwd, n_block < MOST_BLOCKS ? n_block : MOST_BLOCKS,
            32 * n_warp, fixed + n_warp * each, s, p, (float *)w.p, w.ld, idx,
            count, margin, (const float *)logit.p, logit.ld, bias, given, pad);
}

/* w_j = f s_j / S, S = sum s + 1e-20:
 * ds_j = f (dw_j - sum_i dw_i s_i / S) / S, and without norm ds_j = f dw_j. */
__global__ void
router_bwd(cu_router a, float *dx, int64_t ldx, float beta, const float *dw,
           int64_t ldw, const float *logit, int64_t ld, const int32_t *idx)
{
  int lane = threadIdx.x % 32;
  int64_t t = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;
  float sum = 0, dot = 0;

  if (t >= a.n_tokens)
    return;
  dx += t * ldx;
  dw += t * ldw;
  logit += t * ld;
  idx += t * a.top_k;
  for (int e = lane; beta != 1 && e < a.n; e += 32)
    dx[e] = beta == 0 ? 0 : beta * dx[e];
  for (int j = lane; j < a.top_k; j += 32) {
    float p = topk_sigmoid(logit[idx[j]]);

    sum += p;
    dot += dw[j] * p;
  }
  sum = warp_sum(sum) + 1e-20f;
  dot = warp_sum(dot);
  __syncwarp(); /* the row is clear */
  for (int j = lane; j < a.top_k; j += 32) {
    float p = topk_sigmoid(logit[idx[j]]), ds = a.scale * dw[j];

    if (a.norm)
      ds = a.scale * (dw[j] - dot / sum) / sum;
    dx[idx[j]] += ds * p * (1 - p);
  }
}

CU_API void
cu_router_bwd(cudaStream_t s, const cu_router *a, cu_mat dx, float beta,
              cu_mat dw, cu_mat logit, const int32_t *idx)
{
  cu_router p = *a;

  if (p.n_tokens > 0)
    CU_LAUNCH(router_bwd, cu_blocks(p.n_tokens, 8), 256, 0, s, p, (float *)dx.p,
              dx.ld, beta, (const float *)dw.p, dw.ld, (const float *)logit.p,
              logit.ld, idx);
}
