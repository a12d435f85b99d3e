/* travel.cu: rows and choices on their way to the ranks of experts and back, as
 * hy_kit in op/backend.h says. The rows themselves go as those of permute. */
#include "permute.h"
#include "sort.cuh"
#include "travel.h"

enum { THREADS = 256 };

/* Two sorts in one: items 0 .. n-1 are the choices, with the rank of their
 * expert as key, items n .. 2n-1 the copies of rows, with a key only at the
 * first choice that goes to a rank. */
struct travel_rank {
  const int32_t *idx;
  int64_t n, top_k;
  int own, n_rank;
  __device__ int operator()(int64_t i) const
  {
    int64_t j = i < n ? i : i - n;
    int d = idx[j] / own;

    if (i < n)
      return d;
    /* experts of a row ascend */
    return j % top_k > 0 && idx[j - 1] / own == d ? -1 : n_rank + d;
  }
};

struct travel_place {
  int32_t *row, *choice;
  int64_t n;
  __device__ void operator()(int64_t i, int place) const
  {
    if (i < n)
      choice[i] = place;
    else
      row[i - n] = place < 0 ? -1 : place - (int32_t)n;
  }
};

CU_API void
cu_travel_places(cudaStream_t s, cu_places p, int32_t *at, const int32_t *idx,
                 int own, int n_rank, void *scratch)
{
  int64_t n = p.n_row * p.top_k;

  cu_sort(s, travel_rank{idx, n, p.top_k, own, n_rank},
          travel_place{p.row, p.choice, n}, at, 2 * n, 2 * n_rank, scratch);
}

CU_API void
cu_travel_spread(cudaStream_t s, cu_places p, void *to, cu_mat from, int64_t n)
{
  cu_choices c = {NULL, p.n_row, p.top_k, p.n_row * p.top_k};

  cu_permute_fwd(s, cu_mat{to, n, from.bf16}, from, p.row, c, n);
}

CU_API void
cu_travel_gather(cudaStream_t s, cu_places p, cu_mat to, const void *from,
                 int64_t n, float beta)
{
  cu_choices c = {NULL, p.n_row, p.top_k, p.n_row * p.top_k};

  cu_permute_bwd(s, to, beta, cu_mat{(void *)from, n, to.bf16}, p.row, c, n);
}

__global__ void
travel_pack(cu_places p, cu_choice *out, const int32_t *idx, const float *w,
            int64_t ldw, int own)
{
  int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

  if (i < p.n_row * p.top_k) {
    int32_t e = idx[i] % own;

    out[p.choice[i]] =
        cu_choice{p.row[i] >= 0 ? ~e : e, w[i / p.top_k * ldw + i % p.top_k]};
  }
}

CU_API void
cu_travel_pack(cudaStream_t s, cu_places p, cu_choice *out, const int32_t *idx,
               const float *w, int64_t ldw, int own)
{
  int64_t n = p.n_row * p.top_k;

  if (n > 0)
    CU_LAUNCH(travel_pack, cu_blocks(n, THREADS), THREADS, 0, s, p, out, idx, w,
              ldw, own);
}

/* The choices that begin a row, in their order. */
struct travel_begins {
  const cu_choice *in;
  __device__ int operator()(int64_t i) const
  {
    return in[i].expert < 0 ? 0 : -1;
  }
};

struct travel_come {
  const cu_choice *in;
  int64_t n_row;
  int32_t *idx, *list;
  float *w;
  __device__ void operator()(int64_t i, int row) const
  {
    int32_t e = in[i].expert;

    idx[i] = e < 0 ? ~e : e;
    w[i] = in[i].weight;
    if (row >= 0 && row < n_row)
      list[row] = (int32_t)i;
  }
};

__global__ void
travel_end(int32_t *to, int32_t n)
{
  *to = n;
}

CU_API void
cu_travel_unpack(cudaStream_t s, const cu_choice *in, int64_t n_choice,
                 int64_t n_row, int32_t *idx, int32_t *list, float *w,
                 void *scratch)
{
  if (n_choice > 0)
    cu_sort(s, travel_begins{in}, travel_come{in, n_row, idx, list, w}, NULL,
            n_choice, 1, scratch);
  CU_LAUNCH(travel_end, 1, 1, 0, s, list + n_row, (int32_t)n_choice);
}

__global__ void
travel_weights(cu_places p, float *g, int64_t ld, const float *from, float beta)
{
  int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

  if (i < p.n_row * p.top_k) {
    float *to = g + i / p.top_k * ld + i % p.top_k;

    *to = beta == 0 ? from[p.choice[i]] : beta * *to + from[p.choice[i]];
  }
}

CU_API void
cu_travel_weights(cudaStream_t s, cu_places p, float *g, int64_t ld,
                  const float *from, float beta)
{
  int64_t n = p.n_row * p.top_k;

  if (n > 0)
    CU_LAUNCH(travel_weights, cu_blocks(n, THREADS), THREADS, 0, s, p, g, ld,
              from, beta);
}
