/* ssd.cu: Mamba-2 scan, forward. In a piece with the state s at its left
 * border, for one head:
 *   m[t,u] = 2^(l[t] - l[u]) for u <= t
 *   y[t]   = sum_u (c[t] . b[u]) m[t,u] dt[u] x[u] + enter[t] s c[t] + d x[t].
 * Source: Dao and Gu 2024, arXiv:2405.21060, section 6. */
#include "ssd_mma.cuh"

/* m[t,u] dt[u], 0 where t does not see u. */
__device__ static inline float
scan_weight(const ssd_info &f, const ssd_logs &l, int t, int u)
{
  return u <= t && u >= f.first[t] ? ssd_decay(l, t, u) * l.dt[u] : 0.0f;
}

/* acc[t,p] = enter[t] s c[t]; p0: the block's first column of the head. */
template <class T>
__device__ static inline void
scan_enter(const cu_ssd &k, const ssd_info &f, const ssd_logs &l, int64_t c,
           int64_t h, int64_t p0, ssd_tiles &s, float (&acc)[4][4])
{
  int n = ssd_rows_of(k, c);
  const T *cc =
      (const T *)k.c.p + c * SSD_Q * k.c.ld + ssd_group(k, h) * k.d_state;

  for (int r = 0, end; r < n; r = end) {
    const float *from = ssd_source(k, f, r, c, h);

    end = ssd_piece_end(f, r, n);
    if (from)
      ssd_product(
          acc, k.d_state, s,
          [&](int t, int64_t i) {
            return t >= r && t < end ? cu_get(cc[t * k.c.ld + i]) : 0.0f;
          },
          [&](int p, int64_t i) {
            return p0 + p < k.d_head ? from[(p0 + p) * k.d_state + i] : 0.0f;
          });
  }
  ssd_each(acc, [&](int t, int, float &v) {
    if (v != 0.0f)
      v *= ssd_enter(l, t);
  });
}

/* m[t][i] = (c[t] . b[u]) m[t,u] dt[u] for u = u0 + i. */
template <class T>
__device__ static inline void
scan_inside(const cu_ssd &k, const ssd_info &f, const ssd_logs &l, int64_t c,
            int64_t h, int u0, ssd_tiles &s, float (*m)[SSD_COLS + 1])
{
  int n = ssd_rows_of(k, c);
  int64_t g = ssd_group(k, h) * k.d_state;
  const T *cc = (const T *)k.c.p + c * SSD_Q * k.c.ld + g;
  const T *b = (const T *)k.b.p + (c * SSD_Q + u0) * k.b.ld + g;
  float acc[4][4] = {};

  ssd_product(
      acc, k.d_state, s,
      [&](int t, int64_t i) {
        return t < n ? cu_get(cc[t * k.c.ld + i]) : 0.f;
      },
      [&](int u, int64_t i) {
        return u0 + u < n ? cu_get(b[u * k.b.ld + i]) : 0.0f;
      });
  ssd_each(acc, [&](int t, int u, float &v) {
    float w = t < n ? scan_weight(f, l, t, u0 + u) : 0.0f;

    m[t][u] = w != 0.0f ? v * w : 0.0f;
  });
}

/* Grid: chunks, heads, tiles of SSD_COLS columns of a head. */
template <class T>
__global__ void
scan_plain(cu_ssd k, T *y, int64_t ldy)
{
  CU_SHARED(ssd_info, f);
  CU_SHARED(ssd_logs, l);
  CU_SHARED(ssd_tiles, s);
  CU_SHARED(float, m, [SSD_Q][SSD_COLS + 1]);
  int64_t c = blockIdx.x, h = blockIdx.y, p0 = (int64_t)blockIdx.z * SSD_COLS;
  int64_t t0 = c * SSD_Q, col = h * k.d_head + p0;
  int n = ssd_rows_of(k, c);
  const T *x = (const T *)k.x.p + t0 * k.x.ld + col;
  float acc[4][4] = {}, d = k.d[h];

  ssd_info_get(k, c, f);
  ssd_logs_get(k, h, c, l);
  __syncthreads();
  scan_enter<T>(k, f, l, c, h, p0, s, acc);
  for (int u0 = 0; u0 < n; u0 += SSD_COLS) {
    scan_inside<T>(k, f, l, c, h, u0, s, m);
    ssd_product(
        acc, min(SSD_COLS, n - u0), s,
        [&](int t, int64_t i) { return m[t][i]; },
        [&](int p, int64_t i) {
          return p0 + p < k.d_head ? cu_get(x[(u0 + i) * k.x.ld + p]) : 0.0f;
        });
  }
  ssd_each(acc, [&](int t, int p, float &v) {
    if (t < n && p0 + p < k.d_head && !f.skip[t])
      cu_put(&y[(t0 + t) * ldy + col + p], v + d * cu_get(x[t * k.x.ld + p]));
  });
}

/* Short segments: the recurrence itself, on the state in the cache. A warp has
 * a row of a head's state. Grid: segments, heads. */
template <class T>
__global__ void
scan_step(cu_ssd k, T *y, int64_t ldy)
{
  int64_t i = blockIdx.x, h = blockIdx.y, n = ssd_segment_size(k, i);
  int64_t t0 = k.rows.seg_start[i], g = ssd_group(k, h) * k.d_state;
  int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  float a = (float)(ssd_rate(k, h) * 1.4426950408889634), d = k.d[h];
  float *state = k.s0 + k.rows.slot[i] * k.ld_s0 + h * ssd_head_size(k);

  if (n > SSD_STEP)
    return;
  for (int64_t p = threadIdx.x / 32; p < k.d_head; p += warps)
    for (int64_t t = t0; t < t0 + n; t++) {
      const T *b = (const T *)k.b.p + t * k.b.ld + g;
      const T *cc = (const T *)k.c.p + t * k.c.ld + g;
      float dt = k.dt[t * k.ld_dt + h], decay = exp2f(a * dt), sum = 0.0f;
      float x = cu_get(((const T *)k.x.p)[t * k.x.ld + h * k.d_head + p]);

      for (int64_t j = lane; j < k.d_state; j += 32) {
        float *s = &state[p * k.d_state + j];
        float v = decay * *s + dt * x * cu_get(b[j]);

        *s = v;
        sum += v * cu_get(cc[j]);
      }
      for (int o = 16; o > 0; o /= 2)
        sum += __shfl_xor_sync(~0u, sum, o);
      if (lane == 0)
        cu_put(&y[t * ldy + h * k.d_head + p], sum + d * x);
    }
}

CU_API void
cu_ssd_fwd(cudaStream_t s, cu_ssd k, cu_mat y)
{
  dim3 grid((unsigned)ssd_chunks(k), (unsigned)k.n_heads,
            cu_blocks(k.d_head, SSD_COLS));

  if (k.rows.n_tokens == 0 || ssd_state_size(k) == 0)
    return;
  if (k.rows.n_seg > 0)
    CU_TYPED(k.x, CU_LAUNCH((scan_step<T>),
                            dim3((unsigned)k.rows.n_seg, (unsigned)k.n_heads),
                            SSD_THREADS, 0, s, k, (T *)y.p, y.ld));
  if (k.rows.n_seg > 0 && k.rows.n_tokens <= SSD_STEP)
    return;
  ssd_make_logs(s, k);
  ssd_walk_chunks(s, k);
  if (ssd_fast(k))
    ssd_scan_mma(s, k, y);
  else
    CU_TYPED(k.x, CU_LAUNCH((scan_plain<T>), grid, SSD_THREADS, 0, s, k,
                            (T *)y.p, y.ld));
  if (k.rows.n_seg > 0)
    ssd_walk_segments(s, k);
}
