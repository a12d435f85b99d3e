/* attention_bwd.cuh: backward of attention for any format and width. */
#ifndef HYMN_CUDA_ATTENTION_BWD_CUH
#define HYMN_CUDA_ATTENTION_BWD_CUH

#include "attention.cuh"

/* p and ds of a tile, B (B + 1) floats each, from what the four products of
 * dots are: rows are queries with their lse (times log2(e)), delta and
 * ranges. */
template <int B> struct attn_bwd_work {
  float *p, *ds;
  float *lse, *delta; /* (B) */
  int *lo, *hi;       /* (B) */

  __device__ attn_bwd_work(float *at)
  {
    p = at;
    ds = p + B * (B + 1);
    lse = ds + B * (B + 1);
    delta = lse + B;
    lo = (int *)(delta + B);
    hi = lo + B;
  }
};

template <int B>
static size_t
attn_bwd_shared(int d, int n)
{
  return sizeof(float) * (n * B * (d | 1) + 2 * B * (B + 1) + 4 * B);
}

template <int B>
__device__ static inline void
attn_bwd_rows(const cu_attn &a, const cu_attn_grad &g, const attn_tile &t,
              const attn_bwd_work<B> &w)
{
  for (int r = threadIdx.x; r < B; r += blockDim.x) {
    float2 f = r < t.n ? attn_stat(a, g, t.head0)[t.row0 + r]
                       : make_float2(0.0f, 0.0f);

    attn_range(a, t, r, w.lo[r], w.hi[r]);
    w.lse[r] = f.x;
    w.delta[r] = f.y;
  }
}

/* From rows of q (scaled), dout, k and v; u: the first key. */
template <int B>
__device__ static inline void
attn_bwd_scores(const attn_bwd_work<B> &w, const float *q, const float *dout,
                const float *k, const float *v, int d, int u)
{
  float s[4], dp[4];

  attn_dots<B>(s, q, k, d);
  attn_dots<B>(dp, dout, v, d);
  for (int i = 0; i < 4; i++) {
    int y = attn_y<B>(i), x = attn_x<B>(i), at = y * (B + 1) + x;
    int seen = u + x >= w.lo[y] && u + x < w.hi[y];
    float p = seen ? exp2f(s[i] - w.lse[y]) : 0.0f;

    w.p[at] = p;
    w.ds[at] = seen ? p * (dp[i] - w.delta[y]) : 0.0f;
  }
}

/* Row r of a tile of sums to its gradient, which begins at element `at`. */
template <int B>
__device__ static inline void
attn_bwd_out(const cu_mat &grad, float beta, int64_t at, const float *acc,
             int d, float scale)
{
  int r = threadIdx.x / (B / 4);

  for (int j = threadIdx.x % (B / 4); j < d; j += B / 4)
    attn_add(grad, at + j, beta, scale * acc[r * (d | 1) + j]);
}

template <int B>
__global__ void
attn_bwd_q_any(cu_attn a, cu_attn_grad g)
{
  CU_DYN_SHARED(float, at);
  int n = B * (a.d | 1), r = threadIdx.x / (B / 4);
  float *q = at, *dout = q + n, *k = dout + n, *v = k + n, *acc = v + n;
  attn_bwd_work<B> w(acc + n);
  attn_tile t = attn_tile_of(a, gridDim.x - 1 - blockIdx.x, (int)blockIdx.y, B);
  float scale = rsqrtf((float)a.d);
  int first, end;

  attn_load_rows<B>(q, a.q, t, a.d, scale * ATTN_LOG2E);
  attn_load_rows<B>(dout, g.dout, t, a.d, 1.0f);
  attn_bwd_rows<B>(a, g, t, w);
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    acc[i] = 0.0f;
  __syncthreads();
  first = w.lo[0];
  end = w.hi[t.n - 1];
  for (int u = first / B * B; u < end; u += B) {
    attn_load<B>(k, attn_base(a.k, 0, 0, (int64_t)t.g * a.d), a.k.bf16, a.k.ld,
                 a.d, u, first, end, 1.0f);
    attn_load<B>(v, attn_base(a.v, 0, 0, (int64_t)t.g * a.d), a.v.bf16, a.v.ld,
                 a.d, u, first, end, 1.0f);
    __syncthreads();
    attn_bwd_scores<B>(w, q, dout, k, v, a.d, u);
    __syncthreads();
    attn_sum<B, false>(acc, w.ds, k, a.d, 1.0f);
    __syncthreads();
  }
  if (r < t.n)
    attn_bwd_out<B>(g.dq, g.beta[0],
                    attn_token(t, r) * g.dq.ld + (int64_t)t.head0 * a.d, acc,
                    a.d, scale);
}

/* The tile of queries from t0 on sees some of the keys before `end`. */
__device__ static inline int
attn_sees(const cu_attn &a, int64_t t0, int64_t end)
{
  return t0 < a.n_tokens && (a.start == NULL || a.start[t0] < end);
}

template <int B>
__global__ void
attn_bwd_kv_any(cu_attn a, cu_attn_grad g)
{
  CU_DYN_SHARED(float, at);
  int n = B * (a.d | 1), r = threadIdx.x / (B / 4), each = attn_each(a);
  float *k = at, *v = k + n, *dk = v + n, *dv = dk + n, *q = dv + n;
  float *dout = q + n;
  attn_bwd_work<B> w(dout + n);
  int64_t u = (int64_t)blockIdx.x * B;
  int64_t end = u + B < a.n_keys ? u + B : a.n_keys;
  int64_t head = (int64_t)blockIdx.y * a.d;
  float scale = rsqrtf((float)a.d);

  attn_load<B>(k, attn_base(a.k, 0, 0, head), a.k.bf16, a.k.ld, a.d, u, u, end,
               1.0f);
  attn_load<B>(v, attn_base(a.v, 0, 0, head), a.v.bf16, a.v.ld, a.d, u, u, end,
               1.0f);
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    dk[i] = dv[i] = 0.0f;
  __syncthreads();
  for (int h = 0; h < each; h++)
    for (int64_t i = a.start ? u / B : 0; attn_sees(a, i * B, end); i++) {
      attn_tile t = attn_tile_of(a, i, (int)blockIdx.y * each + h, B);

      attn_load_rows<B>(q, a.q, t, a.d, scale * ATTN_LOG2E);
      attn_load_rows<B>(dout, g.dout, t, a.d, 1.0f);
      attn_bwd_rows<B>(a, g, t, w);
      __syncthreads();
      attn_bwd_scores<B>(w, q, dout, k, v, a.d, (int)u);
      __syncthreads();
      attn_sum<B, true>(dk, w.ds, q, a.d, 1.0f);
      attn_sum<B, true>(dv, w.p, dout, a.d, 1.0f);
      __syncthreads();
    }
  if (u + r < end && g.dk.p != NULL)
    attn_bwd_out<B>(g.dk, g.beta[1], (u + r) * g.dk.ld + head, dk, a.d,
                    ATTN_LN2); /* q has the scale and log2(e) */
  if (u + r < end && g.dv.p != NULL)
    attn_bwd_out<B>(g.dv, g.beta[2], (u + r) * g.dv.ld + head, dv, a.d, 1.0f);
}

template <int B>
static void
attn_bwd_any_launch(cudaStream_t s, const cu_attn &a, const cu_attn_grad &g)
{
  size_t shared_q = attn_bwd_shared<B>(a.d, 5);
  size_t shared_kv = attn_bwd_shared<B>(a.d, 6);

  if (g.dq.p != NULL && a.n_tokens > 0) {
    attn_allow((const void *)attn_bwd_q_any<B>, shared_q);
    CU_LAUNCH((attn_bwd_q_any<B>),
              dim3(cu_blocks(a.n_tokens, B), (unsigned)a.n_heads), B * B / 4,
              shared_q, s, a, g);
  }
  if ((g.dk.p != NULL || g.dv.p != NULL) && a.n_keys > 0) {
    attn_allow((const void *)attn_bwd_kv_any<B>, shared_kv);
    CU_LAUNCH((attn_bwd_kv_any<B>),
              dim3(cu_blocks(a.n_keys, B), (unsigned)a.n_kv), B * B / 4,
              shared_kv, s, a, g);
  }
}

#endif
