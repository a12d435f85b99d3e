/* conv1d.cu: causal depthwise convolution,
 *   y[t,i] = b[i] + sum_j w[i,n-1-j] x[t-j,i]
 * over the taps j whose token is in t's document. A thread has V channels, 16
 * bytes where the rows allow it, and runs over tokens with the last inputs in
 * registers: each is read once. Where a token lies before the rows at hand (in
 * the halo of a span, in the cache of a segment) it is read from there. */
#include "conv1d.h"
#include "rows.cuh"

enum {
  CONV_RUN = 32,   /* tokens of a thread, forward */
  CONV_AHEAD = 4,  /* tokens whose loads are under way together */
  CONV_TAPS = 16,  /* most taps */
  CONV_BLOCK = 64, /* threads */
};

template <class T, int V> struct alignas(sizeof(T) * V) conv_vec {
  T v[V];
};

template <class T, int V>
__device__ static inline conv_vec<T, V>
conv_load(const T *p)
{
  return *(const conv_vec<T, V> *)p;
}

template <class T, int V>
__device__ static inline void
conv_store(T *p, const float (&x)[V])
{
  conv_vec<T, V> out;

#pragma unroll
  for (int i = 0; i < V; i++)
    cu_put(&out.v[i], x[i]);
  *(conv_vec<T, V> *)p = out;
}

template <int V, int TAPS> struct conv_weights {
  float w[TAPS][V], b[V]; /* w[j]: of the token j before */
};

template <int V, int TAPS>
__device__ static inline void
conv_weights_get(const cu_conv &k, int64_t ch, conv_weights<V, TAPS> &w)
{
#pragma unroll
  for (int i = 0; i < V; i++) {
    w.b[i] = k.b[ch + i];
#pragma unroll
    for (int j = 0; j < TAPS; j++)
      w.w[j][i] =
          j < k.n_taps ? k.w[(ch + i) * k.ldw + k.n_taps - 1 - j] : 0.0f;
  }
}

/* Where the token `back` before item's first one has channel ch. */
__device__ static inline int64_t
conv_before_at(const cu_taps &b, int n_taps, int64_t item, int64_t back,
               int64_t ch)
{
  return item * b.step + (n_taps - 1 - back) * b.ld + ch;
}

__device__ static inline float
conv_before_get(const cu_taps &b, int64_t at)
{
  return b.bf16 ? cu_get(((const bf16 *)b.p)[at]) : ((const float *)b.p)[at];
}

__device__ static inline void
conv_before_put(const cu_taps &b, int64_t at, float v)
{
  if (b.bf16)
    cu_put(&((bf16 *)b.p)[at], v);
  else
    ((float *)b.p)[at] = v;
}

/* Adds to y the inputs before the document of which this is token `at`. */
template <int V, int TAPS>
__device__ static inline void
conv_reach_back(const cu_conv &k, const conv_weights<V, TAPS> &w, int64_t first,
                int64_t at, int64_t ch, float (&y)[V])
{
  cu_doc doc = cu_doc_at(k.rows, first);

  if (doc.item < 0)
    return;
#pragma unroll
  for (int j = 1; j < TAPS; j++)
    if (j < k.n_taps && j > at && j - at <= doc.seen)
#pragma unroll
      for (int i = 0; i < V; i++)
        y[i] +=
            w.w[j][i] *
            conv_before_get(k.before, conv_before_at(k.before, k.n_taps,
                                                     doc.item, j - at, ch + i));
}

template <class T, int V, int TAPS>
__global__ void
__launch_bounds__(CONV_BLOCK) conv_fwd(cu_conv k, T *y, int64_t ldy)
{
  int64_t ch = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V;
  int64_t t0 = (int64_t)blockIdx.x * CONV_RUN, n_tokens = k.rows.n_tokens;
  int64_t end = min(t0 + CONV_RUN, n_tokens);
  const T *x = (const T *)k.x.p + ch;
  conv_weights<V, TAPS> w;
  conv_vec<T, V> past[TAPS + CONV_AHEAD]; /* [TAPS-1+i]: token t + i */

  if (ch >= k.channels)
    return;
  conv_weights_get(k, ch, w);
#pragma unroll
  for (int j = 0; j < TAPS - 1; j++)
    if (t0 - (TAPS - 1) + j >= 0)
      past[j] = conv_load<T, V>(x + (t0 - (TAPS - 1) + j) * k.x.ld);
  for (int64_t t = t0; t < end; t += CONV_AHEAD) {
#pragma unroll
    for (int a = 0; a < CONV_AHEAD; a++)
      if (t + a < end)
        past[TAPS - 1 + a] = conv_load<T, V>(x + (t + a) * k.x.ld);
#pragma unroll
    for (int a = 0; a < CONV_AHEAD; a++) {
      int64_t first, at;
      float sum[V];

      if (t + a >= end)
        break;
      first = cu_first(k.rows, t + a);
      at = t + a - first;
#pragma unroll
      for (int i = 0; i < V; i++)
        sum[i] = w.b[i];
#pragma unroll
      for (int j = 0; j < TAPS; j++)
        if (j < k.n_taps && j <= at)
#pragma unroll
          for (int i = 0; i < V; i++)
            sum[i] += w.w[j][i] * cu_get(past[TAPS - 1 + a - j].v[i]);
      if (k.before.p && at < k.n_taps - 1)
        conv_reach_back(k, w, first, at, ch, sum);
      conv_store(y + (t + a) * ldy + ch, sum);
    }
#pragma unroll
    for (int j = 0; j < TAPS - 1; j++)
      past[j] = past[j + CONV_AHEAD];
  }
}

/* The cache of a segment takes its last inputs. */
template <class T>
__global__ void
conv_renew(cu_conv k)
{
  int64_t ch = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  int64_t t0 = k.rows.seg_start[blockIdx.y], past = k.n_taps - 1;
  int64_t n = k.rows.seg_start[blockIdx.y + 1] - t0;
  int64_t item = k.rows.slot[blockIdx.y];

  if (ch >= k.channels || n <= 0)
    return;
  for (int64_t j = 0; j < past; j++) { /* row j takes input n - past + j */
    int64_t i = n - past + j;
    float v = i >= 0
                  ? cu_get(((const T *)k.x.p)[(t0 + i) * k.x.ld + ch])
                  : conv_before_get(k.before, conv_before_at(k.before, k.n_taps,
                                                             item, -i, ch));

    conv_before_put(k.before,
                    conv_before_at(k.before, k.n_taps, item, past - j, ch), v);
  }
}

/* Sums over the tokens of a run: of dy[t] x[t-j], of dy[t]. */
template <int V, int TAPS> struct conv_sums {
  float w[TAPS][V], b[V];
};

/* Row `row` of the partial sums: (n_taps + 1, channels), the biases last. */
template <int V, int TAPS>
__device__ static inline void
conv_sums_put(const cu_conv &k, const conv_sums<V, TAPS> &s, float *part,
              int64_t row, int64_t ch)
{
  float *to = part + row * (k.n_taps + 1) * k.channels + ch;

#pragma unroll
  for (int j = 0; j < TAPS; j++)
    if (j < k.n_taps)
#pragma unroll
      for (int i = 0; i < V; i++)
        to[j * k.channels + i] = s.w[j][i];
#pragma unroll
  for (int i = 0; i < V; i++)
    to[k.n_taps * k.channels + i] = s.b[i];
}

/* Token u, of which `reach` tokens from u on are in its document; dy[j] is of
 * token u + j. */
template <class T, int V, int TAPS>
__device__ static inline void
conv_token_bwd(const conv_weights<V, TAPS> &w, int reach,
               const conv_vec<T, V> &x, const conv_vec<T, V> *dy,
               float (&dx)[V], conv_sums<V, TAPS> &s)
{
#pragma unroll
  for (int j = 0; j < TAPS; j++)
    if (j < reach)
#pragma unroll
      for (int i = 0; i < V; i++) {
        float d = cu_get(dy[j].v[i]);

        s.w[j][i] += d * cu_get(x.v[i]);
        dx[i] += w.w[j][i] * d;
      }
#pragma unroll
  for (int i = 0; i < V; i++)
    s.b[i] += cu_get(dy[0].v[i]);
}

/* How many of the tokens u, u+1, ... take token u. */
__device__ static inline int
conv_reach(const cu_conv &k, int64_t u)
{
  int n = 1;

  while (n < k.n_taps && u + n < k.rows.n_tokens &&
         k.rows.seq_start[u + n] <= u)
    n++;
  return n;
}

template <class T, int V, int TAPS>
__global__ void
__launch_bounds__(CONV_BLOCK)
    conv_bwd(cu_conv k, const T *dy, int64_t ldy, T *dx, float beta,
             int64_t run, float *part)
{
  int64_t ch = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V;
  int64_t u0 = (int64_t)blockIdx.x * run, n_tokens = k.rows.n_tokens;
  int64_t end = min(u0 + run, n_tokens);
  const T *x = (const T *)k.x.p + ch;
  conv_weights<V, TAPS> w;
  conv_sums<V, TAPS> s = {};
  conv_vec<T, V> next[TAPS + CONV_AHEAD], xu[CONV_AHEAD];

  if (ch >= k.channels)
    return;
  conv_weights_get(k, ch, w);
#pragma unroll
  for (int j = 0; j < TAPS - 1; j++)
    if (u0 + j < n_tokens)
      next[j] = conv_load<T, V>(dy + (u0 + j) * ldy + ch);
  for (int64_t u = u0; u < end; u += CONV_AHEAD) {
#pragma unroll
    for (int a = 0; a < CONV_AHEAD; a++) {
      if (u + a + TAPS - 1 < n_tokens)
        next[TAPS - 1 + a] =
            conv_load<T, V>(dy + (u + a + TAPS - 1) * ldy + ch);
      if (u + a < end)
        xu[a] = conv_load<T, V>(x + (u + a) * k.x.ld);
    }
#pragma unroll
    for (int a = 0; a < CONV_AHEAD; a++) {
      float g[V] = {};

      if (u + a >= end)
        break;
      conv_token_bwd<T, V, TAPS>(w, conv_reach(k, u + a), xu[a], next + a, g,
                                 s);
      if (!dx)
        continue;
      if (beta != 0.0f) {
        conv_vec<T, V> old = conv_load<T, V>(dx + (u + a) * k.x.ld + ch);

#pragma unroll
        for (int i = 0; i < V; i++)
          g[i] += beta * cu_get(old.v[i]);
      }
      conv_store(dx + (u + a) * k.x.ld + ch, g);
    }
#pragma unroll
    for (int j = 0; j < TAPS - 1; j++)
      next[j] = next[j + CONV_AHEAD];
  }
  conv_sums_put(k, s, part, blockIdx.x, ch);
}

/* What the halo of a span gets, and its part in the sums, of one channel. */
template <class T>
__global__ void
conv_halo_bwd(cu_conv k, const T *dy, int64_t ldy, cu_taps d, float beta,
              float *part, int64_t row0)
{
  int64_t ch = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  cu_span p = k.rows.span[blockIdx.y];
  conv_weights<1, CONV_TAPS> w;
  conv_sums<1, CONV_TAPS> s = {};

  if (ch >= k.channels)
    return;
  conv_weights_get(k, ch, w);
  for (int back = 1; back < k.n_taps; back++) {
    int64_t from = conv_before_at(k.before, k.n_taps, blockIdx.y, back, ch);
    int64_t to = conv_before_at(d, k.n_taps, blockIdx.y, back, ch);
    float sum = 0.0f;

#pragma unroll
    for (int j = 1; j < CONV_TAPS; j++) {
      int64_t t = j - back; /* of the span */

      if (back > p.before || j >= k.n_taps || t < 0 || t >= p.n ||
          k.rows.seq_start[p.at + t] != p.at)
        continue;
      float g = cu_get(dy[(p.at + t) * ldy + ch]);

      s.w[j][0] += g * conv_before_get(k.before, from);
      sum += w.w[j][0] * g;
    }
    if (d.p)
      conv_before_put(d, to,
                      beta != 0.0f ? beta * conv_before_get(d, to) + sum : sum);
  }
  conv_sums_put(k, s, part, row0 + blockIdx.y, ch);
}

/* Partial sums in their order: of tap j of the token before, or the bias. */
__global__ void
conv_finish(cu_conv k, const float *part, int64_t n_part, float *dw, float *db,
            float beta_w, float beta_b)
{
  int64_t ch = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  int j = blockIdx.y;
  float *to = j < k.n_taps ? dw : db;
  float beta = j < k.n_taps ? beta_w : beta_b;
  double sum = 0.0;

  if (ch >= k.channels || !to)
    return;
#pragma unroll 8
  for (int64_t i = 0; i < n_part; i++)
    sum += (double)part[(i * (k.n_taps + 1) + j) * k.channels + ch];
  to += j < k.n_taps ? ch * k.ldw + k.n_taps - 1 - j : ch;
  *to = beta != 0.0f ? beta * *to + (float)sum : (float)sum;
}

/* Rows of m can be read 16 bytes at a time. */
static bool
conv_aligned(cu_mat m, int64_t channels)
{
  int64_t v = m.bf16 ? 8 : 4;

  return (uintptr_t)m.p % 16 == 0 && m.ld % v == 0 && channels % v == 0;
}

static dim3
conv_grid(int64_t runs, int64_t channels, int v)
{
  return dim3((unsigned)runs, cu_blocks(channels, (int64_t)CONV_BLOCK * v));
}

CU_API void
cu_conv1d_fwd(cudaStream_t s, cu_conv k, cu_mat y)
{
  int64_t runs = (k.rows.n_tokens + CONV_RUN - 1) / CONV_RUN, n = k.channels;

  if (k.rows.n_tokens > 0 && n > 0)
    CU_TYPED(y, {
      enum { V = 16 / sizeof(T) };
      if (k.n_taps == 4 && conv_aligned(k.x, n) && conv_aligned(y, n))
        CU_LAUNCH((conv_fwd<T, V, 4>), conv_grid(runs, n, V), CONV_BLOCK, 0, s,
                  k, (T *)y.p, y.ld);
      else
        CU_LAUNCH((conv_fwd<T, 1, CONV_TAPS>), conv_grid(runs, n, 1),
                  CONV_BLOCK, 0, s, k, (T *)y.p, y.ld);
    });
  if (k.rows.n_seg > 0 && n > 0)
    CU_TYPED(k.x,
             CU_LAUNCH((conv_renew<T>),
                       dim3(cu_blocks(n, CONV_BLOCK), (unsigned)k.rows.n_seg),
                       CONV_BLOCK, 0, s, k));
}

CU_API void
cu_conv1d_bwd(cudaStream_t s, cu_conv k, cu_mat dy, cu_mat dx, float *dw,
              float *db, cu_taps dbefore, const float beta[4], float *part)
{
  int64_t n = k.channels, run = cu_conv1d_run(k.rows.n_tokens, n);
  int64_t runs = (k.rows.n_tokens + run - 1) / run;
  int64_t spans = k.before.p ? k.rows.n_span : 0;
  float b0 = beta[0], b1 = beta[1], b2 = beta[2], b3 = beta[3];

  if (n == 0)
    return;
  if (runs > 0)
    CU_TYPED(dy, {
      enum { V = 16 / sizeof(T) };
      if (k.n_taps == 4 && conv_aligned(k.x, n) && conv_aligned(dy, n) &&
          conv_aligned(dx, n))
        CU_LAUNCH((conv_bwd<T, V, 4>), conv_grid(runs, n, V), CONV_BLOCK, 0, s,
                  k, (const T *)dy.p, dy.ld, (T *)dx.p, b0, run, part);
      else
        CU_LAUNCH((conv_bwd<T, 1, CONV_TAPS>), conv_grid(runs, n, 1),
                  CONV_BLOCK, 0, s, k, (const T *)dy.p, dy.ld, (T *)dx.p, b0,
                  run, part);
    });
  if (spans > 0)
    CU_TYPED(dy, CU_LAUNCH((conv_halo_bwd<T>),
                           dim3(cu_blocks(n, CONV_BLOCK), (unsigned)spans),
                           CONV_BLOCK, 0, s, k, (const T *)dy.p, dy.ld, dbefore,
                           b3, part, runs));
  CU_LAUNCH(conv_finish, dim3(cu_blocks(n, CONV_BLOCK), (unsigned)k.n_taps + 1),
            CONV_BLOCK, 0, s, k, part, runs + spans, dw, db, b1, b2);
}
