/* ssd.cuh: what the kernels of the scan share.
 *
 * A piece is the part of one document in one chunk. In it, for one head,
 *   l[t] = sum of dt a from the piece's first token to t,
 * here in powers of two and as hi + lo, since differences of neighbours decide
 * the result. enter[t] = 2^l[t] is what is left at t of the state that enters
 * the piece, leave[t] = 2^(l[last]-l[t]) what is left of t at its end. */
#ifndef HYMN_CUDA_SSD_CUH
#define HYMN_CUDA_SSD_CUH

#include "rows.cuh"
#include "ssd.h"

enum { SSD_Q = CU_SSD_CHUNK };

/* --- rows of a chunk ----------------------------------------------------- */

enum { SSD_NONE = -1, SSD_SAVED = -2 };

/* Rows here count from the chunk's first token. */
typedef struct {
  int first[SSD_Q];  /* first row of the row's piece */
  int source[SSD_Q]; /* of a piece's first row: where the state that enters it
                        is: SSD_SAVED, SSD_NONE (zero), or a row of s0 */
  int skip[SSD_Q];   /* a short segment: ssd_step has done it */
  unsigned start[SSD_Q / 32]; /* bits of the pieces' first rows */
} ssd_info;

__device__ static inline int
ssd_rows_of(const cu_ssd &k, int64_t c)
{
  return (int)min((int64_t)SSD_Q, k.rows.n_tokens - c * SSD_Q);
}

/* Segments of at most this many tokens go token by token. */
enum { SSD_STEP = 16 };

__device__ static inline int64_t
ssd_segment_size(const cu_ssd &k, int64_t i)
{
  return k.rows.seg_start[i + 1] - k.rows.seg_start[i];
}

/* Called by all threads of a block of at least SSD_Q; a barrier has to
 * follow. */
__device__ static inline void
ssd_info_get(const cu_ssd &k, int64_t c, ssd_info &f)
{
  int i = threadIdx.x, n = ssd_rows_of(k, c);
  int64_t t = c * SSD_Q + i, first = t;
  unsigned bits;
  int begins;

  if (i >= SSD_Q)
    return;
  if (i < n)
    first = cu_first(k.rows, t);
  begins = i < n && (first == t || i == 0);
  bits = __ballot_sync(~0u, begins);
  if (i % 32 == 0)
    f.start[i / 32] = bits;
  f.first[i] = (int)max(first - c * SSD_Q, (int64_t)0);
  f.skip[i] = i < n && !k.rows.seq_start &&
              ssd_segment_size(k, cu_segment(k.rows, t)) <= SSD_STEP;
  f.source[i] = SSD_NONE;
  if (begins && first < t)
    f.source[i] = SSD_SAVED;
  else if (begins && k.s0 && !f.skip[i])
    f.source[i] = (int)cu_doc_at(k.rows, first).item;
}

/* The end of the piece that begins at row r; n: rows of the chunk. */
__device__ static inline int
ssd_piece_end(const ssd_info &f, int r, int n)
{
  for (int w = (r + 1) / 32; w < SSD_Q / 32; w++) {
    unsigned bits = f.start[w];

    if (w == (r + 1) / 32)
      bits &= ~0u << ((r + 1) % 32);
    if (bits)
      return 32 * w + __ffs((int)bits) - 1;
  }
  return n;
}

/* Chunk c goes on with the last document of the chunk before. */
__device__ static inline bool
ssd_linked(const cu_ssd &k, int64_t c)
{
  int64_t t = c * SSD_Q;

  return t > 0 && t < k.rows.n_tokens && cu_first(k.rows, t) < t;
}

/* --- sizes --------------------------------------------------------------- */

__device__ __host__ static inline int64_t
ssd_chunks(const cu_ssd &k)
{
  return (k.rows.n_tokens + SSD_Q - 1) / SSD_Q;
}

/* Numbers of a head's state, of a state. */
__device__ __host__ static inline int64_t
ssd_head_size(const cu_ssd &k)
{
  return k.d_head * k.d_state;
}

__device__ __host__ static inline int64_t
ssd_state_size(const cu_ssd &k)
{
  return k.n_heads * ssd_head_size(k);
}

__device__ static inline int64_t
ssd_group(const cu_ssd &k, int64_t h)
{
  return h / (k.n_heads / k.n_groups);
}

/* The state that enters the piece which begins at row r, of head h; NULL:
 * zero. */
__device__ static inline const float *
ssd_source(const cu_ssd &k, const ssd_info &f, int r, int64_t c, int64_t h)
{
  int from = f.source[r];

  if (from == SSD_NONE)
    return NULL;
  return (from == SSD_SAVED ? k.save + c * ssd_state_size(k)
                            : k.s0 + from * k.ld_s0) +
         h * ssd_head_size(k);
}

/* --- logarithms of decays ------------------------------------------------ */

typedef struct {
  float hi[SSD_Q], lo[SSD_Q], dt[SSD_Q];
} ssd_logs;

/* Where head h has them: dt, hi and lo of all chunks' rows. */
__device__ static inline float *
ssd_logs_at(const cu_ssd &k, int64_t h, int64_t t)
{
  return k.logs + h * 3 * ssd_chunks(k) * SSD_Q + t;
}

/* Into shared memory; a barrier has to follow. */
__device__ static inline void
ssd_logs_get(const cu_ssd &k, int64_t h, int64_t c, ssd_logs &l)
{
  const float *from = ssd_logs_at(k, h, c * SSD_Q);
  int64_t step = ssd_chunks(k) * SSD_Q;
  int i = threadIdx.x;

  if (i >= SSD_Q)
    return;
  l.dt[i] = from[i];
  l.hi[i] = from[step + i];
  l.lo[i] = from[2 * step + i];
}

/* 2^(l[t] - l[u]) */
__device__ static inline float
ssd_decay(const ssd_logs &l, int t, int u)
{
  return exp2f((l.hi[t] - l.hi[u]) + (l.lo[t] - l.lo[u]));
}

__device__ static inline float
ssd_enter(const ssd_logs &l, int t)
{
  return exp2f(l.hi[t] + l.lo[t]);
}

/* a = -exp(a_log) */
__device__ static inline double
ssd_rate(const cu_ssd &k, int64_t h)
{
  return -exp((double)k.a_log[h]);
}

/* --- products in fp32 ---------------------------------------------------- */

/* A block of SSD_THREADS makes SSD_Q x SSD_COLS numbers, thread i those of rows
 * ssd_row() .. + 3, columns ssd_col() .. + 3. */
enum { SSD_THREADS = 256, SSD_COLS = 32, SSD_DEEP = 16 };

typedef struct {
  float a[SSD_DEEP][SSD_Q + 4], b[SSD_DEEP][SSD_COLS + 4];
} ssd_tiles;

__device__ static inline int
ssd_row(void)
{
  return threadIdx.x / 8 * 4;
}

__device__ static inline int
ssd_col(void)
{
  return threadIdx.x % 8 * 4;
}

/* acc[r,c] += sum over i < n of a(r, i) b(c, i). Where a is 0, b is not looked
 * at: it may be of another document and NaN. */
template <class A, class B>
__device__ static inline void
ssd_product(float (&acc)[4][4], int64_t n, ssd_tiles &s, A a, B b)
{
  for (int64_t i0 = 0; i0 < n; i0 += SSD_DEEP) {
    __syncthreads();
    for (int e = threadIdx.x; e < SSD_Q * SSD_DEEP; e += SSD_THREADS) {
      int64_t i = i0 + e % SSD_DEEP;

      s.a[e % SSD_DEEP][e / SSD_DEEP] = i < n ? a(e / SSD_DEEP, i) : 0.0f;
    }
    for (int e = threadIdx.x; e < SSD_COLS * SSD_DEEP; e += SSD_THREADS) {
      int64_t i = i0 + e % SSD_DEEP;

      s.b[e % SSD_DEEP][e / SSD_DEEP] = i < n ? b(e / SSD_DEEP, i) : 0.0f;
    }
    __syncthreads();
    for (int i = 0; i < SSD_DEEP; i++)
#pragma unroll
      for (int r = 0; r < 4; r++) {
        float v = s.a[i][ssd_row() + r];

        if (v != 0.0f)
#pragma unroll
          for (int c = 0; c < 4; c++)
            acc[r][c] += v * s.b[i][ssd_col() + c];
      }
  }
}

/* f(r, c, acc) for the thread's numbers; r and c are of the tile. */
template <class F>
__device__ static inline void
ssd_each(float (&acc)[4][4], F f)
{
#pragma unroll
  for (int r = 0; r < 4; r++)
#pragma unroll
    for (int c = 0; c < 4; c++)
      f(ssd_row() + r, ssd_col() + c, acc[r][c]);
}

/* out[t] += sum_p with[t,p] (state rows[t])[p] for t = r0 .. r1-1. */
template <class T, class S>
__device__ static inline void
ssd_dots(const cu_ssd &k, int r0, int r1, const T *rows, int64_t ld,
         const S *state, const T *with, int64_t ldw, ssd_tiles &s, float *out)
{
  for (int64_t p0 = 0; p0 < k.d_head; p0 += SSD_COLS) {
    float acc[4][4] = {};

    ssd_product(
        acc, k.d_state, s,
        [&](int t, int64_t i) {
          return t >= r0 && t < r1 ? cu_get(rows[t * ld + i]) : 0.0f;
        },
        [&](int p, int64_t i) {
          return p0 + p < k.d_head ? cu_get(state[(p0 + p) * k.d_state + i])
                                   : 0.0f;
        });
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int t = ssd_row() + r;
      float sum = 0.0f;

#pragma unroll
      for (int c = 0; c < 4; c++)
        if (t >= r0 && t < r1 && p0 + ssd_col() + c < k.d_head)
          sum += acc[r][c] * cu_get(with[t * ldw + p0 + ssd_col() + c]);
      for (int o = 4; o > 0; o /= 2)
        sum += __shfl_xor_sync(~0u, sum, o);
      if (threadIdx.x % 8 == 0 && t >= r0 && t < r1)
        out[t] += sum;
    }
  }
}

/* --- sums of backward ---------------------------------------------------- */

/* Of one head and chunk, by row; see ssd_bwd.cu. */
typedef struct {
  float col[SSD_Q];   /* sum_t w[t,u] */
  float e[SSD_Q];     /* sum over tau >= t > u of w[tau,u] dt[u] */
  float left[SSD_Q];  /* leave x . gs b */
  float enter[SSD_Q]; /* enter dy . s c */
  float diag[SSD_Q];  /* dy . x */
  float carried;      /* 2^l[last] <gs,s> */
} ssd_sums;

/* One warp: v[t] becomes the sum from t's piece's begin to t, or with back from
 * t to the piece's end. */
__device__ static inline void
ssd_scan_pieces(const ssd_info &f, float *v, bool back)
{
  int lane = threadIdx.x % 32;
  unsigned any = 0;
  float own[4], sum = 0.0f, before;

#pragma unroll
  for (int i = 0; i < 4; i++) {
    int t = back ? SSD_Q - 1 - (4 * lane + i) : 4 * lane + i, u = t + back;
    unsigned fresh = u < SSD_Q ? f.start[u / 32] >> (u % 32) & 1 : 1;

    own[i] = sum = (fresh ? 0.0f : sum) + v[t];
    any |= fresh << i;
  }
  {
    unsigned seen = any;

#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      float from = __shfl_up_sync(~0u, sum, d);
      unsigned more = __shfl_up_sync(~0u, seen, d);

      if (lane >= d) {
        if (!seen)
          sum += from;
        seen |= more;
      }
    }
  }
  before = __shfl_up_sync(~0u, sum, 1);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    int t = back ? SSD_Q - 1 - (4 * lane + i) : 4 * lane + i;

    v[t] = lane > 0 && !(any & ((2u << i) - 1)) ? own[i] + before : own[i];
  }
}

/* --- host ---------------------------------------------------------------- */

/* Logarithms into k.logs. */
void ssd_make_logs(cudaStream_t s, const cu_ssd &k);

/* States passed along the rows, fp32 (ssd_walk.cu): what enters each chunk into
 * k.save; with segments what leaves each longer one into s0; or what each span
 * leaves, with its decay, into out. */
void ssd_walk_chunks(cudaStream_t s, const cu_ssd &k);
void ssd_walk_segments(cudaStream_t s, const cu_ssd &k);
void ssd_walk_spans(cudaStream_t s, const cu_ssd &k, float *out, int64_t ld);

/* The same and more on tensor cores, for shapes that ssd_fast allows. */
void ssd_scan_mma(cudaStream_t s, const cu_ssd &k, cu_mat y);
void ssd_walk_chunks_mma(cudaStream_t s, const cu_ssd &k);
void ssd_walk_back_mma(cudaStream_t s, const cu_ssd &k, cu_mat dy, void *gs);

/* Gradients of states passed against the rows: of what leaves each chunk into
 * gs, (chunks, state) numbers as x, where the next chunk goes on with it; of
 * s0 into g.s0. */
void ssd_walk_back(cudaStream_t s, const cu_ssd &k, cu_mat dy, void *gs);
void ssd_walk_start(cudaStream_t s, const cu_ssd &k, const cu_ssd_grad &g);

#endif
