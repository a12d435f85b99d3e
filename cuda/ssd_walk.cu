/* ssd_walk.cu: states passed from chunk to chunk, in fp32 and without a trip to
 * the host. A block has a part of one head's state and walks along the rows:
 *   s' = 2^l[last] s + sum_t leave[t] dt[t] x[t] b[t]'
 * over the last piece of each chunk; a document that starts there starts from
 * zero or its start state. Backward, from right to left over the first pieces,
 *   g' = 2^l[last] g + sum_t enter[t] dy[t] c[t]'. */
#include "ssd_mma.cuh"

enum { WALK_CHUNKS, WALK_SEGMENTS, WALK_SPANS };

/* What one walk goes over: chunks c0, c0 + 1, ... before row `end`. */
typedef struct {
  int64_t c0, end;
} walk_range;

__device__ static inline walk_range
walk_range_of(const cu_ssd &k, int kind, int64_t i)
{
  if (kind == WALK_CHUNKS)
    return {0, k.rows.n_tokens};
  if (kind == WALK_SEGMENTS) {
    int64_t n = ssd_segment_size(k, i), t0 = k.rows.seg_start[i];

    return {t0 / SSD_Q, n > SSD_STEP ? t0 + n : 0};
  }
  if (k.rows.span[i].n <= 0)
    return {0, 0};
  {
    int64_t end = k.rows.span[i].at + k.rows.span[i].n;

    return {cu_first(k.rows, end - 1) / SSD_Q, end};
  }
}

/* Chunk c of a walk: its last piece, rows lo .. hi-1 of the batch. */
typedef struct {
  int64_t lo, hi;
  bool through; /* it goes on with the chunk before */
  int64_t item; /* row of s0 from which it starts, -1: from zero */
} walk_part;

__device__ static inline walk_part
walk_part_of(const cu_ssd &k, int64_t c, int64_t end)
{
  walk_part p = {c * SSD_Q, min((c + 1) * SSD_Q, end), true, -1};
  int64_t first = cu_first(k.rows, p.hi - 1);

  if (first >= p.lo) {
    p.lo = first;
    p.through = false;
    if (k.s0)
      p.item = cu_doc_at(k.rows, first).item;
  }
  return p;
}

/* l[t] of head h. */
__device__ static inline float
walk_log(const cu_ssd &k, int64_t h, int64_t t)
{
  const float *p = ssd_logs_at(k, h, t);
  int64_t step = ssd_chunks(k) * SSD_Q;

  return p[step] + p[2 * step];
}

/* leave[t] dt[t] for t = lo + i. */
__device__ static inline float
walk_leave(const cu_ssd &k, int64_t h, int64_t lo, int64_t hi, int64_t i)
{
  const float *p = ssd_logs_at(k, h, lo + i), *q = ssd_logs_at(k, h, hi - 1);
  int64_t step = ssd_chunks(k) * SSD_Q;

  return exp2f((q[step] - p[step]) + (q[2 * step] - p[2 * step])) * *p;
}

/* Tiles of a head's state: (d_head / SSD_Q) walk_cols. */
__device__ __host__ static inline int64_t
walk_cols(const cu_ssd &k)
{
  return (k.d_state + SSD_COLS - 1) / SSD_COLS;
}

/* f(at, acc): at is the place in a head's state, of the thread's numbers that
 * exist; rows are d_head, columns d_state. */
template <class F>
__device__ static inline void
walk_each(const cu_ssd &k, float (&acc)[4][4], F f)
{
  int64_t p0 = blockIdx.x / walk_cols(k) * SSD_Q;
  int64_t n0 = blockIdx.x % walk_cols(k) * SSD_COLS;

  ssd_each(acc, [&](int r, int c, float &v) {
    if (p0 + r < k.d_head && n0 + c < k.d_state)
      f((p0 + r) * k.d_state + n0 + c, v);
  });
}

/* acc += sum over n rows from t0 on of w[i] u[t0+i] v[t0+i]'. */
template <class T>
__device__ static inline void
walk_add(const cu_ssd &k, int64_t h, cu_mat u, cu_mat v, int64_t t0, int64_t n,
         const float *w, ssd_tiles &s, float (&acc)[4][4])
{
  int64_t p0 = blockIdx.x / walk_cols(k) * SSD_Q;
  int64_t n0 = blockIdx.x % walk_cols(k) * SSD_COLS;
  const T *up = (const T *)u.p + t0 * u.ld + h * k.d_head + p0;
  const T *vp = (const T *)v.p + t0 * v.ld + ssd_group(k, h) * k.d_state + n0;

  ssd_product(
      acc, n, s,
      [&](int r, int64_t i) {
        return p0 + r < k.d_head ? w[i] * cu_get(up[i * u.ld + r]) : 0.0f;
      },
      [&](int r, int64_t i) {
        return n0 + r < k.d_state ? cu_get(vp[i * v.ld + r]) : 0.0f;
      });
}

/* Grid: tiles of a head's state, heads, ranges. */
template <class T>
__global__ void
walk_forward(cu_ssd k, int kind, float *out, int64_t ld)
{
  CU_SHARED(float, w, [SSD_Q]);
  CU_SHARED(ssd_tiles, s);
  int64_t h = blockIdx.y, at = h * ssd_head_size(k);
  walk_range g = walk_range_of(k, kind, blockIdx.z);
  double sum = 0.0;
  float acc[4][4] = {};

  for (int64_t c = g.c0; c * SSD_Q < g.end; c++) {
    walk_part p = walk_part_of(k, c, g.end);
    float l = walk_log(k, h, p.hi - 1), decay = exp2f(l);

    if (kind == WALK_CHUNKS && ssd_linked(k, c))
      walk_each(k, acc, [&](int64_t i, float &v) {
        k.save[c * ssd_state_size(k) + at + i] = v;
      });
    sum += (double)l;
    if (!p.through)
      ssd_each(acc, [](int, int, float &v) { v = 0.0f; });
    if (p.item >= 0)
      walk_each(k, acc, [&](int64_t i, float &v) {
        v = k.s0[p.item * k.ld_s0 + at + i];
      });
    if (p.through || p.item >= 0)
      ssd_each(acc, [=](int, int, float &v) { v *= decay; });
    __syncthreads();
    if (threadIdx.x < p.hi - p.lo)
      w[threadIdx.x] = walk_leave(k, h, p.lo, p.hi, threadIdx.x);
    walk_add<T>(k, h, k.x, k.b, p.lo, p.hi - p.lo, w, s, acc);
  }
  if (kind == WALK_SEGMENTS && g.end > 0) {
    float *to = k.s0 + k.rows.slot[blockIdx.z] * k.ld_s0 + at;

    walk_each(k, acc, [&](int64_t i, float &v) { to[i] = v; });
  }
  if (kind == WALK_SPANS) {
    float *to = out + blockIdx.z * ld;
    cu_span p = k.rows.span[blockIdx.z];

    walk_each(k, acc, [&](int64_t i, float &v) { to[at + i] = v; });
    if (blockIdx.x == 0 && threadIdx.x == 0)
      to[ssd_state_size(k) + h] =
          p.before > 0 && p.n > 0 && cu_first(k.rows, g.end - 1) == p.at
              ? (float)exp2(sum)
              : 0.0f;
  }
}

/* The end of t's document among the rows t .. end-1. */
__device__ static inline int64_t
walk_doc_end(const cu_ssd &k, int64_t t, int64_t end)
{
  int64_t first = k.rows.seq_start[t];

  return t + 1 + cu_search(end - t, first, [&](int64_t i) {
           return (int64_t)k.rows.seq_start[t + i];
         });
}

/* One chunk of a walk back: rows lo .. hi-1, the state's gradient goes on
 * through them if `through`. */
template <class T>
__device__ static inline void
walk_back_chunk(const cu_ssd &k, int64_t h, cu_mat dy, int64_t lo, int64_t hi,
                bool through, float *w, ssd_tiles &s, float (&acc)[4][4])
{
  float decay = exp2f(walk_log(k, h, hi - 1));

  ssd_each(acc, [=](int, int, float &v) { v = through ? v * decay : 0.0f; });
  __syncthreads();
  if (threadIdx.x < hi - lo)
    w[threadIdx.x] = exp2f(walk_log(k, h, lo + threadIdx.x));
  walk_add<T>(k, h, dy, k.c, lo, hi - lo, w, s, acc);
}

template <class T>
__global__ void
walk_back(cu_ssd k, cu_mat dy, T *gs)
{
  CU_SHARED(float, w, [SSD_Q]);
  CU_SHARED(ssd_tiles, s);
  int64_t h = blockIdx.y, at = h * ssd_head_size(k);
  float acc[4][4] = {};

  for (int64_t c = ssd_chunks(k) - 1; c > 0; c--) {
    int64_t lo = c * SSD_Q, end = lo + ssd_rows_of(k, c), hi;
    bool leaves = ssd_linked(k, c + 1);

    if (leaves)
      walk_each(k, acc, [&](int64_t i, float &v) {
        cu_put(&gs[c * ssd_state_size(k) + at + i], v);
      });
    if (!ssd_linked(k, c))
      continue;
    hi = walk_doc_end(k, lo, end);
    walk_back_chunk<T>(k, h, dy, lo, hi, leaves && hi == end, w, s, acc);
  }
  if (ssd_linked(k, 1))
    walk_each(k, acc, [&](int64_t i, float &v) { cu_put(&gs[at + i], v); });
}

/* The gradient of the state before span blockIdx.z. */
template <class T>
__global__ void
walk_start(cu_ssd k, cu_mat dy, float *ds0, float beta)
{
  CU_SHARED(float, w, [SSD_Q]);
  CU_SHARED(ssd_tiles, s);
  int64_t h = blockIdx.y, at = h * ssd_head_size(k);
  float *to = ds0 + blockIdx.z * k.ld_s0 + at;
  cu_span p = k.rows.span[blockIdx.z];
  float acc[4][4] = {};

  if (p.before > 0 && p.n > 0) {
    int64_t end = walk_doc_end(k, p.at, p.at + p.n), last = (end - 1) / SSD_Q;

    for (int64_t c = last; c >= p.at / SSD_Q; c--)
      walk_back_chunk<T>(k, h, dy, max(p.at, c * SSD_Q),
                         min(end, (c + 1) * SSD_Q), c < last, w, s, acc);
  }
  walk_each(k, acc, [&](int64_t i, float &v) {
    to[i] = beta != 0.0f ? beta * to[i] + v : v;
  });
}

/* --- logarithms ---------------------------------------------------------- */

enum { LOGS_HEADS = 32 };

/* One warp: l of 4 tokens a lane, summed from each piece's begin; fresh: bits
 * of the lane's tokens that begin one. */
__device__ static inline void
logs_scan(const float (&dt)[4], double rate, unsigned fresh, double (&l)[4])
{
  unsigned any = fresh;
  int lane = threadIdx.x % 32;
  double sum = 0.0, before;

#pragma unroll
  for (int i = 0; i < 4; i++)
    l[i] = sum = (fresh >> i & 1 ? 0.0 : sum) + (double)dt[i] * rate;
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    double from = __shfl_up_sync(~0u, sum, d);
    unsigned more = __shfl_up_sync(~0u, any, d);

    if (lane >= d) {
      if (!any)
        sum += from;
      any |= more;
    }
  }
  before = __shfl_up_sync(~0u, sum, 1);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (lane == 0 || fresh >> i & 1)
      break;
    l[i] += before;
  }
}

/* Grid: chunks, groups of LOGS_HEADS heads. */
__global__ void
logs_make(cu_ssd k)
{
  CU_SHARED(float, dt, [SSD_Q][LOGS_HEADS + 1]);
  CU_SHARED(ssd_info, f);
  int64_t c = blockIdx.x, h0 = (int64_t)blockIdx.y * LOGS_HEADS;
  int64_t step = ssd_chunks(k) * SSD_Q;
  int n = ssd_rows_of(k, c), lane = threadIdx.x % 32, warp = threadIdx.x / 32;

  ssd_info_get(k, c, f);
  for (int i = threadIdx.x; i < SSD_Q * LOGS_HEADS; i += SSD_THREADS) {
    int64_t t = i / LOGS_HEADS, h = h0 + i % LOGS_HEADS;

    dt[t][i % LOGS_HEADS] =
        t < n && h < k.n_heads ? k.dt[(c * SSD_Q + t) * k.ld_dt + h] : 0.0f;
  }
  __syncthreads();
  for (int64_t h = h0 + warp; h < min(h0 + LOGS_HEADS, k.n_heads);
       h += SSD_THREADS / 32) {
    float *to = ssd_logs_at(k, h, c * SSD_Q + 4 * lane);
    float own[4];
    double l[4];

    for (int i = 0; i < 4; i++)
      own[i] = dt[4 * lane + i][h - h0];
    logs_scan(own, ssd_rate(k, h) * 1.4426950408889634,
              f.start[lane / 8] >> (4 * (lane % 8)) & 15, l);
    for (int i = 0; i < 4; i++) {
      to[i] = own[i];
      to[step + i] = (float)l[i];
      to[2 * step + i] = (float)(l[i] - (double)(float)l[i]);
    }
  }
}

void
ssd_make_logs(cudaStream_t s, const cu_ssd &k)
{
  CU_LAUNCH(logs_make,
            dim3((unsigned)ssd_chunks(k), cu_blocks(k.n_heads, LOGS_HEADS)),
            SSD_THREADS, 0, s, k);
}

/* --- launches ------------------------------------------------------------ */

static dim3
walk_grid(const cu_ssd &k, int64_t ranges)
{
  return dim3(cu_blocks(k.d_head, SSD_Q) * (unsigned)walk_cols(k),
              (unsigned)k.n_heads, (unsigned)ranges);
}

void
ssd_walk_chunks(cudaStream_t s, const cu_ssd &k)
{
  if (ssd_fast(k)) {
    ssd_walk_chunks_mma(s, k);
    return;
  }
  CU_TYPED(k.x, CU_LAUNCH((walk_forward<T>), walk_grid(k, 1), SSD_THREADS, 0, s,
                          k, WALK_CHUNKS, (float *)NULL, (int64_t)0));
}

void
ssd_walk_segments(cudaStream_t s, const cu_ssd &k)
{
  CU_TYPED(k.x,
           CU_LAUNCH((walk_forward<T>), walk_grid(k, k.rows.n_seg), SSD_THREADS,
                     0, s, k, WALK_SEGMENTS, (float *)NULL, (int64_t)0));
}

void
ssd_walk_spans(cudaStream_t s, const cu_ssd &k, float *out, int64_t ld)
{
  CU_TYPED(k.x, CU_LAUNCH((walk_forward<T>), walk_grid(k, k.rows.n_span),
                          SSD_THREADS, 0, s, k, WALK_SPANS, out, ld));
}

void
ssd_walk_back(cudaStream_t s, const cu_ssd &k, cu_mat dy, void *gs)
{
  if (ssd_fast(k)) {
    ssd_walk_back_mma(s, k, dy, gs);
    return;
  }
  CU_TYPED(k.x, CU_LAUNCH((walk_back<T>), walk_grid(k, 1), SSD_THREADS, 0, s, k,
                          dy, (T *)gs));
}

void
ssd_walk_start(cudaStream_t s, const cu_ssd &k, const cu_ssd_grad &g)
{
  CU_TYPED(k.x, CU_LAUNCH((walk_start<T>), walk_grid(k, k.rows.n_span),
                          SSD_THREADS, 0, s, k, g.dy, g.s0, g.beta[6]));
}
