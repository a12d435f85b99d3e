/* attention_fwd.cuh: forward of attention and of attention_block for any
 * format and width.
 *
 * With the running maximum m and sum z of a row, tile after tile of keys:
 *   m' = max(m, max s),  p = exp(s - m'),  z' = z exp(m - m') + sum p,
 *   o' = o exp(m - m') + p v,
 * and at the end out = o / z, lse = m + log z. Source: Dao et al. 2022,
 * arXiv:2205.14135, algorithm 1. */
#ifndef HYMN_CUDA_ATTENTION_FWD_CUH
#define HYMN_CUDA_ATTENTION_FWD_CUH

#include "attention.cuh"

/* Rows of d|1 floats of q, keys or values, sums; then scores, maximum and sum
 * of each row, factor of its sums. */
template <int B>
static size_t
attn_fwd_shared(int d)
{
  return sizeof(float) * (3 * B * (d | 1) + B * (B + 1) + 3 * B);
}

template <int B> struct attn_fwd_work {
  float *q, *kv, *o, *s, *m, *z, *f;

  __device__ attn_fwd_work(float *at, int d)
  {
    q = at;
    kv = q + B * (d | 1);
    o = kv + B * (d | 1);
    s = o + B * (d | 1);
    m = s + B * (B + 1);
    z = m + B;
    f = z + B;
  }
};

/* Scores of one row to weights; maximum, sum and factor of the row. */
template <int B>
__device__ static inline void
attn_fwd_row(const attn_fwd_work<B> &w)
{
  int r = threadIdx.x / (B / 4), x = threadIdx.x % (B / 4);
  float *s = w.s + r * (B + 1);
  float top = w.m[r], old = top, z = 0.0f, safe;

  for (int c = x; c < B; c += B / 4)
    top = fmaxf(top, s[c]);
  for (int k = 1; k < B / 4; k *= 2)
    top = fmaxf(top, __shfl_xor_sync(~0u, top, k));
  safe = top == -INFINITY ? 0.0f : top; /* a row that sees nothing yet */
  for (int c = x; c < B; c += B / 4) {
    s[c] = exp2f(s[c] - safe);
    z += s[c];
  }
  for (int k = 1; k < B / 4; k *= 2)
    z += __shfl_xor_sync(~0u, z, k);
  if (x == 0) {
    float f = exp2f(old - safe);

    w.f[r] = f;
    w.z[r] = w.z[r] * f + z;
    w.m[r] = top;
  }
}

/* Rows to out and lse; of a block merged with what is there. */
template <int B>
__device__ static inline void
attn_fwd_out(const cu_attn &a, const attn_tile &t, const attn_fwd_work<B> &w)
{
  int r = threadIdx.x / (B / 4), live = r < t.n;
  int64_t at = attn_token(t, r) * a.out.ld + (int64_t)attn_head(t, r) * a.d;
  int64_t row = attn_token(t, r) * a.lse.ld + attn_head(t, r);
  float m = w.m[r] * ATTN_LN2, z = w.z[r], old = 0.0f, add = 1.0f;
  float *lse = (float *)a.lse.p;

  if (live && a.start == NULL && t.past < 0) {
    float had = lse[row], top = fmaxf(m, had);

    old = expf(had - top);
    add = expf(m - top);
    z = old + add * z;
    m = top;
  }
  for (int j = threadIdx.x % (B / 4); live && j < a.d; j += B / 4) {
    float x = add * w.o[r * (a.d | 1) + j];

    if (old != 0.0f)
      x += old * attn_get(a.out.p, a.out.bf16, at + j);
    attn_put(a.out, at + j, x / z);
  }
  __syncwarp(); /* all have read lse */
  if (live && lse != NULL && threadIdx.x % (B / 4) == 0)
    lse[row] = m + logf(z);
}

template <int B>
__global__ void
attn_fwd_any(cu_attn a)
{
  CU_DYN_SHARED(float, at);
  CU_SHARED(int, lo, [B]);
  CU_SHARED(int, hi, [B]);
  attn_fwd_work<B> w(at, a.d);
  attn_tile t = attn_tile_of(a, gridDim.x - 1 - blockIdx.x, (int)blockIdx.y, B);
  const char *k = attn_base(a.k, a.seg.step[0], t.slot, (int64_t)t.g * a.d);
  const char *v = attn_base(a.v, a.seg.step[1], t.slot, (int64_t)t.g * a.d);
  int first, end;

  if (t.n == 0)
    return;
  attn_load_rows<B>(w.q, a.q, t, a.d, rsqrtf((float)a.d) * ATTN_LOG2E);
  for (int i = threadIdx.x; i < B * (a.d | 1); i += blockDim.x)
    w.o[i] = 0.0f;
  for (int r = threadIdx.x; r < B; r += blockDim.x) {
    attn_range(a, t, r, lo[r], hi[r]);
    w.m[r] = -INFINITY;
    w.z[r] = 0.0f;
  }
  __syncthreads();
  first = lo[0];
  end = hi[t.n - 1];
  for (int u = first / B * B; u < end; u += B) {
    float s[4];

    attn_load<B>(w.kv, k, a.k.bf16, a.k.ld, a.d, u, first, end, 1.0f);
    __syncthreads();
    attn_dots<B>(s, w.q, w.kv, a.d);
    for (int i = 0; i < 4; i++) {
      int y = attn_y<B>(i), x = attn_x<B>(i);

      w.s[y * (B + 1) + x] = u + x >= lo[y] && u + x < hi[y] ? s[i] : -INFINITY;
    }
    __syncthreads();
    attn_load<B>(w.kv, v, a.v.bf16, a.v.ld, a.d, u, first, end, 1.0f);
    attn_fwd_row<B>(w);
    __syncthreads();
    attn_sum<B, false>(w.o, w.s, w.kv, a.d, w.f[threadIdx.x / (B / 4)]);
    __syncthreads();
  }
  attn_fwd_out<B>(a, t, w);
}

template <int B>
static void
attn_fwd_any_launch(cudaStream_t s, const cu_attn &a)
{
  dim3 grid(attn_tiles(a, B), (unsigned)(a.seg.n > 0 ? a.n_kv : a.n_heads));
  size_t shared = attn_fwd_shared<B>(a.d);

  attn_allow((const void *)attn_fwd_any<B>, shared);
  CU_LAUNCH((attn_fwd_any<B>), grid, B * B / 4, shared, s, a);
}

#endif
