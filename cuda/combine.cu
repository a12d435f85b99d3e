/* combine.cu: the weighted sum of the rows that experts gave. */
#include "combine.h"
#include "choices.cuh"
#include "piece.cuh"

/* Where choice i of row r has its weight. */
__device__ static inline int64_t
weight_at(const cu_choices &c, int64_t ld, int64_t r, int64_t i)
{
  return c.list ? i * ld : r * ld + i - r * c.top_k;
}

template <class T, int V>
__global__ void
combine_fwd(T *y, int64_t ldy, const T *x, int64_t ldx,
            const float *__restrict__ w, int64_t ldw,
            const int32_t *__restrict__ pos, cu_choices c, int64_t n)
{
  int64_t n_piece = pieces<V>(n);
  int64_t at = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;
  int64_t r = at / n_piece, p = at % n_piece;
  float sum[PIECE_N][V] = {};

  if (r >= c.n_row)
    return;
  for (int64_t i = choices_first(c, r), end = choices_first(c, r + 1); i < end;
       i++) {
    cu_pack<T, V> v[PIECE_N];

    piece_load(v, x + pos[i] * ldx, p, n);
    piece_add(sum, w[weight_at(c, ldw, r, i)], v, p, n);
  }
  piece_put(y + r * ldy, sum, 0, p, n);
}

CU_API void
cu_combine_fwd(cudaStream_t s, cu_mat y, cu_mat x, cu_mat w, const int32_t *pos,
               cu_choices c, int64_t n)
{
  if (c.n_row * n > 0)
    PIECE_TYPED(y, piece_wide(y, n) && piece_wide(x, n),
                CU_LAUNCH((combine_fwd<T, V>),
                          cu_blocks(c.n_row * pieces<V>(n), 8), 256, 0, s,
                          (T *)y.p, y.ld, (const T *)x.p, x.ld,
                          (const float *)w.p, w.ld, pos, c, n));
}

/* One pack of a choice: its part of dy . x, and dx = beta dx + w dy. */
template <class T, int V>
__device__ static inline float
pack_bwd(T *dx, float beta, const cu_pack<T, V> &dy, const cu_pack<T, V> &x,
         bool with_x, float w)
{
  float g[V], f[V], dot = 0;
  cu_pack<T, V> v;

  cu_unpack(g, dy);
  if (with_x)
    cu_unpack(f, x);
#pragma unroll
  for (int j = 0; j < V; j++) {
    dot += with_x ? g[j] * f[j] : 0;
    g[j] *= w;
  }
  if (!dx)
    return dot;
  if (beta != 0) {
    cu_load(v, (const T *)dx);
    cu_unpack(f, v);
#pragma unroll
    for (int j = 0; j < V; j++)
      g[j] += beta * f[j];
  }
  cu_repack(v, g);
  cu_store(dx, v);
  return dot;
}

/* What a warp does for one choice: piece by piece. */
template <class T, int V>
__device__ static float
choice_bwd(T *dx, float beta, const T *dy, const T *x, float w, int64_t n)
{
  cu_pack<T, V> g[PIECE_N], v[PIECE_N];
  float dot = 0;

  for (int64_t p = 0; p < pieces<V>(n); p++) {
    piece_load(g, dy, p, n);
    if (x)
      piece_load(v, x, p, n);
#pragma unroll
    for (int i = 0; i < PIECE_N; i++)
      if (piece_at<V>(p, i) < n)
        dot += pack_bwd<T, V>(dx ? dx + piece_at<V>(p, i) : NULL, beta, g[i],
                              v[i], x != NULL, w);
  }
  return dot;
}

/* A warp takes a choice. */
template <class T, int V>
__global__ void
combine_bwd(T *dx, int64_t lddx, float beta_x, float *dw, int64_t lddw,
            float beta_w, const T *dy, int64_t ldy, const T *x, int64_t ldx,
            const float *w, int64_t ldw, const int32_t *pos, cu_choices c,
            int64_t n)
{
  int64_t i = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;
  int64_t r, row;
  float dot;

  if (i >= c.n_choice)
    return;
  r = choices_row(c, i);
  row = pos[i];
  dot = choice_bwd<T, V>(dx ? dx + row * lddx : NULL, beta_x, dy + r * ldy,
                         dw ? x + row * ldx : NULL, w[weight_at(c, ldw, r, i)],
                         n);
  for (int d = 16; d > 0; d >>= 1)
    dot += __shfl_xor_sync(~0u, dot, d);
  if (dw && threadIdx.x % 32 == 0) {
    dw += weight_at(c, lddw, r, i);
    *dw = beta_w == 0 ? dot : beta_w * *dw + dot;
  }
}

CU_API void
cu_combine_bwd(cudaStream_t s, cu_mat dx, float beta_x, cu_mat dw, float beta_w,
               cu_mat dy, cu_mat x, cu_mat w, const int32_t *pos, cu_choices c,
               int64_t n)
{
  int wide = piece_wide(dy, n) && piece_wide(x, n) && piece_wide(dx, n);

  if (c.n_choice > 0)
    PIECE_TYPED(dy, wide,
                CU_LAUNCH((combine_bwd<T, V>), cu_blocks(c.n_choice, 8), 256, 0,
                          s, (T *)dx.p, dx.ld, beta_x, (float *)dw.p, dw.ld,
                          beta_w, (const T *)dy.p, dy.ld, (const T *)x.p, x.ld,
                          (const float *)w.p, w.ld, pos, c, n));
}
