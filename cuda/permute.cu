/* permute.cu: rows to the experts they chose, and back. */
#include "choices.cuh"
#include "piece.cuh"
#include "sort.cuh"

/* ---- places ---- */

struct permute_expert {
  const int32_t *idx;
  __device__ int operator()(int64_t i) const { return idx[i]; }
};

struct permute_place {
  int32_t *pos;
  __device__ void operator()(int64_t i, int place) const { pos[i] = place; }
};

CU_API void
cu_permute_sort(cudaStream_t s, int32_t *pos, int32_t *offset,
                const int32_t *idx, int64_t n_choice, int n_experts,
                void *scratch)
{
  cu_sort(s, permute_expert{idx}, permute_place{pos}, offset, n_choice,
          n_experts, scratch);
}

/* ---- rows ---- */

/* A piece of a row, read once, written for each choice. */
template <class T, int V>
__global__ void
permute_fwd(T *y, int64_t ldy, const T *x, int64_t ldx,
            const int32_t *__restrict__ pos, cu_choices c, int64_t n)
{
  int64_t n_piece = pieces<V>(n);
  int64_t w = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;
  int64_t r = w / n_piece, p = w % n_piece;
  cu_pack<T, V> v[PIECE_N];

  if (r >= c.n_row)
    return;
  piece_load(v, x + r * ldx, p, n);
  for (int64_t i = choices_first(c, r), end = choices_first(c, r + 1); i < end;
       i++)
    if (pos[i] >= 0)
      piece_store(y + pos[i] * ldy, v, p, n);
}

template <class T, int V>
__global__ void
permute_bwd(T *dx, int64_t ldx, float beta, const T *dy, int64_t ldy,
            const int32_t *__restrict__ pos, cu_choices c, int64_t n)
{
  int64_t n_piece = pieces<V>(n);
  int64_t w = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;
  int64_t r = w / n_piece, p = w % n_piece;
  float sum[PIECE_N][V] = {};

  if (r >= c.n_row)
    return;
  for (int64_t i = choices_first(c, r), end = choices_first(c, r + 1); i < end;
       i++) {
    cu_pack<T, V> v[PIECE_N];

    if (pos[i] < 0)
      continue;
    piece_load(v, dy + pos[i] * ldy, p, n);
    piece_add(sum, 1.0f, v, p, n);
  }
  piece_put(dx + r * ldx, sum, beta, p, n);
}

CU_API void
cu_permute_fwd(cudaStream_t s, cu_mat y, cu_mat x, const int32_t *pos,
               cu_choices c, int64_t n)
{
  if (c.n_row * n > 0)
    PIECE_TYPED(x, piece_wide(x, n) && piece_wide(y, n),
                CU_LAUNCH((permute_fwd<T, V>),
                          cu_blocks(c.n_row * pieces<V>(n), 8), 256, 0, s,
                          (T *)y.p, y.ld, (const T *)x.p, x.ld, pos, c, n));
}

CU_API void
cu_permute_bwd(cudaStream_t s, cu_mat dx, float beta, cu_mat dy,
               const int32_t *pos, cu_choices c, int64_t n)
{
  if (c.n_row * n > 0)
    PIECE_TYPED(dx, piece_wide(dx, n) && piece_wide(dy, n),
                CU_LAUNCH((permute_bwd<T, V>),
                          cu_blocks(c.n_row * pieces<V>(n), 8), 256, 0, s,
                          (T *)dx.p, dx.ld, beta, (const T *)dy.p, dy.ld, pos,
                          c, n));
}
