/* piece.cuh: pieces of rows in registers, for what copies and adds whole rows.
 * A warp takes a piece: PIECE_N packs of V numbers for each lane. */
#ifndef HYMN_CUDA_PIECE_CUH
#define HYMN_CUDA_PIECE_CUH

#include "pack.cuh"

enum { PIECE_N = 4 };

/* Whether all rows of n numbers of m can be read in packs of 16 bytes. */
static inline bool
piece_wide(const cu_mat &m, int64_t n)
{
  return cu_packs(m, n, m.bf16 ? 8 : 4);
}

/* Run the statement with T the type of the rows of m and V the numbers that
 * move at once. */
#define PIECE_TYPED(m, wide, ...)                                              \
  CU_TYPED(                                                                    \
      m,                                                                       \
      if (wide) {                                                              \
        enum { V = cu_wide<T>::n };                                            \
        __VA_ARGS__;                                                           \
      } else {                                                                 \
        enum { V = 1 };                                                        \
        __VA_ARGS__;                                                           \
      })

/* Pieces of a row of n numbers. */
template <int V>
__host__ __device__ static inline int64_t
pieces(int64_t n)
{
  return (n + 32 * V * PIECE_N - 1) / (32 * V * PIECE_N);
}

/* First number of pack i of this lane in piece p. */
template <int V>
__device__ static inline int64_t
piece_at(int64_t p, int i)
{
  return ((p * PIECE_N + i) * 32 + threadIdx.x % 32) * V;
}

/* Piece p of a row of n; nothing behind the row's end. */
template <class T, int V>
__device__ static inline void
piece_load(cu_pack<T, V> (&v)[PIECE_N], const T *row, int64_t p, int64_t n)
{
#pragma unroll
  for (int i = 0; i < PIECE_N; i++)
    if (piece_at<V>(p, i) < n)
      cu_load(v[i], row + piece_at<V>(p, i));
}

template <class T, int V>
__device__ static inline void
piece_store(T *row, const cu_pack<T, V> (&v)[PIECE_N], int64_t p, int64_t n)
{
#pragma unroll
  for (int i = 0; i < PIECE_N; i++)
    if (piece_at<V>(p, i) < n)
      cu_store(row + piece_at<V>(p, i), v[i]);
}

/* sum += f v, in fp32. */
template <class T, int V>
__device__ static inline void
piece_add(float (&sum)[PIECE_N][V], float f, const cu_pack<T, V> (&v)[PIECE_N],
          int64_t p, int64_t n)
{
#pragma unroll
  for (int i = 0; i < PIECE_N; i++) {
    float x[V];

    if (piece_at<V>(p, i) >= n)
      continue;
    cu_unpack(x, v[i]);
#pragma unroll
    for (int j = 0; j < V; j++)
      sum[i][j] += f * x[j];
  }
}

/* row = beta row + sum, rounded once. */
template <class T, int V>
__device__ static inline void
piece_put(T *row, float (&sum)[PIECE_N][V], float beta, int64_t p, int64_t n)
{
  cu_pack<T, V> v[PIECE_N];

  if (beta != 0) {
    piece_load(v, (const T *)row, p, n);
    piece_add(sum, beta, v, p, n);
  }
#pragma unroll
  for (int i = 0; i < PIECE_N; i++)
    cu_repack(v[i], sum[i]);
  piece_store(row, v, p, n);
}

#endif
