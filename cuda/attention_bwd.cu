/* attention_bwd.cu: attention backward.
 *
 * With delta = dout . out of a row, tile by tile:
 *   p = exp(s - lse),  dp = dout v',  ds = p (dp - delta)
 *   dq += ds k / sqrt(d),  dk += ds' q / sqrt(d),  dv += p' dout.
 * dq is summed by blocks of queries, dk and dv by blocks of keys, which meet
 * query heads of their key head one after another: each sum has one order.
 * Source: Dao et al. 2022, arXiv:2205.14135, algorithm 4. */
#include "attention_bwd.cuh"
#include "attention_bwd_mma.cuh"

/* Half a warp for each query and head. */
__global__ void
attn_delta(cu_attn a, cu_attn_grad g, int packed)
{
  int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 16;
  int64_t t = i / a.n_heads, h = i % a.n_heads;
  int64_t at = t * a.out.ld + h * a.d, dat = t * g.dout.ld + h * a.d;
  int l = threadIdx.x % 16, live = t < a.n_tokens;
  float sum = 0.0f;

  if (packed)
    for (int j = 8 * l; live && j < a.d; j += 128) {
      uint4 x = *(const uint4 *)((const bf16 *)a.out.p + at + j);
      uint4 y = *(const uint4 *)((const bf16 *)g.dout.p + dat + j);
      bf16 p[8], q[8];

      memcpy(p, &x, sizeof p);
      memcpy(q, &y, sizeof q);
#pragma unroll
      for (int k = 0; k < 8; k++)
        sum = fmaf(cu_get(p[k]), cu_get(q[k]), sum);
    }
  else
    for (int j = l; live && j < a.d; j += 16)
      sum = fmaf(attn_get(a.out.p, a.out.bf16, at + j),
                 attn_get(g.dout.p, g.dout.bf16, dat + j), sum);
  for (int k = 8; k > 0; k /= 2)
    sum += __shfl_xor_sync(~0u, sum, k);
  if (live && l == 0)
    attn_stat(a, g, h)[t] = make_float2(
        ATTN_LOG2E * ((const float *)a.lse.p)[t * a.lse.ld + h], sum);
}

/* --- kernels ------------------------------------------------------------- */

/* The block's queries, what they see and their numbers of scratch. */
template <int D>
__device__ static inline void
bwd_own_queries(const cu_attn &a, const cu_attn_grad &g, bwd_work &w,
                const bwd_tile<D, BWD_Q> &tile)
{
  typedef bwd_shape<D, BWD_Q> shape;
  attn_tile t =
      attn_tile_of(a, gridDim.x - 1 - blockIdx.x, (int)blockIdx.y, shape::OWN);

  for (int r = threadIdx.x; r < shape::OWN; r += shape::THREADS) {
    attn_range(a, t, r, tile.lo[r], tile.hi[r]);
    tile.stat[r] = r < t.n ? attn_stat(a, g, t.head0)[t.row0 + r]
                           : make_float2(0.0f, 0.0f);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    w.own0 = w.k0 = (int)t.row0;
    w.n_own = t.n;
    w.k1 = w.own0 + t.n;
    w.head = t.head0;
    w.g = t.g;
    w.full0 = tile.lo[t.n - 1];
    w.full1 = tile.hi[0];
  }
  __syncthreads();
}

/* The block's keys; a row of blocks is a part of the heads of a key head. */
template <int D, int WHAT>
__device__ static inline void
bwd_own_keys(const cu_attn &a, bwd_work &w, int parts)
{
  enum { OWN = bwd_shape<D, WHAT>::OWN };

  if (threadIdx.x == 0) {
    w.own0 = w.k0 = (int)blockIdx.x * OWN;
    w.k1 = min(w.own0 + (int)OWN, (int)a.n_keys);
    w.n_own = w.k1 - w.own0;
    w.g = (int)blockIdx.y / parts;
    w.head = (int)blockIdx.y * (attn_each(a) / parts);
  }
  __syncthreads();
}

/* The keys k0 .. k1-1 and the queries that see them: all, or only those of the
 * document of k0. */
__device__ static inline void
bwd_range(const cu_attn &a, bwd_work &w, int k1, int whole)
{
  int end = (int)a.n_tokens, full = end;

  if (a.start != NULL) {
    end = bwd_first(a, k1);
    full = whole ? bwd_first(a, w.own0 + 1) : 0;
  }
  if (threadIdx.x == 0) {
    w.k1 = k1;
    w.first = a.start == NULL ? 0 : w.k0;
    w.end = end;
    w.full0 = a.start == NULL ? 0 : k1 - 1;
    w.full1 = full;
  }
  __syncthreads();
}

/* Gradient of the queries. Rows of several documents that find a NaN run again,
 * each document with its own keys (as forward). */
template <int D>
__global__ void
__launch_bounds__(bwd_shape<D, BWD_Q>::THREADS, 1)
    attn_bwd_q_mma(cu_attn a, cu_attn_grad g, float scale)
{
  typedef bwd_shape<D, BWD_Q> shape;
  CU_DYN_SHARED(bf16, at);
  CU_SHARED(float2, stat, [shape::OWN]);
  CU_SHARED(int, ranges, [2 * shape::OWN]);
  CU_SHARED(bwd_work, w, );
  bwd_tile<D, BWD_Q> tile(at, stat, ranges);
  bwd_state<D, BWD_Q> st;
  int whole = 1, r0 = 0, r1;

  bwd_own_queries<D>(a, g, w, tile);
  r1 = w.n_own;
  while (r0 < w.n_own) {
    if (threadIdx.x == 0) {
      w.first = tile.lo[r0];
      w.end = tile.hi[r1 - 1];
    }
    __syncthreads();
    bwd_pass<D, BWD_Q>(a, g, w, tile, st, 1, scale);
    if (whole && tile.lo[0] != tile.lo[w.n_own - 1] &&
        __syncthreads_or(bwd_bad(st.ds, w.n_own))) {
      whole = 0;
      r1 = attn_doc_end(tile.lo, 0, w.n_own);
      continue;
    }
    bwd_put<D>(g.dq, g.beta[0], (int64_t)w.head * a.d, w, w.own0 + r0,
               w.own0 + r1, a.d, st.ds, scale * ATTN_LN2);
    r0 = r1;
    r1 = r0 < w.n_own ? attn_doc_end(tile.lo, r0, w.n_own) : r0;
  }
}

/* Gradients of keys and values, of a part of the query heads of their head.
 * Keys of several documents that find a NaN run again, each document with its
 * own queries. */
template <int D, int WHAT>
__global__ void
__launch_bounds__(bwd_shape<D, WHAT>::THREADS, 1)
    attn_bwd_kv_mma(cu_attn a, cu_attn_grad g, int parts, float scale)
{
  typedef bwd_shape<D, WHAT> shape;
  CU_DYN_SHARED(bf16, at);
  CU_SHARED(float2, stat, [2 * shape::OTHER]);
  CU_SHARED(bwd_work, w, );
  bwd_tile<D, WHAT> tile(at, stat, NULL);
  bwd_state<D, WHAT> st;
  int whole = 1;

  bwd_own_keys<D, WHAT>(a, w, parts);
  for (int k1 = w.k1; w.k0 < w.own0 + w.n_own;) {
    int end = w.own0 + w.n_own, bad = 0;

    bwd_range(a, w, k1, whole);
    bwd_pass<D, WHAT>(a, g, w, tile, st, attn_each(a) / parts, scale);
    if (shape::DS)
      bad = bwd_bad(st.ds, w.n_own);
    if (shape::P)
      bad |= bwd_bad(st.p, w.n_own);
    if (whole && a.start != NULL && a.start[end - 1] > w.own0 &&
        __syncthreads_or(bad)) {
      whole = 0;
      k1 = attn_doc_end(a.start, w.k0, end);
      continue;
    }
    if constexpr (shape::DS)
      bwd_put_kv<D>(a, g, 0, parts, w, st.ds, scale * ATTN_LN2);
    if constexpr (shape::P)
      bwd_put_kv<D>(a, g, 1, parts, w, st.p, 1.0f);
    k1 = w.k1 < end ? attn_doc_end(a.start, w.k1, end) : end;
    __syncthreads(); /* all have read w */
    if (threadIdx.x == 0)
      w.k0 = w.k1;
    __syncthreads();
  }
}

/* Gradients of keys (which 0) or values: the parts in their order. */
__global__ void
attn_bwd_parts(cu_attn a, cu_attn_grad g, int which, int parts)
{
  int64_t width = (int64_t)a.n_kv * a.d, n = a.n_keys * width;
  int64_t i = 2 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x);
  cu_mat to = which ? g.dv : g.dk;
  float x = 0.0f, y = 0.0f;

  if (i >= n)
    return;
  for (int p = 0; p < parts; p++) {
    float2 f = *(const float2 *)(attn_parts(a, g) + (2 * p + which) * n + i);

    x += f.x;
    y += f.y;
  }
  attn_add_2(to, i / width * to.ld + i % width, g.beta[1 + which], x, y);
}

/* --- launches ------------------------------------------------------------ */

static inline int
bwd_fits(const cu_mat &grad)
{
  return (uintptr_t)grad.p % 8 == 0 && grad.ld % 2 == 0;
}

static inline int
attn_bwd_mma_fits(const cu_attn &a, const cu_attn_grad &g)
{
  return attn_mma_fits(a) && mma_fits(g.dout, 0) && bwd_fits(g.dq) &&
         bwd_fits(g.dk) && bwd_fits(g.dv);
}

template <int D, int WHAT>
static void
attn_bwd_kv_launch(cudaStream_t s, const cu_attn &a, const cu_attn_grad &g)
{
  typedef bwd_shape<D, WHAT> shape;
  int parts = cu_attn_parts(a.n_heads / a.n_kv);

  attn_allow((const void *)attn_bwd_kv_mma<D, WHAT>, shape::SHARED);
  CU_LAUNCH((attn_bwd_kv_mma<D, WHAT>),
            dim3(cu_blocks(a.n_keys, shape::OWN), (unsigned)(a.n_kv * parts)),
            shape::THREADS, shape::SHARED, s, a, g, parts,
            ATTN_LOG2E / sqrtf((float)a.d));
}

template <int D>
static void
attn_bwd_q_launch(cudaStream_t s, const cu_attn &a, const cu_attn_grad &g)
{
  typedef bwd_shape<D, BWD_Q> shape;

  attn_allow((const void *)attn_bwd_q_mma<D>, shape::SHARED);
  CU_LAUNCH((attn_bwd_q_mma<D>),
            dim3(cu_blocks(a.n_tokens, shape::OWN), (unsigned)a.n_heads),
            shape::THREADS, shape::SHARED, s, a, g,
            ATTN_LOG2E / sqrtf((float)a.d));
}

template <int D>
static void
attn_bwd_mma_launch(cudaStream_t s, const cu_attn &a, const cu_attn_grad &g)
{
  int parts = cu_attn_parts(a.n_heads / a.n_kv);

  if (g.dq.p != NULL && a.n_tokens > 0)
    attn_bwd_q_launch<D>(s, a, g);
  if ((g.dk.p == NULL && g.dv.p == NULL) || a.n_keys == 0)
    return;
  if constexpr (D <= 128) {
    attn_bwd_kv_launch<D, BWD_KV>(s, a, g);
  } else { /* the sums of both have no room in the registers */
    attn_bwd_kv_launch<D, BWD_K>(s, a, g);
    attn_bwd_kv_launch<D, BWD_V>(s, a, g);
  }
  for (int i = 0; i < 2 && parts > 1; i++)
    if ((i ? g.dv : g.dk).p != NULL)
      CU_LAUNCH(attn_bwd_parts, cu_blocks(a.n_keys * a.n_kv * a.d, 512), 256, 0,
                s, a, g, i, parts);
}

CU_API void
cu_attention_bwd(cudaStream_t s, cu_attn a, cu_attn_grad g)
{
  int mma = attn_bwd_mma_fits(a, g);

  if (a.n_tokens > 0)
    CU_LAUNCH(attn_delta, cu_blocks(a.n_tokens * a.n_heads, 16), 256, 0, s, a,
              g, mma);
  if (mma)
    ATTN_MMA_WIDTH(a.d, attn_bwd_mma_launch<D>(s, a, g));
  else
    ATTN_BY_WIDTH(a.d, attn_bwd_any_launch<B>(s, a, g));
}
