/* sizes.h: lengths that kernels and the plans of memory agree on. */
#ifndef HYMN_CUDA_SIZES_H
#define HYMN_CUDA_SIZES_H

#include <stddef.h>
#include <stdint.h>

/* Tokens of a chunk of the scan. */
enum { CU_SSD_CHUNK = 128 };

/* Attention: its widest head; and of its backward, how many query heads a block
 * sums up, so how many parts the `each` query heads of a key head make, and the
 * floats of scratch: two of each query and head, then the parts. */
enum { CU_ATTN_MAX_D = 512, CU_ATTN_SUM = 4 };

static inline int
cu_attn_parts(int each)
{
  int n = CU_ATTN_SUM;

  while (each % n != 0)
    n--;
  return each / n;
}

static inline long long
cu_attn_scratch(long long n_tokens, long long n_keys, int n_heads, int n_kv,
                int d)
{
  int parts = cu_attn_parts(n_heads / n_kv);

  return 2 * n_tokens * n_heads +
         (parts > 1 ? 2 * parts * n_keys * n_kv * d : 0);
}

/* Tokens that one thread of the convolution's backward pass takes: few partial
 * sums, but threads enough to fill a GPU. */
static inline int64_t
cu_conv1d_run(int64_t n_tokens, int64_t channels)
{
  int64_t run = 128;

  while (run > 16 && n_tokens / run * (channels / 8 + 1) < 32768)
    run /= 2;
  return run;
}

/* Floats of the partial sums for the gradients of taps and biases: a row for
 * each run of tokens, then one for each span. */
static inline int64_t
cu_conv1d_parts(int64_t n_tokens, int64_t channels, int n_taps, int64_t n_span)
{
  int64_t run = cu_conv1d_run(n_tokens, channels);

  return ((n_tokens + run - 1) / run + n_span) * (n_taps + 1) * channels;
}

/* Choices that a warp sorts by expert, one after another (permute.cu); the sort
 * keeps a row of counters for each such unit, and their sums. */
enum { CU_SORT_UNIT = 256 };
static inline size_t
cu_sort_bytes(int64_t n_choice, int64_t n_experts)
{
  int64_t n_unit = (n_choice + CU_SORT_UNIT - 1) / CU_SORT_UNIT;

  return (size_t)(n_experts * (n_unit + 1)) * sizeof(int32_t);
}

/* Tokens of a chunk of the balance loss (seq_aux.cu); of each two values and
 * the sums of two documents. */
enum { CU_AUX_CHUNK = 64 };
static inline size_t
cu_seq_aux_bytes(int64_t n_tokens, int64_t n)
{
  int64_t n_chunk = (n_tokens + CU_AUX_CHUNK - 1) / CU_AUX_CHUNK;

  return (size_t)n_chunk *
         (2 * sizeof(double) + 2 * (size_t)(2 * n + 1) * sizeof(float));
}

/* Gradients that sum over rows: enough partial sums to give each of 132
 * multiprocessors two blocks, where each part is the work of `blocks`. */
enum { CU_SUM_BLOCKS = 264 };
static inline int
cu_sum_parts(int64_t rows, int64_t blocks)
{
  int64_t n = blocks < CU_SUM_BLOCKS ? CU_SUM_BLOCKS / blocks : 1;

  return (int)(rows < n ? rows : n);
}

/* Tokens that a block of the embedding's backward adds up. */
enum { CU_EMBED_PIECE = 32 };

/* Numbers in front of its sums: four lists of the tokens, rounded up to whole
 * 64 bytes. */
static inline int64_t
cu_embed_lists(int64_t n_tokens)
{
  return (4 * n_tokens + 15) / 16 * 16;
}

/* Parts of an fp32 factor beside a bf16 one, see linear.h. */
enum { CU_PARTS = 4 };

/* Bytes that the library of products may use while it works. */
enum { CU_BLAS_ROOM = 32 << 20 };

/* Floats of the logarithms of decays of the scan. */
static inline int64_t
cu_ssd_logs_size(int64_t n_tokens, int64_t n_heads)
{
  return 3 * n_heads * ((n_tokens + CU_SSD_CHUNK - 1) / CU_SSD_CHUNK) *
         CU_SSD_CHUNK;
}

/* Sums by row and head that the scan's backward pass on tensor cores keeps. */
enum { CU_SSD_SUMS = 5 };

/* Floats of what the scan's backward pass keeps of n chunks: the gradients of
 * c b', or on tensor cores, where these stay in registers, sums by row. */
static inline int64_t
cu_ssd_inside_size(int64_t n, int64_t n_heads, int64_t n_groups)
{
  int64_t plain = n_groups * CU_SSD_CHUNK * CU_SSD_CHUNK;
  int64_t sums = n_heads * CU_SSD_SUMS * CU_SSD_CHUNK;

  return n * (plain > sums ? plain : sums);
}

/* Bytes of the scan's backward pass beside the logarithms: sums by chunk and
 * head, the above, and the gradients of the states that leave chunks, in `size`
 * bytes each. */
static inline size_t
cu_ssd_bwd_size(int64_t n_tokens, int64_t n_heads, int64_t n_groups,
                int64_t n_state, size_t size)
{
  int64_t n = (n_tokens + CU_SSD_CHUNK - 1) / CU_SSD_CHUNK;

  return (size_t)(2 * n * n_heads) * sizeof(double) +
         (size_t)cu_ssd_inside_size(n, n_heads, n_groups) * sizeof(float) +
         (size_t)(n * n_state) * size;
}

#endif
