/* ssd_state.cu: what a span does to the state of the scan. The span's last
 * document has the rows first .. end-1 in it. One head, with l[t] = sum of dt a
 * from first to t, left[t] = 2^(l[end-1] - l[t]):
 *   s = sum_t left[t] dt[t] x[t] b[t]',
 *   w = 2^l[end-1] if the document goes on from before the span, else 0.
 * Backward, from the gradients g of s and dw of w, q[t] = left[t] x[t]' g b[t]:
 *   dx[t]  = left[t] dt[t] g b[t],  db[t] = left[t] dt[t] g' x[t]
 *   e[t]   = sum_{u<t} dt[u] q[u] + w dw,  ddt[t] = q[t] + a e[t]
 *   da_log = a sum_t dt[t] e[t]. */
#include "ssd.cuh"

/* The gradient of out, and of one span where it is. */
typedef struct {
  const float *p;
  int64_t ld;
} state_out;

typedef struct {
  int64_t at, first, end;
  bool goes_on; /* its document began before the span */
} state_span;

__device__ static inline state_span
state_span_of(const cu_ssd &k, int64_t i)
{
  cu_span p = k.rows.span[i];
  state_span s = {p.at, p.at, p.at + p.n, false};

  if (p.n <= 0)
    return s;
  s.first = k.rows.seq_start[s.end - 1];
  s.goes_on = p.before > 0 && s.first == s.at;
  return s;
}

/* The part of the document in chunk c, and the logarithm of what decays behind
 * it. */
typedef struct {
  int64_t lo, hi;
  double behind;
} state_part;

__device__ static inline float
state_log(const cu_ssd &k, int64_t h, int64_t t)
{
  const float *p = ssd_logs_at(k, h, t);
  int64_t step = ssd_chunks(k) * SSD_Q;

  return p[step] + p[2 * step];
}

/* l[end-1] over all chunks from c on. */
__device__ static inline double
state_total(const cu_ssd &k, int64_t h, int64_t c, int64_t end)
{
  double sum = 0.0;

  for (; c * SSD_Q < end; c++)
    sum += (double)state_log(k, h, min(end, (c + 1) * SSD_Q) - 1);
  return sum;
}

__device__ static inline state_part
state_part_of(const state_span &s, int64_t c, double behind)
{
  return {max(s.first, c * SSD_Q), min(s.end, (c + 1) * SSD_Q), behind};
}

/* left[t] */
__device__ static inline float
state_left(const cu_ssd &k, int64_t h, const state_part &p, int64_t t)
{
  const float *at = ssd_logs_at(k, h, t), *last = ssd_logs_at(k, h, p.hi - 1);
  int64_t step = ssd_chunks(k) * SSD_Q;

  return exp2f((float)((double)((last[step] - at[step]) +
                                (last[2 * step] - at[2 * step])) +
                       p.behind));
}

/* beta = 0: what the span's rows before its last document have. */
template <class T>
__device__ static inline void
state_clear(T *p, int64_t ld, const state_span &s, int64_t cols, float beta)
{
  for (int64_t i = threadIdx.x; beta == 0.0f && i < (s.first - s.at) * cols;
       i += SSD_THREADS)
    cu_put(&p[(s.at + i / cols) * ld + i % cols], 0.0f);
}

/* Grid: tiles of SSD_COLS columns of a head, heads, spans. */
template <class T>
__global__ void
state_x(cu_ssd k, state_out g, T *dx, float beta)
{
  CU_SHARED(ssd_tiles, s);
  state_span p = state_span_of(k, blockIdx.z);
  int64_t h = blockIdx.y, p0 = (int64_t)blockIdx.x * SSD_COLS;
  int64_t col = h * k.d_head + p0;
  const T *b = (const T *)k.b.p + ssd_group(k, h) * k.d_state;
  const float *from =
      g.p + blockIdx.z * g.ld + h * ssd_head_size(k) + p0 * k.d_state;
  double behind = 0.0;

  state_clear(dx + col, k.x.ld, p, min((int64_t)SSD_COLS, k.d_head - p0), beta);
  for (int64_t c = (p.end - 1) / SSD_Q; p.first < p.end && c >= p.first / SSD_Q;
       c--) {
    state_part q = state_part_of(p, c, behind);
    float acc[4][4] = {};

    ssd_product(
        acc, k.d_state, s,
        [&](int t, int64_t i) {
          return q.lo + t < q.hi ? cu_get(b[(q.lo + t) * k.b.ld + i]) : 0.0f;
        },
        [&](int j, int64_t i) {
          return p0 + j < k.d_head ? from[j * k.d_state + i] : 0.0f;
        });
    ssd_each(acc, [&](int t, int j, float &v) {
      if (q.lo + t < q.hi && p0 + j < k.d_head) {
        T *to = &dx[(q.lo + t) * k.x.ld + col + j];
        float out =
            v * state_left(k, h, q, q.lo + t) * *ssd_logs_at(k, h, q.lo + t);

        cu_put(to, beta != 0.0f ? beta * cu_get(*to) + out : out);
      }
    });
    behind += (double)state_log(k, h, q.hi - 1);
  }
}

/* Grid: tiles of SSD_COLS columns of d_state, groups, spans. */
template <class T>
__global__ void
state_b(cu_ssd k, state_out g, cu_mat db, float beta)
{
  CU_SHARED(ssd_tiles, s);
  CU_SHARED(float, w, [SSD_Q]);
  state_span p = state_span_of(k, blockIdx.z);
  int64_t n0 = (int64_t)blockIdx.x * SSD_COLS, each = k.n_heads / k.n_groups;
  T *out = (T *)db.p + blockIdx.y * k.d_state + n0;

  state_clear(out, db.ld, p, min((int64_t)SSD_COLS, k.d_state - n0), beta);
  for (int64_t c = p.first / SSD_Q; c * SSD_Q < p.end; c++) {
    float acc[4][4] = {};
    state_part q = state_part_of(p, c, 0.0);

    for (int64_t h = blockIdx.y * each; h < (blockIdx.y + 1) * each; h++) {
      const T *x = (const T *)k.x.p + q.lo * k.x.ld + h * k.d_head;
      const float *from = g.p + blockIdx.z * g.ld + h * ssd_head_size(k) + n0;

      q.behind = state_total(k, h, c + 1, p.end);
      __syncthreads();
      if (threadIdx.x < q.hi - q.lo)
        w[threadIdx.x] = state_left(k, h, q, q.lo + threadIdx.x) *
                         *ssd_logs_at(k, h, q.lo + threadIdx.x);
      ssd_product(
          acc, k.d_head, s,
          [&](int t, int64_t i) {
            return q.lo + t < q.hi ? w[t] * cu_get(x[t * k.x.ld + i]) : 0.0f;
          },
          [&](int j, int64_t i) {
            return n0 + j < k.d_state ? from[i * k.d_state + j] : 0.0f;
          });
    }
    ssd_each(acc, [&](int t, int j, float &v) {
      if (q.lo + t < q.hi && n0 + j < k.d_state) {
        T *to = &out[(q.lo + t) * db.ld + j];

        cu_put(to, beta != 0.0f ? beta * cu_get(*to) + v : v);
      }
    });
  }
}

/* One warp: the rows of one chunk, from q, with the sum of dt q of those
 * before; returns the same for the next chunk. */
__device__ static inline double
state_dt_rows(const cu_ssd &k, int64_t h, const state_part &q, double w_dw,
              double before, const float *dot, float *ddt, float beta,
              double *da)
{
  double a = ssd_rate(k, h);
  int lane = threadIdx.x % 32;

  for (int64_t t0 = q.lo; t0 < q.hi; t0 += 32) {
    int64_t t = t0 + lane;
    bool in = t < q.hi;
    float dt = in ? *ssd_logs_at(k, h, t) : 0.0f;
    float v = in ? state_left(k, h, q, t) * dot[t - q.lo] : 0.0f;
    double own = (double)dt * (double)v, sum = own, e;

    for (int d = 1; d < 32; d *= 2) {
      double from = __shfl_up_sync(~0u, sum, d);

      sum += lane >= d ? from : 0.0;
    }
    e = __shfl_up_sync(~0u, sum, 1);
    e = before + w_dw + (lane > 0 ? e : 0.0);
    *da += (double)dt * e;
    if (in && ddt) {
      float *to = &ddt[t * k.ld_dt + h], g = (float)((double)v + a * e);

      *to = beta != 0.0f ? beta * *to + g : g;
    }
    before += __shfl_sync(~0u, sum, 31);
  }
  return before;
}

/* Grid: heads, spans. */
template <class T>
__global__ void
state_dt(cu_ssd k, state_out g, float *ddt, float beta, double *part)
{
  CU_SHARED(ssd_tiles, s);
  CU_SHARED(float, dot, [SSD_Q]);
  state_span p = state_span_of(k, blockIdx.y);
  int64_t h = blockIdx.x;
  const float *from = g.p + blockIdx.y * g.ld;
  double before = 0.0, da = 0.0, all = 0.0, w_dw = 0.0, past = 0.0;

  if (p.first < p.end)
    all = state_total(k, h, p.first / SSD_Q, p.end);
  if (p.goes_on)
    w_dw = exp2(all) * (double)from[ssd_state_size(k) + h];
  if (ddt)
    state_clear(ddt + h, k.ld_dt, p, 1, beta);
  for (int64_t c = p.first / SSD_Q; c * SSD_Q < p.end; c++) {
    state_part q = state_part_of(p, c, 0.0);

    past += (double)state_log(k, h, q.hi - 1);
    q.behind = q.hi < p.end ? all - past : 0.0;
    __syncthreads();
    if (threadIdx.x < SSD_Q)
      dot[threadIdx.x] = 0.0f;
    ssd_dots(k, 0, (int)(q.hi - q.lo),
             (const T *)k.b.p + q.lo * k.b.ld + ssd_group(k, h) * k.d_state,
             k.b.ld, from + h * ssd_head_size(k),
             (const T *)k.x.p + q.lo * k.x.ld + h * k.d_head, k.x.ld, s, dot);
    __syncthreads();
    if (threadIdx.x < 32)
      before = state_dt_rows(k, h, q, w_dw, before, dot, ddt, beta, &da);
  }
  if (threadIdx.x < 32)
    for (int o = 16; o > 0; o /= 2)
      da += __shfl_xor_sync(~0u, da, o);
  if (threadIdx.x == 0)
    part[blockIdx.y * k.n_heads + h] = da;
}

/* Sums over spans in their order. */
__global__ void
state_finish(cu_ssd k, float *da_log, float beta, const double *part)
{
  int64_t h = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  double sum = 0.0;

  if (h >= k.n_heads)
    return;
  for (int64_t i = 0; i < k.rows.n_span; i++)
    sum += part[i * k.n_heads + h];
  sum *= ssd_rate(k, h);
  da_log[h] = (float)sum + (beta != 0.0f ? beta * da_log[h] : 0.0f);
}

CU_API void
cu_ssd_state_fwd(cudaStream_t s, cu_ssd k, float *out, int64_t ld)
{
  if (k.rows.n_span == 0 || k.n_heads == 0)
    return;
  if (k.rows.n_tokens > 0)
    ssd_make_logs(s, k);
  ssd_walk_spans(s, k, out, ld);
}

CU_API void
cu_ssd_state_bwd(cudaStream_t s, cu_ssd k, const float *dout, int64_t ld,
                 cu_ssd_grad g)
{
  state_out out = {dout, ld};
  unsigned spans = (unsigned)k.rows.n_span, heads = (unsigned)k.n_heads;
  double *part = (double *)g.work;

  if (heads == 0)
    return;
  if (k.rows.n_tokens > 0)
    ssd_make_logs(s, k);
  if (spans > 0)
    CU_TYPED(k.x, {
      if (g.dx.p)
        CU_LAUNCH((state_x<T>),
                  dim3(cu_blocks(k.d_head, SSD_COLS), heads, spans),
                  SSD_THREADS, 0, s, k, out, (T *)g.dx.p, g.beta[0]);
      if (g.db.p)
        CU_LAUNCH(
            (state_b<T>),
            dim3(cu_blocks(k.d_state, SSD_COLS), (unsigned)k.n_groups, spans),
            SSD_THREADS, 0, s, k, out, g.db, g.beta[2]);
      CU_LAUNCH((state_dt<T>), dim3(heads, spans), SSD_THREADS, 0, s, k, out,
                g.dt, g.beta[1], part);
    });
  if (g.a_log)
    CU_LAUNCH(state_finish, cu_blocks(k.n_heads, 128), 128, 0, s, k, g.a_log,
              g.beta[3], part);
}
