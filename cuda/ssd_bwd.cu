/* ssd_bwd.cu: Mamba-2 scan, backward, for any shape in fp32.
 *
 * In a piece, for one head, with the state s entering, the gradient gs of the
 * state leaving, l and m as in ssd.cu, k[t,u] = dy[t] . x[u],
 * w[t,u] = (c[t] . b[u]) m[t,u] k[t,u], enter = 2^l, leave = 2^(l[last]-l):
 *   dx[u]  = dt[u] (sum_t (c[t] . b[u]) m[t,u] dy[t] + leave[u] gs b[u])
 *            + d dy[u]
 *   db[u]  = sum_t m[t,u] dt[u] k[t,u] c[t] + dt[u] leave[u] gs' x[u]
 *   dc[t]  = sum_u m[t,u] dt[u] k[t,u] b[u] + enter[t] s' dy[t]
 *   e[t]   = sum over tau >= t > u of w[tau,u] dt[u]
 *            + sum_{tau>=t} enter[tau] dy[tau] . s c[tau]
 *            + sum_{u<t} dt[u] leave[u] x[u] . gs b[u] + 2^l[last] <gs,s>
 *   ddt[u] = sum_t w[t,u] + leave[u] x[u] . gs b[u] + a e[u]
 *   da_log = a sum dt[t] e[t],  dd = sum k[t,t].
 * e is a sum of terms, never a difference of large sums. */
#include "ssd_bwd.cuh"
#include "ssd_bwd_mma.cuh"

/* --- sums inside a chunk ------------------------------------------------- */

typedef struct {
  ssd_info f;
  ssd_logs l;
  ssd_tiles s;
  ssd_sums sum;
  float w[SSD_Q][SSD_COLS + 1], part[SSD_THREADS];
} plain_shared;

/* Columns u0 .. of w into sh.w, of the gradient of c b' into dcb. */
template <class T>
__device__ static inline void
plain_inside(const cu_ssd &k, const bwd_chunk &q, int64_t h, cu_mat dy, int u0,
             bool fresh, plain_shared &sh, float *dcb)
{
  int64_t g = ssd_group(k, h) * k.d_state, col = h * k.d_head;
  const T *b = (const T *)k.b.p + (q.t0 + u0) * k.b.ld + g;
  const T *cc = (const T *)k.c.p + q.t0 * k.c.ld + g;
  const T *x = (const T *)k.x.p + (q.t0 + u0) * k.x.ld + col;
  const T *d = (const T *)dy.p + q.t0 * dy.ld + col;
  float cb[4][4] = {}, kk[4][4] = {};

  ssd_product(
      cb, k.d_state, sh.s,
      [&](int t, int64_t i) {
        return t < q.n ? cu_get(cc[t * k.c.ld + i]) : 0.0f;
      },
      [&](int u, int64_t i) {
        return u0 + u < q.n ? cu_get(b[u * k.b.ld + i]) : 0.0f;
      });
  ssd_product(
      kk, k.d_head, sh.s,
      [&](int t, int64_t i) {
        return t < q.n ? cu_get(d[t * dy.ld + i]) : 0.0f;
      },
      [&](int u, int64_t i) {
        return u0 + u < q.n ? cu_get(x[u * k.x.ld + i]) : 0.0f;
      });
#pragma unroll
  for (int r = 0; r < 4; r++)
#pragma unroll
    for (int c = 0; c < 4; c++) {
      int t = ssd_row() + r, i = ssd_col() + c, u = u0 + i;
      float w = 0.0f, v = 0.0f;

      if (bwd_sees(sh.f, q, t, u)) {
        float decay = ssd_decay(sh.l, t, u);

        w = cb[r][c] * decay * kk[r][c];
        v = decay * sh.l.dt[u] * kk[r][c];
      }
      sh.w[t][i] = w;
      if (t == u)
        sh.sum.diag[t] = t < q.n ? kk[r][c] : 0.0f;
      dcb[t * SSD_Q + u] = fresh ? v : dcb[t * SSD_Q + u] + v;
    }
}

/* From w's columns u0 .. : col and e. */
__device__ static inline void
bwd_columns(const bwd_chunk &q, int u0, plain_shared &sh)
{
  int i = threadIdx.x;

  __syncthreads();
  if (i < SSD_COLS) {
    float sum = 0.0f;

    for (int t = SSD_Q - 1; t >= 0; t--)
      sh.w[t][i] = sum += sh.w[t][i];
    sh.sum.col[u0 + i] = sum;
  }
  __syncthreads();
  if (i < q.n)
    for (int u = u0; u < min(u0 + SSD_COLS, i); u++)
      if (u >= sh.f.first[i])
        sh.sum.e[i] += sh.w[i][u - u0] * sh.l.dt[u];
}

/* What crosses the borders of the chunk: left, enter, carried. */
template <class T>
__device__ static inline void
bwd_borders(const cu_ssd &k, const bwd_chunk &q, int64_t h, cu_mat dy,
            const T *gs, plain_shared &sh)
{
  int64_t g = ssd_group(k, h) * k.d_state, col = h * k.d_head;
  const T *b = (const T *)k.b.p + q.t0 * k.b.ld + g;
  const T *cc = (const T *)k.c.p + q.t0 * k.c.ld + g;
  const T *x = (const T *)k.x.p + q.t0 * k.x.ld + col;
  const T *d = (const T *)dy.p + q.t0 * dy.ld + col;
  const float *last = ssd_source(k, sh.f, q.last, q.c, h);
  float sum = 0.0f;
  int i = threadIdx.x;

  gs += q.c * ssd_state_size(k) + h * ssd_head_size(k);
  if (q.leaves)
    ssd_dots(k, q.last, q.n, b, k.b.ld, gs, x, k.x.ld, sh.s, sh.sum.left);
  for (int r = 0, end; r < q.n; r = end) {
    const float *from = ssd_source(k, sh.f, r, q.c, h);

    end = ssd_piece_end(sh.f, r, q.n);
    if (from)
      ssd_dots(k, r, end, cc, k.c.ld, from, d, dy.ld, sh.s, sh.sum.enter);
  }
  for (int64_t j = i; q.leaves && last && j < ssd_head_size(k);
       j += SSD_THREADS)
    sum += cu_get(gs[j]) * last[j];
  sh.part[i] = sum;
  __syncthreads();
  if (i < q.n) {
    sh.sum.left[i] *= i >= q.last ? bwd_leave(q, sh.l, i) : 0.0f;
    sh.sum.enter[i] *= ssd_enter(sh.l, i);
  }
  if (i == 0) {
    for (int j = 1; j < SSD_THREADS; j++)
      sum += sh.part[j];
    sh.sum.carried = q.leaves && last ? sum * ssd_enter(sh.l, q.n - 1) : 0.0f;
  }
  __syncthreads();
}

/* Grid: chunks, groups. dcb: (chunks, groups, SSD_Q, SSD_Q). */
template <class T>
__global__ void
bwd_sums(cu_ssd k, cu_ssd_grad g, const T *gs, float *dcb, double *part)
{
  CU_DYN_SHARED(plain_shared, sh);
  int64_t c = blockIdx.x, each = k.n_heads / k.n_groups;
  int64_t h0 = blockIdx.y * each;
  bwd_chunk q;
  int i = threadIdx.x;

  dcb += (c * k.n_groups + blockIdx.y) * SSD_Q * SSD_Q;
  ssd_info_get(k, c, sh->f);
  __syncthreads();
  q = bwd_chunk_of(k, sh->f, c);
  for (int64_t h = h0; h < h0 + each; h++) {
    ssd_logs_get(k, h, c, sh->l);
    if (i < SSD_Q)
      sh->sum.e[i] = sh->sum.left[i] = sh->sum.enter[i] = 0.0f;
    for (int u0 = 0; u0 < SSD_Q; u0 += SSD_COLS) {
      plain_inside<T>(k, q, h, g.dy, u0, h == h0, *sh, dcb);
      bwd_columns(q, u0, *sh);
    }
    bwd_borders<T>(k, q, h, g.dy, gs, *sh);
    if (i < 32)
      bwd_dt(k, q, h, g, sh->f, sh->l, sh->sum, part);
    __syncthreads();
  }
}

/* --- gradients of x, b and c --------------------------------------------- */

/* Grid: chunks, heads, tiles of SSD_COLS columns of a head. */
template <class T>
__global__ void
bwd_x(cu_ssd k, cu_mat dy, T *dx, float beta, const T *gs)
{
  CU_SHARED(ssd_info, f);
  CU_SHARED(ssd_logs, l);
  CU_SHARED(ssd_tiles, s);
  CU_SHARED(float, m, [SSD_Q][SSD_COLS + 1]);
  int64_t h = blockIdx.y, p0 = (int64_t)blockIdx.z * SSD_COLS;
  int64_t col = h * k.d_head + p0, t0 = (int64_t)blockIdx.x * SSD_Q;
  int64_t at = ssd_group(k, h) * k.d_state;
  const T *b = (const T *)k.b.p + t0 * k.b.ld + at;
  const T *cc = (const T *)k.c.p + t0 * k.c.ld + at;
  const T *d = (const T *)dy.p + t0 * dy.ld + col;
  float acc[4][4] = {};
  bwd_chunk q;

  ssd_info_get(k, blockIdx.x, f);
  ssd_logs_get(k, h, blockIdx.x, l);
  __syncthreads();
  q = bwd_chunk_of(k, f, blockIdx.x);
  gs += q.c * ssd_state_size(k) + h * ssd_head_size(k);
  if (q.leaves)
    ssd_product(
        acc, k.d_state, s,
        [&](int u, int64_t i) {
          return u >= q.last && u < q.n ? cu_get(b[u * k.b.ld + i]) : 0.0f;
        },
        [&](int p, int64_t i) {
          return p0 + p < k.d_head ? cu_get(gs[(p0 + p) * k.d_state + i])
                                   : 0.0f;
        });
  ssd_each(acc, [&](int u, int, float &v) {
    v = q.leaves && u >= q.last && u < q.n ? v * bwd_leave(q, l, u) : 0.0f;
  });
  for (int s0 = 0; s0 < q.n; s0 += SSD_COLS) {
    float cb[4][4] = {};

    ssd_product(
        cb, k.d_state, s,
        [&](int u, int64_t i) {
          return u < q.n ? cu_get(b[u * k.b.ld + i]) : 0.0f;
        },
        [&](int t, int64_t i) {
          return s0 + t < q.n ? cu_get(cc[(s0 + t) * k.c.ld + i]) : 0.0f;
        });
    ssd_each(cb, [&](int u, int t, float &v) {
      m[u][t] = bwd_sees(f, q, s0 + t, u) ? v * ssd_decay(l, s0 + t, u) : 0.0f;
    });
    ssd_product(
        acc, min(SSD_COLS, q.n - s0), s,
        [&](int u, int64_t i) { return m[u][i]; },
        [&](int p, int64_t i) {
          return p0 + p < k.d_head ? cu_get(d[(s0 + i) * dy.ld + p]) : 0.0f;
        });
  }
  ssd_each(acc, [&](int u, int p, float &v) {
    if (u < q.n && p0 + p < k.d_head) {
      T *to = &dx[(t0 + u) * k.x.ld + col + p];
      float out = l.dt[u] * v + k.d[h] * cu_get(d[u * dy.ld + p]);

      cu_put(to, beta != 0.0f ? beta * cu_get(*to) + out : out);
    }
  });
}

/* The states' part of db, acc[u,n]: of head h. */
template <class T>
__device__ static inline void
bwd_b_head(const cu_ssd &k, const bwd_chunk &q, int64_t h, int64_t n0,
           const T *gs, const ssd_logs &l, ssd_tiles &s, float (&acc)[4][4])
{
  const T *x = (const T *)k.x.p + q.t0 * k.x.ld + h * k.d_head;

  gs += q.c * ssd_state_size(k) + h * ssd_head_size(k) + n0;
  ssd_product(
      acc, k.d_head, s,
      [&](int u, int64_t p) {
        return u >= q.last && u < q.n
                   ? bwd_leave(q, l, u) * l.dt[u] * cu_get(x[u * k.x.ld + p])
                   : 0.0f;
      },
      [&](int j, int64_t p) {
        return n0 + j < k.d_state ? cu_get(gs[p * k.d_state + j]) : 0.0f;
      });
}

/* The same of dc, acc[t,n]. */
template <class T>
__device__ static inline void
bwd_c_head(const cu_ssd &k, const bwd_chunk &q, int64_t h, int64_t n0,
           cu_mat dy, const ssd_info &f, const ssd_logs &l, ssd_tiles &s,
           float (&acc)[4][4])
{
  const T *d = (const T *)dy.p + q.t0 * dy.ld + h * k.d_head;

  for (int r = 0, end; r < q.n; r = end) {
    const float *from = ssd_source(k, f, r, q.c, h);

    end = ssd_piece_end(f, r, q.n);
    if (from)
      ssd_product(
          acc, k.d_head, s,
          [&](int t, int64_t p) {
            return t >= r && t < end
                       ? ssd_enter(l, t) * cu_get(d[t * dy.ld + p])
                       : 0.0f;
          },
          [&](int j, int64_t p) {
            return n0 + j < k.d_state ? from[p * k.d_state + n0 + j] : 0.0f;
          });
  }
}

/* db and dc: acc[r,n] += sum_i dcb(r, i) v[i,n0+n] */
template <class T, class F>
__device__ static inline void
bwd_bc_inside(const cu_ssd &k, const bwd_chunk &q, cu_mat v, int64_t n0,
              ssd_tiles &s, float (&acc)[4][4], F dcb)
{
  const T *p = (const T *)v.p + q.t0 * v.ld + blockIdx.y * k.d_state + n0;

  ssd_product(acc, q.n, s, dcb, [&](int j, int64_t i) {
    return n0 + j < k.d_state ? cu_get(p[i * v.ld + j]) : 0.0f;
  });
}

/* Grid: chunks, groups, tiles of SSD_COLS columns of db, then of dc. */
template <class T>
__global__ void
bwd_bc(cu_ssd k, cu_ssd_grad g, const T *gs, const float *dcb)
{
  CU_SHARED(ssd_info, f);
  CU_SHARED(ssd_logs, l);
  CU_SHARED(ssd_tiles, s);
  int64_t tiles = (k.d_state + SSD_COLS - 1) / SSD_COLS;
  int64_t n0 = blockIdx.z % tiles * SSD_COLS, each = k.n_heads / k.n_groups;
  bool is_b = blockIdx.z < tiles;
  cu_mat to = is_b ? g.db : g.dc;
  float acc[4][4] = {}, beta = g.beta[is_b ? 2 : 3];
  bwd_chunk q;

  ssd_info_get(k, blockIdx.x, f);
  __syncthreads();
  q = bwd_chunk_of(k, f, blockIdx.x);
  dcb += (q.c * k.n_groups + blockIdx.y) * SSD_Q * SSD_Q;
  if (is_b)
    bwd_bc_inside<T>(k, q, k.c, n0, s, acc,
                     [&](int u, int64_t t) { return dcb[t * SSD_Q + u]; });
  else
    bwd_bc_inside<T>(k, q, k.b, n0, s, acc,
                     [&](int t, int64_t u) { return dcb[t * SSD_Q + u]; });
  for (int64_t h = blockIdx.y * each; h < (blockIdx.y + 1) * each; h++) {
    __syncthreads();
    ssd_logs_get(k, h, q.c, l);
    __syncthreads();
    if (!is_b)
      bwd_c_head<T>(k, q, h, n0, g.dy, f, l, s, acc);
    else if (q.leaves)
      bwd_b_head<T>(k, q, h, n0, gs, l, s, acc);
  }
  ssd_each(acc, [&](int t, int j, float &v) {
    if (to.p && t < q.n && n0 + j < k.d_state) {
      T *p = (T *)to.p + (q.t0 + t) * to.ld + blockIdx.y * k.d_state + n0 + j;

      cu_put(p, beta != 0.0f ? beta * cu_get(*p) + v : v);
    }
  });
}

/* --- launches ------------------------------------------------------------ */

/* Sums over chunks in their order. */
__global__ void
bwd_finish(cu_ssd k, cu_ssd_grad g, const double *part)
{
  int64_t h = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  double da = 0.0, dd = 0.0;

  if (h >= k.n_heads)
    return;
  for (int64_t c = 0; c < ssd_chunks(k); c++) {
    da += part[2 * (c * k.n_heads + h)];
    dd += part[2 * (c * k.n_heads + h) + 1];
  }
  da *= ssd_rate(k, h);
  if (g.a_log)
    g.a_log[h] = (float)da + (g.beta[4] != 0.0f ? g.beta[4] * g.a_log[h] : 0.f);
  if (g.d)
    g.d[h] = (float)dd + (g.beta[5] != 0.0f ? g.beta[5] * g.d[h] : 0.0f);
}

template <class T>
static void
bwd_plain(cudaStream_t s, const cu_ssd &k, const cu_ssd_grad &g, T *gs,
          float *dcb, double *part)
{
  unsigned n = (unsigned)ssd_chunks(k), groups = (unsigned)k.n_groups;

  ssd_walk_back(s, k, g.dy, gs);
  CU_LAUNCH((bwd_sums<T>), dim3(n, groups), SSD_THREADS, sizeof(plain_shared),
            s, k, g, gs, dcb, part);
  if (g.dx.p)
    CU_LAUNCH((bwd_x<T>),
              dim3(n, (unsigned)k.n_heads, cu_blocks(k.d_head, SSD_COLS)),
              SSD_THREADS, 0, s, k, g.dy, (T *)g.dx.p, g.beta[0], gs);
  if (g.db.p || g.dc.p)
    CU_LAUNCH((bwd_bc<T>), dim3(n, groups, 2 * cu_blocks(k.d_state, SSD_COLS)),
              SSD_THREADS, 0, s, k, g, gs, dcb);
}

CU_API void
cu_ssd_bwd(cudaStream_t s, cu_ssd k, cu_ssd_grad g)
{
  int64_t n = ssd_chunks(k);
  double *part = (double *)g.work;
  float *dcb = (float *)(part + 2 * n * k.n_heads);
  void *gs = dcb + cu_ssd_inside_size(n, k.n_heads, k.n_groups);

  if (n > 0 && ssd_state_size(k) > 0) {
    ssd_make_logs(s, k);
    if (ssd_fast(k)) {
      ssd_walk_back(s, k, g.dy, gs);
      ssd_bwd_mma(s, k, g, gs, dcb, part);
    } else
      CU_TYPED(k.x, bwd_plain<T>(s, k, g, (T *)gs, dcb, part));
  }
  if (g.s0 && k.rows.n_span > 0)
    ssd_walk_start(s, k, g);
  if (k.n_heads > 0)
    CU_LAUNCH(bwd_finish, cu_blocks(k.n_heads, 128), 128, 0, s, k, g, part);
}
