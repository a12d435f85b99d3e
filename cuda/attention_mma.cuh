/* attention_mma.cuh: tiles of bf16 in shared memory and their products on
 * tensor cores.
 *
 * A tile has rows of D numbers (64, 128 or 256; a head of fewer is filled up
 * with zeros), in pieces of 16 bytes. Piece c of row r lies at c ^ r % 8, so
 * that the 8 rows of one ldmatrix are in 8 different groups of banks. Fragments
 * are those of mma.m16n8k16: lane l holds of a 16x8 result row l / 4 (and 8
 * further down) and the columns 2 (l % 4), + 1. */
#ifndef HYMN_CUDA_ATTENTION_MMA_CUH
#define HYMN_CUDA_ATTENTION_MMA_CUH

#include "attention.cuh"
#include "ptx.h"

template <int D>
__device__ static inline int
mma_at(int row, int piece)
{
  return row * D + (piece ^ (row & 7)) * 8;
}

/* Starts the copy of rows first .. first+ROWS-1 of `cols` numbers; those
 * outside lo .. hi-1, and what is behind cols, become zero. */
template <int D, int ROWS, int THREADS>
__device__ static inline void
mma_load(bf16 *to, const bf16 *base, int64_t ld, int cols, int first, int lo,
         int hi)
{
  int piece = threadIdx.x % (D / 8);

#pragma unroll
  for (int i = 0; i < ROWS * D / 8 / THREADS; i++) {
    int r = threadIdx.x / (D / 8) + i * (THREADS / (D / 8)), u = first + r;
    int real = u >= lo && u < hi && piece * 8 < cols;

    cp_async_16(to + mma_at<D>(r, piece),
                real ? base + u * ld + piece * 8 : base, real);
  }
}

/* The same for the rows of a tile of queries. */
template <int D, int ROWS, int THREADS>
__device__ static inline void
mma_load_rows(bf16 *to, const cu_mat &m, const attn_tile &t, int cols)
{
  int piece = threadIdx.x % (D / 8);
  const bf16 *p = (const bf16 *)m.p;

  for (int r = threadIdx.x / (D / 8); r < ROWS; r += THREADS / (D / 8)) {
    int real = r < t.n && piece * 8 < cols;
    int64_t at = attn_token(t, r) * m.ld + (int64_t)attn_head(t, r) * cols;

    cp_async_16(to + mma_at<D>(r, piece), real ? p + at + piece * 8 : p, real);
  }
}

/* Where the lane's piece of a 16x16 square begins: 8 rows, those below, then
 * both of the columns beside (DOWN), or the other way round. Another square has
 * its column exclusive-or'd in, which no carry leaves: one instruction. */
template <int D, bool DOWN>
__device__ static inline int
mma_lane()
{
  int l = threadIdx.x % 32, far = l / 16, next = l / 8 % 2;

  return mma_at<D>(l % 8 + 8 * (DOWN ? next : far), DOWN ? far : next);
}

/* Rows row .. row+15 and columns 16 k .. of a tile as the left side. */
template <int D>
__device__ static inline void
mma_left(uint32_t (&a)[4], const bf16 *tile, int row, int k)
{
  ldmatrix_x4<false>(a, tile + row * D + (mma_lane<D, true>() ^ 16 * k));
}

/* Rows row .. row+15 and columns 16 k .. as the left side, transposed: the
 * columns are its rows. */
template <int D>
__device__ static inline void
mma_left_t(uint32_t (&a)[4], const bf16 *tile, int row, int k)
{
  ldmatrix_x4<true>(a, tile + row * D + (mma_lane<D, false>() ^ 16 * k));
}

/* Rows row .. row+15 and columns 16 k .. as the right side of two products,
 * each with 8 of the rows, transposed, as its columns. */
template <int D>
__device__ static inline void
mma_right(uint32_t (&b)[2][2], const bf16 *tile, int row, int k)
{
  uint32_t r[4];

  ldmatrix_x4<false>(r, tile + row * D + (mma_lane<D, false>() ^ 16 * k));
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

/* Rows row .. row+15 and columns 16 k .. as the right side of two products,
 * each with 8 of the columns. */
template <int D>
__device__ static inline void
mma_right_t(uint32_t (&b)[2][2], const bf16 *tile, int row, int k)
{
  uint32_t r[4];

  ldmatrix_x4<true>(r, tile + row * D + (mma_lane<D, true>() ^ 16 * k));
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

__device__ static inline uint32_t
mma_pack(float x, float y)
{
  __nv_bfloat162 h = __floats2bfloat162_rn(x, y);
  uint32_t u;

  memcpy(&u, &h, 4);
  return u;
}

/* Two results of 16x8 side by side as the left side of the next product. */
__device__ static inline void
mma_again(uint32_t (&a)[4], const float (&x)[4], const float (&y)[4])
{
  a[0] = mma_pack(x[0], x[1]);
  a[1] = mma_pack(x[2], x[3]);
  a[2] = mma_pack(y[0], y[1]);
  a[3] = mma_pack(y[2], y[3]);
}

/* Numbers as mma_load takes them. */
static inline int
mma_fits(const cu_mat &m, int64_t step)
{
  return m.bf16 && (uintptr_t)m.p % 16 == 0 && m.ld % 8 == 0 && step % 8 == 0;
}

static inline int
attn_mma_fits(const cu_attn &a)
{
  return a.d % 8 == 0 && a.d <= 256 && mma_fits(a.q, 0) &&
         mma_fits(a.k, a.seg.step[0]) && mma_fits(a.v, a.seg.step[1]) &&
         mma_fits(a.out, 0);
}

/* Run the statement with D the width of tiles for heads of d. */
#define ATTN_MMA_WIDTH(d, ...)                                                 \
  do {                                                                         \
    if ((d) <= 64) {                                                           \
      enum { D = 64 };                                                         \
      __VA_ARGS__;                                                             \
    } else if ((d) <= 128) {                                                   \
      enum { D = 128 };                                                        \
      __VA_ARGS__;                                                             \
    } else {                                                                   \
      enum { D = 256 };                                                        \
      __VA_ARGS__;                                                             \
    }                                                                          \
  } while (0)

#endif
