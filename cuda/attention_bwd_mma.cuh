/* attention_bwd_mma.cuh: backward of attention in bf16 on tensor cores.
 *
 * Both kernels have the same shape. A block owns rows of x and y (16 of them
 * each warp) and meets tiles of the other side, x' and y', which arrive two at
 * a time: with s = x x'' and dp = y y'' (products with the transposed tile) it
 * makes p and ds in registers, rounds them to bf16, and sums ds x' and p y'.
 *   keys own, queries come: x = k, y = v, x' = q, y' = dout: dk and dv
 *   queries own, keys come: x = q, y = dout, x' = k, y' = v: dq
 * Recomputing s and dp for dq costs two products of seven, and saves what is
 * not the same twice (atomics) or has to wait for others (an order of blocks).
 * Sources: arXiv:2205.14135, algorithm 4; Dao 2023, arXiv:2307.08691. */
#ifndef HYMN_CUDA_ATTENTION_BWD_MMA_CUH
#define HYMN_CUDA_ATTENTION_BWD_MMA_CUH

#include "attention_mma.cuh"

enum { BWD_Q, BWD_KV, BWD_K, BWD_V }; /* which gradients a kernel makes */

template <int D, int WHAT> struct bwd_shape {
  enum {
    KEYS = WHAT != BWD_Q, /* are own */
    DS = WHAT != BWD_V,   /* ds x' is wanted */
    P = WHAT == BWD_KV || WHAT == BWD_V,
    WARPS = D > 128 ? 4 : 8,
    THREADS = 32 * WARPS,
    OWN = 16 * WARPS,
    OTHER = D > 128 ? 32 : 64,
    HELD = D == 64 || (D == 128 && !KEYS), /* own fragments in registers */
    STAGE = 2 * OTHER * D,                 /* numbers of a stage */
    SHARED = 2 * (2 * OWN * D + 2 * STAGE)
  };
};

/* What a block knows of its work; in shared memory it takes no registers. */
typedef struct {
  int own0, n_own;  /* its rows */
  int head, g;      /* the first query head, the key head */
  int k0, k1;       /* own rows that are real in this pass */
  int first, end;   /* rows of the other side that are */
  int full0, full1; /* tiles of those within: every pair is seen */
} bwd_work;

template <int D, int WHAT> struct bwd_tile {
  bf16 *x, *y, *stage;
  float2 *stat; /* of the queries: two stages, or the own ones */
  int *lo, *hi; /* of the own queries */

  __device__ bwd_tile(bf16 *at, float2 *s, int *ranges)
  {
    typedef bwd_shape<D, WHAT> shape;

    x = at;
    y = x + shape::OWN * D;
    stage = y + shape::OWN * D;
    stat = s;
    lo = ranges;
    hi = lo + shape::OWN;
  }
};

template <int D, int WHAT> struct bwd_state {
  typedef bwd_shape<D, WHAT> shape;
  float ds[shape::DS ? D / 8 : 1][4], p[shape::P ? D / 8 : 1][4];
  uint32_t x[shape::HELD ? D / 16 : 1][4], y[shape::HELD ? D / 16 : 1][4];
};

/* The first token whose document does not begin before `doc`. */
__device__ static inline int
bwd_first(const cu_attn &a, int doc)
{
  int lo = 0, n = (int)a.n_tokens;

  while (n > 0) {
    int step = (n + 31) / 32, at = lo + threadIdx.x % 32 * step;
    int before = at < lo + n && a.start[at] < doc;
    int k = __popc(__ballot_sync(~0u, before));

    /* the last that is before, and what is up to the next that was asked */
    n = k == 0 ? 0 : min(step - 1, lo + n - 1 - (lo + (k - 1) * step));
    lo = k == 0 ? lo : lo + (k - 1) * step + 1;
  }
  return lo;
}

/* --- copies -------------------------------------------------------------- */

/* Own rows; only those of this pass. */
template <int D, int WHAT>
__device__ static inline void
bwd_load_own(const cu_attn &a, const cu_attn_grad &g, const bwd_work &w,
             const bwd_tile<D, WHAT> &tile)
{
  typedef bwd_shape<D, WHAT> shape;
  cu_mat x = shape::KEYS ? a.k : a.q, y = shape::KEYS ? a.v : g.dout;
  int64_t head = (int64_t)(shape::KEYS ? w.g : w.head) * a.d;

  mma_load<D, shape::OWN, shape::THREADS>(tile.x, (const bf16 *)x.p + head,
                                          x.ld, a.d, w.own0, w.k0, w.k1);
  mma_load<D, shape::OWN, shape::THREADS>(tile.y, (const bf16 *)y.p + head,
                                          y.ld, a.d, w.own0, w.k0, w.k1);
}

/* Starts the copy of a tile of the other side from row c on. */
template <int D, int WHAT>
__device__ static inline void
bwd_load(const cu_attn &a, const cu_attn_grad &g, const bwd_work &w,
         const bwd_tile<D, WHAT> &tile, int head, int c, int stage)
{
  typedef bwd_shape<D, WHAT> shape;
  cu_mat x = shape::KEYS ? a.q : a.k, y = shape::KEYS ? g.dout : a.v;
  int64_t at = (int64_t)(shape::KEYS ? head : w.g) * a.d;
  bf16 *to = tile.stage + stage * shape::STAGE;

  mma_load<D, shape::OTHER, shape::THREADS>(to, (const bf16 *)x.p + at, x.ld,
                                            a.d, c, w.first, w.end);
  mma_load<D, shape::OTHER, shape::THREADS>(to + shape::OTHER * D,
                                            (const bf16 *)y.p + at, y.ld, a.d,
                                            c, w.first, w.end);
  if (shape::KEYS && threadIdx.x < shape::OTHER) {
    int t = c + threadIdx.x < a.n_tokens ? c + threadIdx.x : a.n_tokens - 1;

    __pipeline_memcpy_async(tile.stat + stage * shape::OTHER + threadIdx.x,
                            attn_stat(a, g, head) + t, sizeof(float2));
  }
}

/* --- a tile -------------------------------------------------------------- */

/* s = rows of own times rows of other, transposed. */
template <int D, int N, bool HELD, int F>
__device__ static inline void
bwd_product(float (&s)[N / 8][4], const uint32_t (&held)[F][4], const bf16 *own,
            const bf16 *other)
{
  int row = threadIdx.x / 32 * 16;

#pragma unroll
  for (int n = 0; n < N / 8; n++)
    s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
#pragma unroll
  for (int i = 0; i < D / 16; i++) {
    uint32_t a[4], b[2][2];

    if (HELD)
      memcpy(a, held[i % F], sizeof a);
    else
      mma_left<D>(a, own, row, i);
#pragma unroll
    for (int n = 0; n < N / 16; n++) {
      mma_right<D>(b, other, 16 * n, i);
      mma_bf16_16816(s[2 * n], a, b[0], s[2 * n]);
      mma_bf16_16816(s[2 * n + 1], a, b[1], s[2 * n + 1]);
    }
  }
}

/* acc += w other, for w of 16 rows and N columns. */
template <int D, int N>
__device__ static inline void
bwd_sum(float (&acc)[D / 8][4], const float (&w)[N / 8][4], const bf16 *other)
{
#pragma unroll
  for (int i = 0; i < N / 16; i++) {
    uint32_t a[4], b[2][2];

    mma_again(a, w[2 * i], w[2 * i + 1]);
#pragma unroll
    for (int n = 0; n < D / 16; n++) {
      mma_right_t<D>(b, other, 16 * i, n);
      mma_bf16_16816(acc[2 * n], a, b[0], acc[2 * n]);
      mma_bf16_16816(acc[2 * n + 1], a, b[1], acc[2 * n + 1]);
    }
  }
}

/* Does the pair of own row r and other row c count? */
template <int D, int WHAT>
__device__ static inline int
bwd_seen(const cu_attn &a, const bwd_work &w, const bwd_tile<D, WHAT> &tile,
         int r, int c)
{
  if (!bwd_shape<D, WHAT>::KEYS)
    return c >= tile.lo[r] && c < tile.hi[r];
  if (c >= a.n_tokens)
    return 0;
  return a.start == NULL || (a.start[c] <= w.own0 + r && w.own0 + r <= c);
}

/* Scores to weights and dp to ds, in place. */
template <int D, int WHAT, bool MASK, int N>
__device__ static inline void
bwd_weights(const cu_attn &a, const bwd_work &w, const bwd_tile<D, WHAT> &tile,
            float (&s)[N / 8][4], float (&dp)[N / 8][4], int c, int stage,
            float scale)
{
  typedef bwd_shape<D, WHAT> shape;
  int l = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + l / 4;
  float2 st[2];

  if (!shape::KEYS)
    st[0] = tile.stat[row], st[1] = tile.stat[row + 8];
#pragma unroll
  for (int n = 0; n < N / 8; n++) {
    int x = 8 * n + 2 * (l % 4);

    if (shape::KEYS) {
      st[0] = tile.stat[stage * shape::OTHER + x];
      st[1] = tile.stat[stage * shape::OTHER + x + 1];
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      float2 f = st[shape::KEYS ? j % 2 : j / 2];
      float p = ex2_approx(fmaf(s[n][j], scale, -f.x));
      float ds = p * (dp[n][j] - f.y);

      if (MASK &&
          !bwd_seen<D, WHAT>(a, w, tile, row + j / 2 * 8, c + x + j % 2))
        p = ds = 0.0f;
      s[n][j] = p;
      dp[n][j] = ds;
    }
  }
}

template <int D, int WHAT>
__device__ static inline void
bwd_meet(const cu_attn &a, const bwd_work &w, const bwd_tile<D, WHAT> &tile,
         bwd_state<D, WHAT> &st, int c, int stage, float scale)
{
  typedef bwd_shape<D, WHAT> shape;
  enum { N = shape::OTHER };
  const bf16 *x = tile.stage + stage * shape::STAGE, *y = x + N * D;
  float s[N / 8][4], dp[N / 8][4];

  bwd_product<D, N, shape::HELD>(s, st.x, tile.x, x);
  if (shape::DS) {
    bwd_product<D, N, shape::HELD>(dp, st.y, tile.y, y);
  } else {
#pragma unroll
    for (int n = 0; n < N / 8; n++)
      dp[n][0] = dp[n][1] = dp[n][2] = dp[n][3] = 0.0f;
  }
  if (c >= w.full0 && c + N <= w.full1)
    bwd_weights<D, WHAT, false, N>(a, w, tile, s, dp, c, stage, scale);
  else
    bwd_weights<D, WHAT, true, N>(a, w, tile, s, dp, c, stage, scale);
  if constexpr (shape::P)
    bwd_sum<D, N>(st.p, s, y);
  if constexpr (shape::DS)
    bwd_sum<D, N>(st.ds, dp, x);
}

/* All tiles of the other side, of n_heads query heads one after another. */
template <int D, int WHAT>
__device__ static inline void
bwd_pass(const cu_attn &a, const cu_attn_grad &g, const bwd_work &w,
         const bwd_tile<D, WHAT> &tile, bwd_state<D, WHAT> &st, int n_heads,
         float scale)
{
  typedef bwd_shape<D, WHAT> shape;
  enum { N = shape::OTHER };
  int c = w.first / N * N, h = 0, stage = 0;

#pragma unroll
  for (int i = 0; i < D / 8; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (shape::DS)
        st.ds[shape::DS ? i : 0][j] = 0.0f;
      if (shape::P)
        st.p[shape::P ? i : 0][j] = 0.0f;
    }
  bwd_load_own<D, WHAT>(a, g, w, tile);
  if (c < w.end)
    bwd_load<D, WHAT>(a, g, w, tile, w.head, c, 0);
  __pipeline_commit();
  while (c < w.end && h < n_heads) {
    int next = c + N < w.end ? c + N : w.first / N * N;
    int next_h = c + N < w.end ? h : h + 1;

    __pipeline_wait_prior(0);
    __syncthreads(); /* all have copied; the other stage is no longer read */
    if (shape::HELD && h == 0 && c == w.first / N * N) {
#pragma unroll
      for (int i = 0; i < D / 16; i++) {
        int row = threadIdx.x / 32 * 16;

        mma_left<D>(st.x[shape::HELD ? i : 0], tile.x, row, i);
        mma_left<D>(st.y[shape::HELD ? i : 0], tile.y, row, i);
      }
    }
    if (next_h < n_heads)
      bwd_load<D, WHAT>(a, g, w, tile, w.head + next_h, next, stage ^ 1);
    __pipeline_commit();
    bwd_meet<D, WHAT>(a, w, tile, st, c, stage, scale);
    c = next;
    h = next_h;
    stage ^= 1;
  }
  __pipeline_wait_prior(0);
  __syncthreads();
}

/* --- results ------------------------------------------------------------- */

/* One of the own rows has what is not a number. */
template <int N>
__device__ static inline int
bwd_bad(const float (&acc)[N][4], int n_own)
{
  int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  float sum[2] = {0.0f, 0.0f};

#pragma unroll
  for (int i = 0; i < N; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
      sum[j / 2] += fabsf(acc[i][j]);
  return (row < n_own && sum[0] != sum[0]) ||
         (row + 8 < n_own && sum[1] != sum[1]);
}

/* Rows k0 .. k1-1 to grad, from column `at` on. */
template <int D>
__device__ static inline void
bwd_put(const cu_mat &grad, float beta, int64_t at, const bwd_work &w, int k0,
        int k1, int d, const float (&acc)[D / 8][4], float scale)
{
  int l = threadIdx.x % 32;

#pragma unroll
  for (int half = 0; half < 2; half++) {
    int r = w.own0 + threadIdx.x / 32 * 16 + l / 4 + 8 * half;
    int64_t to = r * grad.ld + at + 2 * (l % 4);

    if (r < k0 || r >= k1)
      continue;
#pragma unroll
    for (int n = 0; n < D / 8; n++)
      if (8 * n < d)
        attn_add_2(grad, to + 8 * n, beta, scale * acc[n][2 * half],
                   scale * acc[n][2 * half + 1]);
  }
}

/* A block's sums over its part of the heads: to the gradient if there is but
 * one, else to the scratch from which attn_bwd_parts takes them; which 0: of
 * the keys, 1: of the values. */
template <int D>
__device__ static inline void
bwd_put_kv(const cu_attn &a, const cu_attn_grad &g, int which, int parts,
           const bwd_work &w, const float (&acc)[D / 8][4], float scale)
{
  cu_mat to = which ? g.dv : g.dk;
  int64_t width = (int64_t)a.n_kv * a.d;
  int part = (int)blockIdx.y % parts;

  if (to.p == NULL)
    return;
  if (parts > 1)
    to = (cu_mat){attn_parts(a, g) + (2 * part + which) * a.n_keys * width,
                  width, 0};
  bwd_put<D>(to, parts > 1 ? 0.0f : g.beta[1 + which], (int64_t)w.g * a.d, w,
             w.k0, w.k1, a.d, acc, scale);
}

#endif
