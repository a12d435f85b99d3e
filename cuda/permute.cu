/* permute.cu: rows to the experts they chose. The choices are sorted by
 * counting in three steps: a warp counts the experts of its unit of choices,
 * the counts are added up over the units, a warp gives its choices their
 * places. Only whole numbers are added, so the order is that of the choices. */
#include "choices.cuh"
#include "piece.cuh"
#include "topk.cuh"

/* ---- places ---- */

/* The choices of this warp's unit, 32 at a time. */
typedef struct {
  int64_t first, end;
} unit;

__device__ static inline unit
unit_of(int64_t u, int64_t n_choice)
{
  int64_t end = (u + 1) * CU_SORT_UNIT;

  return unit{u * CU_SORT_UNIT, end < n_choice ? end : n_choice};
}

/* hist[e][u]: choices of expert e in unit u. */
__global__ void
sort_count(int32_t *hist, const int32_t *idx, int64_t n_choice, int n_experts,
           int64_t n_unit)
{
  CU_DYN_SHARED(int, shared);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t u = blockIdx.x * (int64_t)(blockDim.x / 32) + warp;
  int *count = shared + (int64_t)warp * n_experts;
  unit m = unit_of(u, n_choice);

  for (int e = lane; e < n_experts; e += 32)
    count[e] = 0;
  __syncwarp();
  for (int64_t i = m.first + lane; i < m.end; i += 32)
    atomicAdd(&count[idx[i]], 1);
  __syncwarp();
  for (int e = lane; u < n_unit && e < n_experts; e += 32)
    hist[e * n_unit + u] = count[e];
}

/* Sum of the lanes before this one, and of all. */
__device__ static inline int
scan_warp(int x, int *all)
{
  int lane = threadIdx.x % 32, sum = x;

  for (int d = 1; d < 32; d *= 2) {
    int from = __shfl_up_sync(~0u, sum, d);

    sum += lane >= d ? from : 0;
  }
  *all = __shfl_sync(~0u, sum, 31);
  return sum - x;
}

/* A warp for each expert: hist[e][u] becomes the number of its choices in the
 * units before u, total[e] that of all. */
__global__ void
sort_add(int32_t *hist, int32_t *total, int n_experts, int64_t n_unit)
{
  int lane = threadIdx.x % 32, sum = 0;
  int64_t e = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;

  if (e >= n_experts)
    return;
  hist += e * n_unit;
  for (int64_t first = 0; first < n_unit; first += 32) {
    int64_t u = first + lane;
    int all, before = scan_warp(u < n_unit ? hist[u] : 0, &all);

    if (u < n_unit)
      hist[u] = sum + before;
    sum += all;
  }
  if (lane == 0)
    total[e] = sum;
}

/* The first place of each expert, by the first warp of a block. */
__device__ static void
first_places(int *offset, const int32_t *total, int n_experts)
{
  int lane = threadIdx.x % 32, sum = 0;

  for (int first = 0; threadIdx.x < 32 && first < n_experts; first += 32) {
    int e = first + lane;
    int all, before = scan_warp(e < n_experts ? total[e] : 0, &all);

    if (e < n_experts)
      offset[e] = sum + before;
    sum += all;
  }
  if (threadIdx.x == 0)
    offset[n_experts] = sum;
}

__global__ void
sort_place(int32_t *pos, int32_t *offset, const int32_t *idx,
           const int32_t *hist, const int32_t *total, int64_t n_choice,
           int n_experts, int64_t n_unit)
{
  CU_DYN_SHARED(int, shared); /* first places; next places of each warp */
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t u = blockIdx.x * (int64_t)(blockDim.x / 32) + warp;
  int *next = shared + n_experts + 1 + (int64_t)warp * n_experts;
  unit m = unit_of(u, n_choice);

  first_places(shared, total, n_experts);
  __syncthreads();
  for (int e = threadIdx.x; blockIdx.x == 0 && e <= n_experts; e += blockDim.x)
    offset[e] = shared[e];
  for (int e = lane; u < n_unit && e < n_experts; e += 32)
    next[e] = shared[e] + hist[e * n_unit + u];
  for (int64_t first = m.first; first < m.end; first += 32) {
    int64_t i = first + lane;
    int e = i < m.end ? idx[i] : -1;
    unsigned same = __match_any_sync(~0u, e);
    int before = __popc(same & ((1u << lane) - 1)), at = 0;

    __syncwarp();
    if (e >= 0)
      at = next[e];
    __syncwarp();
    if (e >= 0 && before == 0) /* the first of those with this expert */
      next[e] = at + __popc(same);
    if (e >= 0)
      pos[i] = at + before;
  }
}

CU_API void
cu_permute_sort(cudaStream_t s, int32_t *pos, int32_t *offset,
                const int32_t *idx, int64_t n_choice, int n_experts,
                void *scratch)
{
  int64_t n_unit = (n_choice + CU_SORT_UNIT - 1) / CU_SORT_UNIT;
  size_t each = (size_t)n_experts * sizeof(int), fixed = each + sizeof(int);
  int n_warp = topk_warps(fixed, each);
  unsigned n_block = cu_blocks(n_unit, n_warp);
  int32_t *hist = (int32_t *)scratch, *total = hist + n_experts * n_unit;

  if (n_unit > 0) {
    topk_ask((const void *)sort_count, n_warp * each);
    CU_LAUNCH(sort_count, n_block, 32 * n_warp, n_warp * each, s, hist, idx,
              n_choice, n_experts, n_unit);
  }
  CU_LAUNCH(sort_add, cu_blocks(n_experts, 8), 256, 0, s, hist, total,
            n_experts, n_unit);
  topk_ask((const void *)sort_place, fixed + n_warp * each);
  CU_LAUNCH(sort_place, n_block > 0 ? n_block : 1, 32 * n_warp,
            fixed + n_warp * each, s, pos, offset, idx, hist, total, n_choice,
            n_experts, n_unit);
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
