/* embedding.cu: rows of a table by id, and sums of gradients by id.
 *
 * Backward sorts the tokens by id, stably. The sorted list is cut into pieces
 * of CU_EMBED_PIECE tokens, a block for each; a piece adds up its runs of equal
 * ids in order. A run inside a piece goes to the table at once; of a run that
 * crosses borders each piece leaves its sum, and the piece where the run began
 * adds those up. No atomics: the ids alone fix the order. */
#include "embedding.h"
#include "embedding_sort.cuh"
#include "pack.cuh"

enum { THREADS = 128, PIECE = CU_EMBED_PIECE };

/* Forward; a thread moves V numbers of 4 rows. */
template <class T, int V>
__global__ void
embedding_fwd(cu_mat y, cu_table w, const int32_t *id, int64_t n_tokens,
              unsigned across)
{
  enum { U = 4 };
  int64_t j = ((int64_t)(blockIdx.x % across) * blockDim.x + threadIdx.x) * V;
  int64_t first = (int64_t)(blockIdx.x / across) * blockDim.y * U + threadIdx.y;
  cu_pack<T, V> x[U];

  if (j >= w.n)
    return;
#pragma unroll
  for (int u = 0; u < U; u++) {
    int64_t t = first + u * blockDim.y, row;
    float zero[V] = {};

    if (t >= n_tokens)
      continue;
    row = id[t] - w.first;
    if (row >= 0 && row < w.rows)
      cu_load(x[u], (const T *)w.w.p + row * w.w.ld + j);
    else
      cu_repack(x[u], zero);
  }
#pragma unroll
  for (int u = 0; u < U; u++)
    if (first + u * blockDim.y < n_tokens)
      cu_store((T *)y.p + (first + u * blockDim.y) * y.ld + j, x[u]);
}

template <class T, int V>
static void
fwd_by(cudaStream_t s, cu_mat y, const cu_table &w, const int32_t *id,
       int64_t n_tokens)
{
  unsigned x = 1, across;

  while (x < 32 && x * V < w.n)
    x *= 2;
  across = cu_blocks(w.n, (int64_t)x * V);
  CU_LAUNCH((embedding_fwd<T, V>), across * cu_blocks(n_tokens, 4 * (256 / x)),
            dim3(x, 256 / x), 0, s, y, w, id, n_tokens, across);
}

CU_API void
cu_embedding_fwd(cudaStream_t s, cu_mat y, cu_table w, const int32_t *id,
                 int64_t n_tokens)
{
  if (n_tokens <= 0 || w.n <= 0)
    return;
  CU_TYPED(y, if (cu_packs(y, w.n, cu_wide<T>::n) &&
                  cu_packs(w.w, w.n, cu_wide<T>::n))
                  fwd_by<T, cu_wide<T>::n>(s, y, w, id, n_tokens);
           else fwd_by<T, 1>(s, y, w, id, n_tokens));
}

__global__ void
embedding_zero(cu_table w)
{
  int64_t j = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

  if (j < w.n)
    for (int64_t t = blockIdx.y; t < w.rows; t += gridDim.y)
      ((float *)w.w.p)[t * w.w.ld + j] = 0;
}

static void
zero_table(cudaStream_t s, const cu_table &w)
{
  if (w.w.ld == w.n)
    cudaMemsetAsync(w.w.p, 0, (size_t)(w.rows * w.n) * sizeof(float), s);
  else if (w.rows > 0)
    CU_LAUNCH(embedding_zero,
              dim3(cu_blocks(w.n, THREADS), w.rows < 4096 ? w.rows : 4096),
              THREADS, 0, s, w);
}

/* V sums, into the row of a run that is complete. */
template <int V>
__device__ static inline void
into_table(const cu_table &w, int row, int64_t j, float beta, float (&sum)[V])
{
  float *p = (float *)w.w.p + row * w.w.ld + j;
  cu_pack<float, V> out;

  if (beta != 0) {
    float was[V];

    cu_load(out, p);
    cu_unpack(was, out);
#pragma unroll
    for (int k = 0; k < V; k++)
      sum[k] += beta * was[k];
  }
  cu_repack(out, sum);
  cu_store(p, out);
}

/* Piece p, V columns from j on: sum (2 p) is of the run that came from the
 * piece before, (2 p + 1) of one that begins here and goes on behind. */
template <class T, int V>
__device__ static inline void
add_runs(const cu_table &w, float beta, const cu_mat &dy,
         const cu_embed_room &r, const int32_t *key, const int32_t *token,
         int64_t first, int n, int before, int behind, int64_t j)
{
  enum { U = 8 };
  float sum[V] = {}, f[V];
  cu_pack<float, V> out;
  int from = 0; /* of the run under way */

  for (int base = 0; base < n; base += U) {
    cu_pack<T, V> x[U];

#pragma unroll
    for (int u = 0; u < U; u++)
      if (base + u < n)
        cu_load(x[u], (const T *)dy.p + token[base + u] * dy.ld + j);
#pragma unroll
    for (int u = 0; u < U; u++) {
      int i = base + u, next;

      if (i >= n)
        continue;
      cu_unpack(f, x[u]);
#pragma unroll
      for (int k = 0; k < V; k++)
        sum[k] += f[k];
      next = i + 1 < n ? key[i + 1] : behind;
      if (next == key[i] && i + 1 < n)
        continue;
      if (key[i] < w.rows) { /* the run ends, or the piece does */
        bool came = from == 0 && before == key[i], goes = next == key[i];

        if (came || goes) {
          cu_repack(out, sum);
          cu_store(r.sum + (2 * (first / PIECE) + !came) * w.n + j, out);
        } else {
          into_table(w, key[i], j, beta, sum);
        }
      }
#pragma unroll
      for (int k = 0; k < V; k++)
        sum[k] = 0;
      from = i + 1;
    }
  }
}

template <class T, int V>
__global__ void
embedding_pieces(cu_table w, float beta, cu_mat dy, cu_embed_room r,
                 int64_t n_tokens, unsigned across)
{
  CU_SHARED(int32_t, key, [PIECE]);
  CU_SHARED(int32_t, token, [PIECE]);
  int64_t j = ((int64_t)(blockIdx.x % across) * blockDim.x + threadIdx.x) * V;
  int64_t first = (int64_t)(blockIdx.x / across) * PIECE;
  int n = (int)(n_tokens - first < PIECE ? n_tokens - first : PIECE);
  int before = first > 0 ? r.key[first - 1] : -1;
  int behind = first + n < n_tokens ? r.key[first + n] : -1;

  if ((int)threadIdx.x < n) {
    key[threadIdx.x] = r.key[first + threadIdx.x];
    token[threadIdx.x] = r.token[first + threadIdx.x];
  }
  __syncthreads();
  if (j < w.n)
    add_runs<T, V>(w, beta, dy, r, key, token, first, n, before, behind, j);
}

/* The run that begins in piece p and goes on: its sums, to the table. */
template <int V>
__global__ void
embedding_join(cu_table w, float beta, cu_embed_room r, int64_t n_tokens,
               unsigned across)
{
  int64_t j = ((int64_t)(blockIdx.x % across) * blockDim.x + threadIdx.x) * V;
  int64_t p = blockIdx.x / across, end = (p + 1) * PIECE;
  int key = r.key[end - 1];
  float sum[V], f[V];
  cu_pack<float, V> x;

  if (j >= w.n || key >= w.rows || r.key[end] != key ||
      (p > 0 && r.key[p * PIECE - 1] == key))
    return;
  cu_load(x, r.sum + (2 * p + 1) * w.n + j);
  cu_unpack(sum, x);
  for (; end < n_tokens && r.key[end] == key; end += PIECE) {
    cu_load(x, r.sum + 2 * (end / PIECE) * w.n + j);
    cu_unpack(f, x);
#pragma unroll
    for (int k = 0; k < V; k++)
      sum[k] += f[k];
  }
  into_table(w, key, j, beta, sum);
}

template <class T, int V>
static void
bwd_by(cudaStream_t s, const cu_table &w, float beta, cu_mat dy,
       int64_t n_tokens, const cu_embed_room &r)
{
  unsigned across = cu_blocks(w.n, THREADS * V);
  unsigned pieces = cu_blocks(n_tokens, PIECE);

  CU_LAUNCH((embedding_pieces<T, V>), across * pieces, THREADS, 0, s, w, beta,
            dy, r, n_tokens, across);
  if (pieces > 1)
    CU_LAUNCH((embedding_join<V>), across * (pieces - 1), THREADS, 0, s, w,
              beta, r, n_tokens, across);
}

CU_API void
cu_embedding_bwd(cudaStream_t s, cu_table w, float beta, cu_mat dy,
                 const int32_t *id, int64_t n_tokens, cu_embed_room room)
{
  if (beta == 0)
    zero_table(s, w);
  if (n_tokens <= 0 || w.n <= 0)
    return;
  cu_embed_sort(s, &room, id, w.first, w.rows, n_tokens);
  CU_TYPED(dy, if (cu_packs(dy, w.n, cu_wide<T>::n) && cu_packs(w.w, w.n, 4) &&
                   cu_packs(room.sum, 0, 4, w.n, 4))
                   bwd_by<T, cu_wide<T>::n>(s, w, beta, dy, n_tokens, room);
           else bwd_by<T, 1>(s, w, beta, dy, n_tokens, room));
}
