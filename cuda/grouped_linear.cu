/* grouped_linear.cu: products of the experts. The grid depends on shapes alone:
 * expert e owns the slots of row tiles from offset[e] / tile + e on, of which
 * there are enough for its rows, however many they are; a block finds its
 * expert among the offsets and ends when its slot is empty.
 *
 * Blocks of one expert follow each other, rows fastest: its weights are read
 * from memory once, and again from the L2 cache. */
#include "gemm.cuh"
#include "gemm_f32.cuh"
#include "grouped_linear.h"

typedef struct {
  int expert;
  int64_t row, end; /* first row, end of the expert's rows; end <= row: none */
  int64_t col;      /* tile of columns */
} place;

/* Where this block works, of `tiles` tiles of columns for each slot. */
template <int TILE>
__device__ static inline place
find(const int32_t *offset, int n, int64_t tiles)
{
  int64_t slot = blockIdx.x / tiles, first, slots, at;
  int e = -1;

  for (int base = 0; base < n; base += blockDim.x) {
    int i = base + threadIdx.x;

    e += __syncthreads_count(i < n && offset[i] / TILE + i <= slot);
  }
  first = offset[e] / TILE + e;
  slots = offset[e + 1] / TILE + e + 1 - first;
  at = blockIdx.x - first * tiles;
  if (at >= slots * tiles) /* behind the last expert */
    return {e, 0, 0, 0};
  return {e, offset[e] + at % slots * TILE, offset[e + 1], at / slots};
}

static unsigned
row_blocks(const cu_experts &e, int64_t cols, int tile)
{
  return (unsigned)((e.rows / tile + e.n) * cu_blocks(cols, tile));
}

/* --- rows: y[r] = beta y[r] + x[r] op(w[e]) ------------------------------- */

/* TRANS: w is (cols, k), else (k, cols). */
template <bool TRANS, bool VEC>
__global__
__launch_bounds__(GEMM_THREADS,
                  2) void rows_bf16(cu_mat y, cu_mat x, const bf16 *w,
                                    const int32_t *offset, int n, int64_t cols,
                                    int64_t k, float beta)
{
  CU_DYN_SHARED(bf16, sm);
  place at = find<GEMM_TILE>(offset, n, (cols + GEMM_TILE - 1) / GEMM_TILE);
  int64_t col = at.col * GEMM_TILE;
  gemm_sum sum;

  if (at.row < at.end) {
    gemm_side a = gemm_lines<true>(x.p, x.ld, at.row, at.end);
    gemm_side b = gemm_lines<TRANS>(w + at.expert * cols * k, TRANS ? k : cols,
                                    col, cols);

    gemm_tile<true, TRANS, VEC>(sum, a, b, k, sm);
    gemm_store((bf16 *)y.p + at.row * y.ld + col, y.ld, a.n, b.n, beta, sum);
  }
}

template <bool TRANS>
__global__
__launch_bounds__(GEMM_F32_THREADS) void rows_f32(cu_mat y, cu_mat x,
                                                  const float *w,
                                                  const int32_t *offset, int n,
                                                  int64_t cols, int64_t k,
                                                  float beta)
{
  place at = find<GEMM_F32_TILE>(offset, n,
                                 (cols + GEMM_F32_TILE - 1) / GEMM_F32_TILE);
  int64_t col = at.col * GEMM_F32_TILE;
  gemm_f32_sum sum;

  if (at.row < at.end) {
    gemm_f32_side a = gemm_f32_lines<true>(x.p, x.ld, at.row, at.end);
    gemm_f32_side b = gemm_f32_lines<TRANS>(w + at.expert * cols * k,
                                            TRANS ? k : cols, col, cols);

    gemm_f32_tile<true, TRANS>(sum, a, b, k);
    gemm_f32_store((float *)y.p + at.row * y.ld + col, y.ld, a.n, b.n, beta,
                   sum);
  }
}

template <bool TRANS, bool VEC>
static void
launch_rows(cudaStream_t s, const cu_experts &e, cu_mat y, cu_mat x,
            const void *w, int64_t cols, int64_t k, float beta)
{
  static const cudaError_t room = cudaFuncSetAttribute(
      rows_bf16<TRANS, VEC>, cudaFuncAttributeMaxDynamicSharedMemorySize,
      GEMM_SHARED);

  if (room == cudaSuccess)
    CU_LAUNCH((rows_bf16<TRANS, VEC>), row_blocks(e, cols, GEMM_TILE),
              GEMM_THREADS, GEMM_SHARED, s, y, x, (const bf16 *)w, e.offset,
              e.n, cols, k, beta);
}

template <bool TRANS>
static void
rows(cudaStream_t s, const cu_experts &e, cu_mat y, cu_mat x, const void *w,
     int64_t cols, int64_t k, float beta)
{
  if (e.rows <= 0 || cols <= 0 || e.n <= 0)
    return;
  if (!x.bf16)
    CU_LAUNCH((rows_f32<TRANS>), row_blocks(e, cols, GEMM_F32_TILE),
              GEMM_F32_THREADS, 0, s, y, x, (const float *)w, e.offset, e.n,
              cols, k, beta);
  else if (gemm_aligned(x.p, x.ld) && gemm_aligned(w, TRANS ? k : cols))
    launch_rows<TRANS, true>(s, e, y, x, w, cols, k, beta);
  else
    launch_rows<TRANS, false>(s, e, y, x, w, cols, k, beta);
}

/* --- the gradient of weights ---------------------------------------------- */

/* The tile of this block: (m, n) of expert e. */
typedef struct {
  int64_t m, n, first, rows;
  int expert;
} patch;

template <int TILE>
__device__ static inline patch
find_patch(const int32_t *offset, int64_t n_out, int64_t n_in)
{
  int64_t m = (n_out + TILE - 1) / TILE, n = (n_in + TILE - 1) / TILE;
  int64_t e = blockIdx.x / (m * n), at = blockIdx.x % (m * n);

  return {at % m * TILE, at / m * TILE, offset[e], offset[e + 1] - offset[e],
          (int)e};
}

template <bool VEC>
__global__
__launch_bounds__(GEMM_THREADS, 2) void dw_bf16(float *dw, cu_mat dy, cu_mat x,
                                                const int32_t *offset,
                                                int64_t n_out, int64_t n_in,
                                                float beta)
{
  CU_DYN_SHARED(bf16, sm);
  patch p = find_patch<GEMM_TILE>(offset, n_out, n_in);
  gemm_sum sum;

  if (p.rows > 0 || beta != 1) { /* else it keeps what it has */
    gemm_side a = gemm_lines<false>((const bf16 *)dy.p + p.first * dy.ld, dy.ld,
                                    p.m, n_out);
    gemm_side b =
        gemm_lines<false>((const bf16 *)x.p + p.first * x.ld, x.ld, p.n, n_in);

    gemm_tile<false, false, VEC>(sum, a, b, p.rows, sm);
    gemm_store(dw + (p.expert * n_out + p.m) * n_in + p.n, n_in, a.n, b.n, beta,
               sum);
  }
}

__global__
__launch_bounds__(GEMM_F32_THREADS) void dw_f32(float *dw, cu_mat dy, cu_mat x,
                                                const int32_t *offset,
                                                int64_t n_out, int64_t n_in,
                                                float beta)
{
  patch p = find_patch<GEMM_F32_TILE>(offset, n_out, n_in);
  gemm_f32_sum sum;

  if (p.rows > 0 || beta != 1) {
    gemm_f32_side a = gemm_f32_lines<false>(
        (const float *)dy.p + p.first * dy.ld, dy.ld, p.m, n_out);
    gemm_f32_side b = gemm_f32_lines<false>((const float *)x.p + p.first * x.ld,
                                            x.ld, p.n, n_in);

    gemm_f32_tile<false, false>(sum, a, b, p.rows);
    gemm_f32_store(dw + (p.expert * n_out + p.m) * n_in + p.n, n_in, a.n, b.n,
                   beta, sum);
  }
}

template <bool VEC>
static void
launch_dw(cudaStream_t s, const cu_experts &e, unsigned blocks, float *dw,
          cu_mat dy, cu_mat x, float beta)
{
  static const cudaError_t room = cudaFuncSetAttribute(
      dw_bf16<VEC>, cudaFuncAttributeMaxDynamicSharedMemorySize, GEMM_SHARED);

  if (room == cudaSuccess)
    CU_LAUNCH((dw_bf16<VEC>), blocks, GEMM_THREADS, GEMM_SHARED, s, dw, dy, x,
              e.offset, e.n_out, e.n_in, beta);
}

/* --- what the host calls -------------------------------------------------- */

CU_API void
cu_grouped_linear_fwd(cudaStream_t s, cu_experts e, cu_mat y, cu_mat x,
                      const void *w)
{
  rows<true>(s, e, y, x, w, e.n_out, e.n_in, 0);
}

CU_API void
cu_grouped_linear_dx(cudaStream_t s, cu_experts e, cu_mat dx, cu_mat dy,
                     const void *w, float beta)
{
  rows<false>(s, e, dx, dy, w, e.n_in, e.n_out, beta);
}

CU_API void
cu_grouped_linear_dw(cudaStream_t s, cu_experts e, float *dw, cu_mat dy,
                     cu_mat x, float beta)
{
  int tile = x.bf16 ? (int)GEMM_TILE : (int)GEMM_F32_TILE;
  unsigned blocks =
      (unsigned)e.n * cu_blocks(e.n_out, tile) * cu_blocks(e.n_in, tile);

  if (blocks == 0)
    return;
  if (!x.bf16)
    CU_LAUNCH(dw_f32, blocks, GEMM_F32_THREADS, 0, s, dw, dy, x, e.offset,
              e.n_out, e.n_in, beta);
  else if (gemm_aligned(dy.p, dy.ld) && gemm_aligned(x.p, x.ld))
    launch_dw<true>(s, e, blocks, dw, dy, x, beta);
  else
    launch_dw<false>(s, e, blocks, dw, dy, x, beta);
}
