/* seq_aux.cu: how evenly the tokens of a document choose. A document is a run
 * of tokens with one seq_start.
 *
 * A block takes a chunk of tokens and adds up, one thread for an expert, what
 * the tokens of a document choose and score. A document that lies in the chunk
 * is done there. Of one that begins or ends elsewhere the sums are kept: of the
 * chunk's head, which belongs to a document from before, and of its tail, which
 * goes on behind. Then a block for each chunk adds to its tail the heads of the
 * chunks behind, in order. */
#include "seq_aux.h"
#include "topk.cuh"

enum { HEAD, TAIL }; /* also the two halves of the values */

/* Sums of a document: P, then counts, each (n), then tokens. */
typedef struct {
  double *value; /* (n_chunk, 2) */
  float *sums;   /* (n_chunk, 2, 2 n + 1) */
} room;

__device__ static inline float *
sums_of(const room &m, int64_t chunk, int part, int n)
{
  return m.sums + (2 * chunk + part) * (2 * n + 1);
}

/* What a thread knows of one expert in the document under way. */
typedef struct {
  float sum;
  int count, n_real;
} tally;

/* Row that has the factors of the document of token t. */
__device__ static inline int64_t
first_row(const cu_seq_aux &a, int64_t t)
{
  int64_t row = a.seq_start[t] - a.token0;

  return row > 0 ? row : 0;
}

/* The document whose first row is `row`, all of it here or cut: its factor for
 * expert e. Returns its share of the loss. */
__device__ static double
finish(const cu_seq_aux &a, tally d, int64_t row, int e, float *factor)
{
  float count = (float)d.count, n_real = (float)d.n_real, f;
  int cut = a.doc ? a.doc[row] : -1;

  if (cut >= 0) {
    count = a.all[cut * a.ld_all + e];
    n_real = a.all[cut * a.ld_all + a.n];
  }
  f = count;
  if (n_real > 0)
    f = count * (a.scale * (float)a.n / ((float)a.top_k * n_real * n_real)) /
        (float)*a.over;
  factor[row * a.n + e] = f;
  return n_real > 0 ? (double)f * (double)d.sum : 0;
}

/* Of each token of the chunk the experts with the largest scores, as bits, and
 * the sum of all scores; 0: padding. */
__device__ static void
look(const cu_seq_aux &a, const float *logit, int64_t ld, int64_t first,
     int64_t end, unsigned *bits, float *total, unsigned *key)
{
  int lane = threadIdx.x % 32, n_word = (a.n + 31) / 32;

  for (int64_t t = first + threadIdx.x / 32; t < end; t += blockDim.x / 32) {
    unsigned *mine = bits + (t - first) * n_word;
    float sum = 0;

    if (a.pad && a.pad[t]) {
      if (lane == 0)
        total[t - first] = 0;
      continue;
    }
    for (int e = lane; e < a.n; e += 32) {
      float p = topk_sigmoid(logit[t * ld + e]);

      key[e] = topk_key(p);
      sum += p;
    }
    sum = warp_sum(sum);
    if (lane == 0)
      total[t - first] = sum;
    topk_choose(key, a.n, a.top_k, lane);
    for (int i = 0; i < n_word; i++) {
      int e = 32 * i + lane;
      unsigned in = __ballot_sync(~0u, e < a.n && key[e] == TOPK_CHOSEN);

      if (lane == 0)
        mine[i] = in;
    }
  }
}

/* Where the document of the token before t ends: by chunk and token, its sums
 * are finished or kept. */
__device__ static double
flush(const cu_seq_aux &a, const room &m, tally d, int64_t first, int64_t end,
      int64_t t, int e, float *factor)
{
  int64_t row = first_row(a, t - 1);
  int before = row < first;
  int behind = t == end && t < a.n_tokens && first_row(a, t) == row;
  float *keep;

  if (!before && !behind)
    return finish(a, d, row, e, factor);
  keep = sums_of(m, first / CU_AUX_CHUNK, before ? HEAD : TAIL, a.n);
  keep[e] = d.sum;
  keep[a.n + e] = (float)d.count;
  if (e == 0)
    keep[2 * a.n] = (float)d.n_real;
  return 0;
}

/* The sums of the chunk's documents for expert e. */
__device__ static double
add_tokens(const cu_seq_aux &a, const room &m, const float *logit, int64_t ld,
           int64_t first, int64_t end, const unsigned *bits, const float *total,
           int e, float *factor)
{
  int n_word = (a.n + 31) / 32;
  int32_t doc = a.seq_start[first];
  tally d = {};
  double value = 0;

  for (int64_t t = first; t < end; t++) {
    if (a.seq_start[t] != doc) {
      value += flush(a, m, d, first, end, t, e, factor);
      d = tally{};
      doc = a.seq_start[t];
    }
    if (a.pad && a.pad[t])
      continue;
    d.n_real++;
    d.sum += topk_sigmoid(logit[t * ld + e]) / total[t - first];
    d.count += bits[(t - first) * n_word + e / 32] >> (e % 32) & 1;
  }
  return value + flush(a, m, d, first, end, end, e, factor);
}

/* The values of a block's threads, added in a fixed order by thread 0. */
__device__ static double
block_sum(double x)
{
  CU_SHARED(double, part, [32]);

  for (int d = 16; d > 0; d >>= 1)
    x += __shfl_xor_sync(~0u, x, d);
  if (threadIdx.x % 32 == 0)
    part[threadIdx.x / 32] = x;
  __syncthreads();
  for (int i = 1; threadIdx.x == 0 && i < (int)(blockDim.x / 32); i++)
    x += part[i];
  return x;
}

__global__ void
aux_chunk(cu_seq_aux a, room m, float *factor, const float *logit, int64_t ld)
{
  CU_DYN_SHARED(unsigned, shared);
  int n_word = (a.n + 31) / 32;
  unsigned *bits = shared, *key = bits + CU_AUX_CHUNK * n_word + CU_AUX_CHUNK;
  float *total = (float *)(bits + CU_AUX_CHUNK * n_word);
  int64_t first = (int64_t)blockIdx.x * CU_AUX_CHUNK;
  int64_t end = min(first + CU_AUX_CHUNK, a.n_tokens);
  double value = 0;

  look(a, logit, ld, first, end, bits, total,
       key + (int64_t)(threadIdx.x / 32) * a.n);
  __syncthreads();
  for (int e = threadIdx.x; e < a.n; e += blockDim.x)
    value += add_tokens(a, m, logit, ld, first, end, bits, total, e, factor);
  value = block_sum(value);
  if (threadIdx.x == 0)
    m.value[2 * blockIdx.x + HEAD] = value;
}

/* Chunks behind `chunk` in which the document of its last token goes on. */
__device__ static int64_t
chunks_behind(const cu_seq_aux &a, int64_t chunk)
{
  int64_t low = chunk, high = (a.n_tokens - 1) / CU_AUX_CHUNK;
  int32_t doc = a.seq_start[(chunk + 1) * CU_AUX_CHUNK - 1];

  while (low < high) { /* seq_start never goes down */
    int64_t at = (low + high + 1) / 2;

    if (a.seq_start[at * CU_AUX_CHUNK] == doc)
      low = at;
    else
      high = at - 1;
  }
  return low - chunk;
}

/* Documents that begin in this block's chunk and end behind it. */
__global__ void
aux_join(cu_seq_aux a, room m, float *factor)
{
  int64_t chunk = blockIdx.x, last = (chunk + 1) * CU_AUX_CHUNK - 1;
  int64_t row = last < a.n_tokens - 1 ? first_row(a, last) : -1;
  int64_t more = row >= chunk * CU_AUX_CHUNK ? chunks_behind(a, chunk) : 0;
  double value = 0;

  for (int e = threadIdx.x; more > 0 && e < a.n; e += blockDim.x) {
    const float *tail = sums_of(m, chunk, TAIL, a.n);
    const float *head = sums_of(m, chunk + 1, HEAD, a.n);
    int64_t step = 2 * (2 * a.n + 1);
    tally d = {tail[e], (int)tail[a.n + e], (int)tail[2 * a.n]};

#pragma unroll 4
    for (int64_t i = 0; i < more; i++, head += step) {
      d.sum += head[e];
      d.count += (int)head[a.n + e];
      d.n_real += (int)head[2 * a.n];
    }
    value += finish(a, d, row, e, factor);
  }
  value = block_sum(value);
  if (threadIdx.x == 0)
    m.value[2 * chunk + TAIL] = value;
}

__global__ void
aux_value(double *value, const double *part, int64_t n)
{
  double sum = 0;

  for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
    sum += part[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    *value += sum;
}

CU_API void
cu_seq_aux_fwd(cudaStream_t s, const cu_seq_aux *a, double *value,
               float *factor, cu_mat logit, void *scratch)
{
  cu_seq_aux p = *a;
  unsigned n_chunk = cu_blocks(p.n_tokens, CU_AUX_CHUNK);
  room m = {(double *)scratch, (float *)((double *)scratch + 2 * n_chunk)};
  size_t each = (size_t)p.n * sizeof(unsigned);
  size_t fixed =
      CU_AUX_CHUNK * ((size_t)((p.n + 31) / 32) + 1) * sizeof(unsigned);
  int n_warp = topk_warps(fixed, each);

  if (p.n_tokens == 0)
    return;
  topk_ask((const void *)aux_chunk, fixed + n_warp * each);
  CU_LAUNCH(aux_chunk, n_chunk, 32 * n_warp, fixed + n_warp * each, s, p, m,
            factor, (const float *)logit.p, logit.ld);
  CU_LAUNCH(aux_join, n_chunk, 128, 0, s, p, m, factor);
  CU_LAUNCH(aux_value, 1, 256, 0, s, value, m.value, 2 * (int64_t)n_chunk);
}

/* dL/ds[t,e] = (a[e] - sum_o a[o] P[t,o]) / sum_o s[t,o]. A warp takes a
 * token. */
__global__ void
aux_bwd(cu_seq_aux a, float *dx, int64_t ldx, float beta, const float *factor,
        const float *logit, int64_t ld)
{
  int lane = threadIdx.x % 32, real;
  int64_t t = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32;
  float sum = 0, dot = 0;

  if (t >= a.n_tokens)
    return;
  real = !(a.pad && a.pad[t]);
  dx += t * ldx;
  logit += t * ld;
  factor += first_row(a, t) * a.n;
  for (int e = lane; real && e < a.n; e += 32) {
    float p = topk_sigmoid(logit[e]);

    sum += p;
    dot += factor[e] * p;
  }
  sum = warp_sum(sum);
  dot = warp_sum(dot);
  for (int e = lane; e < a.n; e += 32) {
    float was = beta == 0 ? 0 : beta * dx[e], p;

    if (real) {
      p = topk_sigmoid(logit[e]);
      was += (factor[e] - dot / sum) / sum * p * (1 - p);
    }
    dx[e] = was;
  }
}

CU_API void
cu_seq_aux_bwd(cudaStream_t s, const cu_seq_aux *a, cu_mat dx, float beta,
               const float *factor, cu_mat logit)
{
  cu_seq_aux p = *a;

  if (p.n_tokens > 0)
    CU_LAUNCH(aux_bwd, cu_blocks(p.n_tokens, 8), 256, 0, s, p, (float *)dx.p,
              dx.ld, beta, factor, (const float *)logit.p, logit.ld);
}
