/* attention_fwd_mma.cuh: forward of attention and of attention_block in bf16
 * on tensor cores.
 *
 * A block has M queries of a head, a warp MT times 16 of them with their
 * scores, weights and sums in registers: the weights are rounded to bf16 and
 * become the left side of the product with the values as they lie. Tiles of N
 * keys and values arrive two at a time, the next while these are used. Sources:
 * arXiv:2205.14135, algorithm 1; Dao 2023, arXiv:2307.08691. */
#ifndef HYMN_CUDA_ATTENTION_FWD_MMA_CUH
#define HYMN_CUDA_ATTENTION_FWD_MMA_CUH

#include "attention_mma.cuh"

template <int D> struct fwd_shape {
  enum {
    M = 128,
    N = D > 128 ? 32 : 64,
    WARPS = D > 128 ? 8 : 4,
    THREADS = 32 * WARPS,
    MT = M / 16 / WARPS,
    BLOCKS = D > 128 ? 1 : 2, /* of a multiprocessor */
    SHARED = 2 * D * (M + 4 * N)
  };
};

/* What a thread keeps of its rows 16 mt + lane / 4 (+ 8: the second). */
template <int D> struct fwd_state {
  enum { MT = fwd_shape<D>::MT, N = fwd_shape<D>::N };
  float o[MT][D / 8][4], m[MT][2], z[MT][2];
};

/* The block's tile in shared memory. */
template <int D> struct fwd_tile {
  enum { STAGE = 2 * fwd_shape<D>::N * D };
  bf16 *q, *k, *v; /* k and v of stage 1 are STAGE further on */
  int *lo, *hi;    /* of each row */

  __device__ fwd_tile(bf16 *at, int *ranges)
  {
    enum { M = fwd_shape<D>::M, N = fwd_shape<D>::N };

    q = at;
    k = q + M * D;
    v = k + N * D;
    lo = ranges;
    hi = lo + M;
  }
};

/* s = q k' for the warp's rows. */
template <int D>
__device__ static inline void
fwd_scores(float (&s)[fwd_shape<D>::MT][fwd_shape<D>::N / 8][4], const bf16 *q,
           const bf16 *k, int row)
{
  enum { MT = fwd_shape<D>::MT, N = fwd_shape<D>::N };

#pragma unroll
  for (int mt = 0; mt < MT; mt++)
#pragma unroll
    for (int n = 0; n < N / 8; n++)
      s[mt][n][0] = s[mt][n][1] = s[mt][n][2] = s[mt][n][3] = 0.0f;
#pragma unroll
  for (int i = 0; i < D / 16; i++) {
    uint32_t a[MT][4], b[2][2];

#pragma unroll
    for (int mt = 0; mt < MT; mt++)
      mma_left<D>(a[mt], q, row + 16 * mt, i);
#pragma unroll
    for (int n = 0; n < N / 16; n++) {
      mma_right<D>(b, k, 16 * n, i);
#pragma unroll
      for (int mt = 0; mt < MT; mt++) {
        mma_bf16_16816(s[mt][2 * n], a[mt], b[0], s[mt][2 * n]);
        mma_bf16_16816(s[mt][2 * n + 1], a[mt], b[1], s[mt][2 * n + 1]);
      }
    }
  }
}

/* Scores of keys that a row does not see become -inf; u: the first key. */
template <int D>
__device__ static inline void
fwd_mask(float (&s)[fwd_shape<D>::MT][fwd_shape<D>::N / 8][4],
         const fwd_tile<D> &w, int row, int u)
{
  int l = threadIdx.x % 32;

#pragma unroll
  for (int mt = 0; mt < fwd_shape<D>::MT; mt++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int r = row + 16 * mt + 8 * half + l / 4;
      int lo = w.lo[r] - u - 2 * (l % 4), hi = w.hi[r] - u - 2 * (l % 4);

#pragma unroll
      for (int n = 0; n < fwd_shape<D>::N / 8; n++)
#pragma unroll
        for (int j = 0; j < 2; j++)
          if (8 * n + j < lo || 8 * n + j >= hi)
            s[mt][n][2 * half + j] = -INFINITY;
    }
}

/* Scores to weights; the sums so far are scaled to the new maximum. */
template <int D>
__device__ static inline void
fwd_softmax(fwd_state<D> &w,
            float (&s)[fwd_shape<D>::MT][fwd_shape<D>::N / 8][4], float scale)
{
#pragma unroll
  for (int mt = 0; mt < fwd_shape<D>::MT; mt++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float top = w.m[mt][half], old = top, f, z = 0.0f;

#pragma unroll
      for (int n = 0; n < fwd_shape<D>::N / 8; n++)
        top = fmaxf(top, fmaxf(s[mt][n][2 * half], s[mt][n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      w.m[mt][half] = top;
      top = top == -INFINITY ? 0.0f : top * scale; /* sees nothing yet */
      f = ex2_approx(fmaf(old, scale, -top));
#pragma unroll
      for (int n = 0; n < fwd_shape<D>::N / 8; n++)
#pragma unroll
        for (int j = 2 * half; j < 2 * half + 2; j++) {
          s[mt][n][j] = ex2_approx(fmaf(s[mt][n][j], scale, -top));
          z += s[mt][n][j];
        }
      w.z[mt][half] = fmaf(w.z[mt][half], f, z);
#pragma unroll
      for (int n = 0; n < D / 8; n++) {
        w.o[mt][n][2 * half] *= f;
        w.o[mt][n][2 * half + 1] *= f;
      }
    }
}

/* o += p v */
template <int D>
__device__ static inline void
fwd_values(fwd_state<D> &w,
           const float (&p)[fwd_shape<D>::MT][fwd_shape<D>::N / 8][4],
           const bf16 *v)
{
  enum { MT = fwd_shape<D>::MT };

#pragma unroll
  for (int i = 0; i < fwd_shape<D>::N / 16; i++) {
    uint32_t a[MT][4], b[2][2];

#pragma unroll
    for (int mt = 0; mt < MT; mt++)
      mma_again(a[mt], p[mt][2 * i], p[mt][2 * i + 1]);
#pragma unroll
    for (int n = 0; n < D / 16; n++) {
      mma_right_t<D>(b, v, 16 * i, n);
#pragma unroll
      for (int mt = 0; mt < MT; mt++) {
        mma_bf16_16816(w.o[mt][2 * n], a[mt], b[0], w.o[mt][2 * n]);
        mma_bf16_16816(w.o[mt][2 * n + 1], a[mt], b[1], w.o[mt][2 * n + 1]);
      }
    }
  }
}

/* Start the copy of the keys and values from u on; those outside first ..
 * end-1 are zero. */
template <int D>
__device__ static inline void
fwd_load(const cu_attn &a, const fwd_tile<D> &w, const attn_tile &t, int u,
         int first, int end)
{
  enum { N = fwd_shape<D>::N, THREADS = fwd_shape<D>::THREADS };
  int64_t head = (int64_t)t.g * a.d;
  int stage = u / N % 2 * w.STAGE;

  if (u < end) {
    mma_load<D, N, THREADS>(
        w.k + stage, (const bf16 *)attn_base(a.k, a.seg.step[0], t.slot, head),
        a.k.ld, a.d, u, first, end);
    mma_load<D, N, THREADS>(
        w.v + stage, (const bf16 *)attn_base(a.v, a.seg.step[1], t.slot, head),
        a.v.ld, a.d, u, first, end);
  }
  __pipeline_commit();
}

/* All keys that the rows r0 .. r1-1 see, for all rows. */
template <int D>
__device__ static inline void
fwd_pass(const cu_attn &a, const fwd_tile<D> &w, const attn_tile &t,
         fwd_state<D> &st, int r0, int r1, float scale)
{
  enum { MT = fwd_shape<D>::MT, N = fwd_shape<D>::N };

#pragma unroll
  for (int mt = 0; mt < MT; mt++) {
    st.m[mt][0] = st.m[mt][1] = -INFINITY;
    st.z[mt][0] = st.z[mt][1] = 0.0f;
#pragma unroll
    for (int i = 0; i < D / 8; i++)
      st.o[mt][i][0] = st.o[mt][i][1] = st.o[mt][i][2] = st.o[mt][i][3] = 0.0f;
  }
  fwd_load<D>(a, w, t, w.lo[r0] / N * N, w.lo[r0], w.hi[r1 - 1]);
  for (int u = w.lo[r0] / N * N; u < w.hi[r1 - 1]; u += N) {
    int row = threadIdx.x / 32 * 16 * MT;
    int stage = u / N % 2 * w.STAGE;
    float s[MT][N / 8][4];

    __pipeline_wait_prior(0);
    __syncthreads(); /* all have copied; the other stage is no longer read */
    fwd_load<D>(a, w, t, u + N, w.lo[r0], w.hi[r1 - 1]);
    fwd_scores<D>(s, w.q, w.k + stage, row);
    /* rows beyond the tile's may see anything: their sums are not kept */
    if (u < w.lo[t.n - 1] || u + N > w.hi[0])
      fwd_mask<D>(s, w, row, u);
    fwd_softmax<D>(st, s, scale);
    fwd_values<D>(st, s, w.v + stage);
  }
  __pipeline_wait_prior(0);
  __syncthreads();
}

/* The sums of a row over the four lanes that share it. */
template <int D>
__device__ static inline int
fwd_finish(fwd_state<D> &st, const attn_tile &t)
{
  int row = threadIdx.x / 32 * 16 * fwd_shape<D>::MT, bad = 0;

#pragma unroll
  for (int mt = 0; mt < fwd_shape<D>::MT; mt++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int r = row + 16 * mt + 8 * half + threadIdx.x % 32 / 4;
      float sum = st.z[mt][half];

      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      st.z[mt][half] = sum;
      sum = 0.0f;
#pragma unroll
      for (int n = 0; n < D / 8; n++)
        sum += fabsf(st.o[mt][n][2 * half]) + fabsf(st.o[mt][n][2 * half + 1]);
      bad |= r < t.n && sum != sum; /* a NaN */
    }
  return bad;
}

/* One row: its numbers (times add, plus old times what is there) / z. */
template <int D>
__device__ static inline void
fwd_put(const cu_attn &a, int64_t at, const fwd_state<D> &st, int mt, int half,
        float old, float add)
{
  bf16 *out = (bf16 *)a.out.p + at;
  int x = 2 * (threadIdx.x % 4);

#pragma unroll
  for (int n = 0; n < D / 8; n++)
    if (8 * n < a.d) {
      float y0 = add * st.o[mt][n][2 * half];
      float y1 = add * st.o[mt][n][2 * half + 1];
      uint32_t *p = (uint32_t *)(out + 8 * n + x);

      if (old != 0.0f) {
        y0 += old * cu_get(out[8 * n + x]);
        y1 += old * cu_get(out[8 * n + x + 1]);
      }
      *p = mma_pack(y0, y1);
    }
}

/* Rows r0 .. r1-1 to out and lse; of a block merged with what is there. */
template <int D>
__device__ static inline void
fwd_out(const cu_attn &a, const attn_tile &t, const fwd_state<D> &st, int r0,
        int r1, float scale)
{
  int row = threadIdx.x / 32 * 16 * fwd_shape<D>::MT;
  float *lse = (float *)a.lse.p;

#pragma unroll
  for (int mt = 0; mt < fwd_shape<D>::MT; mt++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int r = row + 16 * mt + 8 * half + threadIdx.x % 32 / 4;
      int64_t token = attn_token(t, r), head = attn_head(t, r);
      float top = st.m[mt][half] * scale, z = st.z[mt][half];
      float old = 0.0f, add = 1.0f;

      if (r >= r0 && r < r1) {
        if (a.start == NULL && t.past < 0) {
          float had = lse[token * a.lse.ld + head];
          float m = fmaxf(top, had);

          old = expf(had - m);
          add = expf(top - m);
          z = old + add * z;
          top = m;
        }
        fwd_put<D>(a, token * a.out.ld + head * a.d, st, mt, half, old / z,
                   add / z);
      }
      __syncwarp(); /* all have read lse */
      if (r >= r0 && r < r1 && lse != NULL && threadIdx.x % 4 == 0)
        lse[token * a.lse.ld + head] = top + logf(z);
    }
}

/* A weight of 0 times a NaN is a NaN: if rows of several documents have found
 * one, each document runs alone, on its own keys. */
template <int D>
__global__ void
__launch_bounds__(fwd_shape<D>::THREADS, fwd_shape<D>::BLOCKS)
    attn_fwd_mma(cu_attn a, float scale)
{
  enum { M = fwd_shape<D>::M, THREADS = fwd_shape<D>::THREADS };
  CU_DYN_SHARED(bf16, at);
  CU_SHARED(int, ranges, [2 * M]);
  CU_SHARED(attn_tile, t, ); /* here it takes no registers */
  fwd_tile<D> w(at, ranges);
  fwd_state<D> st;
  int whole = 1;

  if (threadIdx.x == 0)
    t = attn_tile_of(a, gridDim.x - 1 - blockIdx.x, (int)blockIdx.y, M);
  __syncthreads();
  if (t.n == 0)
    return;
  mma_load_rows<D, M, THREADS>(w.q, a.q, t, a.d);
  for (int r = threadIdx.x; r < M; r += THREADS)
    attn_range(a, t, r, w.lo[r], w.hi[r]);
  __syncthreads();
  for (int r0 = 0, r1 = t.n; r0 < t.n;) {
    int bad;

    fwd_pass<D>(a, w, t, st, r0, r1, scale);
    bad = fwd_finish<D>(st, t);
    if (whole && w.lo[0] != w.lo[t.n - 1] && __syncthreads_or(bad)) {
      whole = 0;
      r1 = attn_doc_end(w.lo, 0, t.n);
      continue;
    }
    fwd_out<D>(a, t, st, r0, r1, scale * ATTN_LN2);
    r0 = r1;
    r1 = r0 < t.n ? attn_doc_end(w.lo, r0, t.n) : r0;
  }
}

template <int D>
static void
attn_fwd_mma_launch(cudaStream_t s, const cu_attn &a)
{
  typedef fwd_shape<D> shape;
  dim3 grid(attn_tiles(a, shape::M),
            (unsigned)(a.seg.n > 0 ? a.n_kv : a.n_heads));

  attn_allow((const void *)attn_fwd_mma<D>, shape::SHARED);
  CU_LAUNCH((attn_fwd_mma<D>), grid, shape::THREADS, shape::SHARED, s, a,
            ATTN_LOG2E / sqrtf((float)a.d));
}

#endif
