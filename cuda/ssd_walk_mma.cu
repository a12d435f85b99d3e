/* ssd_walk_mma.cu: states passed over the chunks as in ssd_walk.cu, on tensor
 * cores. A block has 64 x 32 numbers of one head's state as results of its
 * warps' products; chunks come in three stages, two of which are under way
 * while one is computed. What a chunk needs beside its tiles is read one chunk
 * earlier still, so that nothing waits for it. */
#include "ssd_mma.cuh"

enum {
  WALK_N = 32,
  WALK_LD = WALK_N + 8,
  WALK_STAGES = 3,
  WALK_THREADS = 128,
};

typedef struct {
  bf16 u[WALK_STAGES][SSD_Q * SSD_LDP], v[WALK_STAGES][SSD_Q * WALK_LD];
  float w[WALK_STAGES][SSD_Q];
} walk_shared;

/* What is read of a chunk ahead of its tiles. */
typedef struct {
  int64_t first, last_first, own_first; /* of its first, last, the own row */
  float dt, hi, lo;                     /* of the own row */
  float last;                           /* l of the last row */
} walk_ahead;

/* A chunk under way: rows lo .. hi-1 count. */
typedef struct {
  int lo, hi;
  bool linked;  /* to the chunk before */
  bool through; /* from one border to the other */
  int64_t item; /* row of s0 from which it starts, -1: none */
  float decay;  /* over the rows */
} walk_chunk;

/* The block's place. */
typedef struct {
  int64_t h, p0, n0, chunks;
  const bf16 *u, *v;
  int64_t ldu, ldv;
} walk_place;

__device__ static inline void
walk_look(const cu_ssd &k, const walk_place &b, int64_t c, walk_ahead &a)
{
  int64_t step = b.chunks * SSD_Q, t0 = c * SSD_Q, t = t0 + threadIdx.x;
  const float *own = ssd_logs_at(k, b.h, t), *last;
  int64_t end;

  if (c < 0 || c >= b.chunks)
    return;
  end = min(t0 + SSD_Q, k.rows.n_tokens) - 1;
  last = ssd_logs_at(k, b.h, end);
  a.first = cu_first(k.rows, t0);
  a.last_first = cu_first(k.rows, end);
  a.own_first = cu_first(k.rows, min(t, end));
  a.dt = own[0];
  a.hi = own[step];
  a.lo = own[2 * step];
  a.last = last[step] + last[2 * step];
}

/* Starts the copies of chunk c into its stage. leaves: backward, the chunk
 * behind goes on with it. */
template <bool BACK>
__device__ static inline void
walk_start(const cu_ssd &k, const walk_place &b, int64_t c, int stage,
           const walk_ahead &a, bool leaves, walk_shared &sh, walk_chunk &q)
{
  int64_t t0 = c * SSD_Q;
  int i = threadIdx.x, n;
  float w;

  if (c >= 0 && c < b.chunks) {
    n = ssd_rows_of(k, c);
    q.linked = a.first < t0;
    q.item = -1;
    q.decay = exp2f(a.last);
    if (BACK) {
      q.lo = 0;
      q.hi = __syncthreads_count(i < n && a.own_first < t0);
      q.through = leaves && a.last_first < t0;
      w = i < q.hi ? exp2f(a.hi + a.lo) : 0.0f;
    } else {
      q.lo = (int)max(a.last_first - t0, (int64_t)0);
      q.hi = n;
      q.through = a.last_first < t0;
      if (!q.through && k.s0)
        q.item = cu_doc_at(k.rows, a.last_first).item;
      w = i >= q.lo && i < n ? exp2f(a.last - (a.hi + a.lo)) * a.dt : 0.0f;
    }
    sh.w[stage][i] = w;
    ssd_fill<SSD_P, SSD_LDP, WALK_THREADS>(sh.u[stage], b.u + t0 * b.ldu, b.ldu,
                                           q.lo, q.hi, k.d_head - b.p0);
    ssd_fill<WALK_N, WALK_LD, WALK_THREADS>(
        sh.v[stage], b.v + t0 * b.ldv, b.ldv, q.lo, q.hi, k.d_state - b.n0);
  }
  __pipeline_commit();
}

/* f(at, x, y): two neighbours of the warp's results and their place in a
 * head's state. */
template <class F>
__device__ static inline void
walk_pairs(const cu_ssd &k, const walk_place &b, float (&acc)[4][4], F f)
{
  int64_t p = b.p0 + threadIdx.x / 32 * 16 + ssd_lane_row();
  int64_t n = b.n0 + ssd_lane_col();

#pragma unroll
  for (int j = 0; j < 4; j++)
#pragma unroll
    for (int r = 0; r < 2; r++)
      if (p + 8 * r < k.d_head && n + 8 * j < k.d_state)
        f((p + 8 * r) * k.d_state + n + 8 * j, acc[j][2 * r],
          acc[j][2 * r + 1]);
}

/* What the chunk makes of the state. */
__device__ static inline void
walk_apply(const cu_ssd &k, const walk_place &b, const walk_chunk &q,
           const walk_shared &sh, int stage, float (&acc)[4][4])
{
  int m0 = threadIdx.x / 32 * 16;
  float keep = q.decay;

#pragma unroll
  for (int j = 0; j < 4; j++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      acc[j][i] = q.through ? acc[j][i] * keep : 0.0f;
  if (q.item >= 0) {
    const float *from = k.s0 + q.item * k.ld_s0 + b.h * ssd_head_size(k);

    walk_pairs(k, b, acc, [&](int64_t at, float &x, float &y) {
      x = from[at] * keep;
      y = from[at + 1] * keep;
    });
  }
  for (int k0 = q.lo / 16 * 16; k0 < q.hi; k0 += 16) {
    uint32_t a[4], v[2][2];

    ssd_a_turned(a, sh.u[stage], SSD_LDP, m0, k0);
    ssd_scale_k(a, sh.w[stage], k0);
#pragma unroll
    for (int j = 0; j < 2; j++) {
      ssd_b_turned(v, sh.v[stage], WALK_LD, 16 * j, k0);
      ssd_mma(acc[2 * j], a, v[0]);
      ssd_mma(acc[2 * j + 1], a, v[1]);
    }
  }
}

/* Grid: tiles of a head's state, heads. Forward u is x, v is b, and what enters
 * chunks goes to k.save; backward dy and c, and what leaves them to gs. */
template <bool BACK>
__global__ void
__launch_bounds__(WALK_THREADS) walk_mma(cu_ssd k, cu_mat u, cu_mat v, bf16 *gs)
{
  CU_DYN_SHARED(walk_shared, sh);
  walk_place b;
  walk_chunk q[WALK_STAGES]; /* of the stages, oldest first */
  walk_ahead ahead[2];
  bool linked = false; /* back: of the chunk started before */
  float acc[4][4] = {};
  int64_t tiles = (k.d_state + WALK_N - 1) / WALK_N, size = ssd_state_size(k);

  b.h = blockIdx.y;
  b.p0 = blockIdx.x / tiles * SSD_P;
  b.n0 = blockIdx.x % tiles * WALK_N;
  b.chunks = ssd_chunks(k);
  b.u = (const bf16 *)u.p + b.h * k.d_head + b.p0;
  b.v = (const bf16 *)v.p + ssd_group(k, b.h) * k.d_state + b.n0;
  b.ldu = u.ld;
  b.ldv = v.ld;
  auto at = [&](int64_t i) { return BACK ? b.chunks - 1 - i : i; };

  walk_look(k, b, at(0), ahead[0]);
  walk_look(k, b, at(1), ahead[1]);
  q[0].linked = q[1].linked = q[2].linked = false;
  walk_start<BACK>(k, b, at(0), 0, ahead[0], false, *sh, q[1]);
  walk_start<BACK>(k, b, at(1), 1, ahead[1], q[1].linked, *sh, q[2]);
  walk_look(k, b, at(2), ahead[0]);
  for (int64_t i = 0; i < b.chunks; i++) {
    int64_t to = at(i) * size + b.h * ssd_head_size(k);

    linked = q[0].linked; /* back: of the chunk behind */
    q[0] = q[1];
    q[1] = q[2];
    __pipeline_wait_prior(1);
    __syncthreads();
    if (BACK && linked)
      walk_pairs(k, b, acc, [&](int64_t j, float &x, float &y) {
        *(uint32_t *)&gs[to + j] = cu_two(x, y);
      });
    if (!BACK && q[0].linked)
      walk_pairs(k, b, acc, [&](int64_t j, float &x, float &y) {
        *(float2 *)&k.save[to + j] = make_float2(x, y);
      });
    walk_start<BACK>(k, b, at(i + 2), (int)((i + 2) % WALK_STAGES), ahead[0],
                     q[1].linked, *sh, q[2]);
    walk_look(k, b, at(i + 3), ahead[0]);
    walk_apply(k, b, q[0], *sh, (int)(i % WALK_STAGES), acc);
  }
  __pipeline_wait_prior(0);
}

static dim3
walk_grid(const cu_ssd &k)
{
  return dim3((unsigned)ssd_head_tiles(k) * cu_blocks(k.d_state, WALK_N),
              (unsigned)k.n_heads);
}

void
ssd_walk_chunks_mma(cudaStream_t s, const cu_ssd &k)
{
  cudaFuncSetAttribute((const void *)walk_mma<false>,
                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                       sizeof(walk_shared));
  CU_LAUNCH((walk_mma<false>), walk_grid(k), WALK_THREADS, sizeof(walk_shared),
            s, k, k.x, k.b, (bf16 *)NULL);
}

void
ssd_walk_back_mma(cudaStream_t s, const cu_ssd &k, cu_mat dy, void *gs)
{
  cudaFuncSetAttribute((const void *)walk_mma<true>,
                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                       sizeof(walk_shared));
  CU_LAUNCH((walk_mma<true>), walk_grid(k), WALK_THREADS, sizeof(walk_shared),
            s, k, dy, k.c, (bf16 *)gs);
}
