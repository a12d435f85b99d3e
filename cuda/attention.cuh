/* attention.cuh: what the kernels of attention share.
 *
 * A tile is a few queries of one head (with segments: of all heads of a key
 * head, those of a token one after another) and the keys that any of them
 * sees. A row knows its own keys as a range lo .. hi-1, whatever the reason:
 * documents, causality, a cache, or none. Scores are kept times log2(e), so
 * that exp2 does for exp. */
#ifndef HYMN_CUDA_ATTENTION_CUH
#define HYMN_CUDA_ATTENTION_CUH

#include "attention.h"
#include "launch.h"

#define ATTN_LOG2E 1.4426950408889634f
#define ATTN_LN2 0.6931471805599453f

typedef struct {
  int64_t token0; /* of the first row of its document, segment or batch */
  int64_t row0;   /* of the tile's first row, counted from there */
  int n;          /* rows; 0: nothing to do */
  int stack;      /* rows of a token, its heads head0, head0 + 1, ... */
  int head0, g;   /* g: the key head */
  int slot;       /* of the cache */
  int64_t past;   /* keys before token0 in the cache; -1: no segments */
} attn_tile;

__device__ static inline int
attn_each(const cu_attn &a)
{
  return a.n_heads / a.n_kv;
}

/* Tile i of `rows` queries of head h (with segments: of key head h). The grid
 * has room for the last tile of each segment to be short. */
__device__ static inline attn_tile
attn_tile_of(const cu_attn &a, int64_t i, int h, int rows)
{
  attn_tile t = {0, i * rows, 0, 1, h, h / attn_each(a), 0, -1};
  int64_t n = a.n_tokens - t.row0;

  if (a.seg.n > 0) {
    int s = 0;

    t.stack = attn_each(a);
    t.head0 = h * t.stack;
    t.g = h;
    for (n = 0; s < a.seg.n; s++) {
      int64_t len = (a.seg.start[s + 1] - a.seg.start[s]) * t.stack;
      int64_t tiles = (len + rows - 1) / rows;

      n = len - i * rows;
      if (i < tiles)
        break;
      i -= tiles;
      n = 0;
    }
    t.row0 = i * rows;
    if (n > 0) {
      t.token0 = a.seg.start[s];
      t.past = a.seg.past[s];
      t.slot = a.seg.slot[s];
    }
  }
  t.n = n < 0 ? 0 : n < rows ? (int)n : rows;
  return t;
}

static inline unsigned
attn_tiles(const cu_attn &a, int rows)
{
  if (a.seg.n > 0)
    return cu_blocks(a.n_tokens * (a.n_heads / a.n_kv), rows) +
           (unsigned)a.seg.n;
  return cu_blocks(a.n_tokens, rows);
}

__device__ static inline int64_t
attn_token(const attn_tile &t, int r)
{
  return t.token0 + (t.row0 + r) / t.stack;
}

__device__ static inline int
attn_head(const attn_tile &t, int r)
{
  return t.head0 + (int)((t.row0 + r) % t.stack);
}

/* The keys that row r of the tile sees; none beyond its rows. */
__device__ static inline void
attn_range(const cu_attn &a, const attn_tile &t, int r, int &lo, int &hi)
{
  int64_t token = attn_token(t, r);

  lo = hi = 0;
  if (r >= t.n)
    return;
  if (t.past >= 0) {
    hi = (int)(t.past + token - t.token0 + 1);
  } else if (a.start == NULL) {
    hi = (int)a.n_keys;
  } else {
    lo = a.start[token];
    hi = (int)token + 1;
  }
}

/* Element 0 of head `head` in row 0 of m; with a cache: of the slot. */
__device__ static inline const char *
attn_base(cu_mat m, int64_t slot_step, int slot, int64_t first)
{
  return (const char *)m.p + (slot * slot_step + first) * (m.bf16 ? 2 : 4);
}

__device__ static inline float
attn_get(const void *p, int is_bf16, int64_t i)
{
  return is_bf16 ? cu_get(((const bf16 *)p)[i]) : ((const float *)p)[i];
}

__device__ static inline void
attn_put(const cu_mat &m, int64_t i, float x)
{
  if (m.bf16)
    cu_put((bf16 *)m.p + i, x);
  else
    ((float *)m.p)[i] = x;
}

/* grad = beta grad + x */
__device__ static inline void
attn_add(const cu_mat &m, int64_t i, float beta, float x)
{
  attn_put(m, i, beta != 0.0f ? attn_get(m.p, m.bf16, i) * beta + x : x);
}

/* The same of two neighbours; the address has room for both at once. */
__device__ static inline void
attn_add_2(const cu_mat &m, int64_t i, float beta, float x, float y)
{
  if (m.bf16) {
    __nv_bfloat162 *p = (__nv_bfloat162 *)((bf16 *)m.p + i);

    if (beta != 0.0f) {
      __nv_bfloat162 had = *p;

      x += beta * cu_get(had.x);
      y += beta * cu_get(had.y);
    }
    *p = __floats2bfloat162_rn(x, y);
  } else {
    float2 *p = (float2 *)((float *)m.p + i);

    if (beta != 0.0f) {
      x += beta * p->x;
      y += beta * p->y;
    }
    *p = make_float2(x, y);
  }
}

/* Scratch of backward: lse log2(e) and delta (dout . out) of each query, head
 * after head; then the sums of the parts of the heads. */
__device__ static inline float2 *
attn_stat(const cu_attn &a, const cu_attn_grad &g, int64_t head)
{
  return (float2 *)g.scratch + head * a.n_tokens;
}

__device__ static inline float *
attn_parts(const cu_attn &a, const cu_attn_grad &g)
{
  return g.scratch + 2 * a.n_tokens * a.n_heads;
}

/* Where, before n, the document of row r ends; start: of each row. */
__device__ static inline int
attn_doc_end(const int32_t *start, int r, int n)
{
  int end = r + 1;

  while (end < n && start[end] == start[r])
    end++;
  return end;
}

/* --- tiles of floats in shared memory, for any format and width ----------
 * A block has B B / 4 threads and tiles of B queries and B keys, rows of d | 1
 * floats. A thread has the scores (y, x), (y, x + B/2), (y + B/2, x), (y +
 * B/2, x + B/2) and, of sums over keys or queries, B / 4 threads a row. */

/* Rows first .. first+B-1 of width d, those outside lo .. hi-1 zero. */
template <int B>
__device__ static inline void
attn_load(float *to, const char *base, int is_bf16, int64_t ld, int d,
          int64_t first, int64_t lo, int64_t hi, float scale)
{
  for (int i = threadIdx.x; i < B * d; i += B * B / 4) {
    int r = i / d, j = i % d;
    int64_t u = first + r;

    to[r * (d | 1) + j] =
        u >= lo && u < hi ? scale * attn_get(base, is_bf16, u * ld + j) : 0.0f;
  }
}

/* The rows of a tile of queries, from q or from what has its shape. */
template <int B>
__device__ static inline void
attn_load_rows(float *to, const cu_mat &m, const attn_tile &t, int d,
               float scale)
{
  for (int i = threadIdx.x; i < B * d; i += B * B / 4) {
    int r = i / d, j = i % d;
    int64_t at = attn_token(t, r) * m.ld + (int64_t)attn_head(t, r) * d + j;

    to[r * (d | 1) + j] = r < t.n ? scale * attn_get(m.p, m.bf16, at) : 0.0f;
  }
}

/* s[i] = dot products of this thread's four pairs. */
template <int B>
__device__ static inline void
attn_dots(float (&s)[4], const float *x, const float *y, int d)
{
  int r = threadIdx.x / (B / 2) * (d | 1), c = threadIdx.x % (B / 2) * (d | 1);
  int half = B / 2 * (d | 1);

  s[0] = s[1] = s[2] = s[3] = 0.0f;
  for (int j = 0; j < d; j++) {
    float x0 = x[r + j], x1 = x[r + half + j];
    float y0 = y[c + j], y1 = y[c + half + j];

    s[0] = fmaf(x0, y0, s[0]);
    s[1] = fmaf(x0, y1, s[1]);
    s[2] = fmaf(x1, y0, s[2]);
    s[3] = fmaf(x1, y1, s[3]);
  }
}

/* Row and column of score i of this thread. */
template <int B>
__device__ static inline int
attn_y(int i)
{
  return threadIdx.x / (B / 2) + (i / 2) * (B / 2);
}

template <int B>
__device__ static inline int
attn_x(int i)
{
  return threadIdx.x % (B / 2) + (i % 2) * (B / 2);
}

/* acc[r][j] = f acc[r][j] + sum over c of w[r][c] v[c][j] for row r = thread /
 * (B / 4); TRANS: of w[c][r]. A weight of 0 hides what it stands for: a NaN of
 * another document. */
template <int B, bool TRANS>
__device__ static inline void
attn_sum(float *acc, const float *w, const float *v, int d, float f)
{
  int r = threadIdx.x / (B / 4);

  for (int j = threadIdx.x % (B / 4); j < d; j += B / 4) {
    float sum = f != 0.0f ? f * acc[r * (d | 1) + j] : 0.0f;

    for (int c = 0; c < B; c++) {
      float p = TRANS ? w[c * (B + 1) + r] : w[r * (B + 1) + c];

      sum = fmaf(p, p != 0.0f ? v[c * (d | 1) + j] : 0.0f, sum);
    }
    acc[r * (d | 1) + j] = sum;
  }
}

/* Tiles of B rows fit into shared memory for the widths that plan and host
 * allow (CU_ATTN_MAX_D). */
#define ATTN_BY_WIDTH(d, ...)                                                  \
  do {                                                                         \
    if ((d) <= 128) {                                                          \
      enum { B = 32 };                                                         \
      __VA_ARGS__;                                                             \
    } else {                                                                   \
      enum { B = 16 };                                                         \
      __VA_ARGS__;                                                             \
    }                                                                          \
  } while (0)

static inline void
attn_allow(const void *kernel, size_t shared)
{
  if (shared > 48 << 10)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)shared);
}

#endif
