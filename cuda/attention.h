/* attention.h: softmax attention of grouped heads, forward and backward; what
 * is computed is in src/op/op.h (hy_attention). Query head h has the key head
 * h / (n_heads / n_kv), scores are scaled by 1 / sqrt(d). */
#ifndef HYMN_CUDA_ATTENTION_H
#define HYMN_CUDA_ATTENTION_H

#include "cu.h"

/* Sequences in a cache (hy_segments of op/tape.h); arrays on the device. */
typedef struct {
  int n; /* 0: there are none */
  const int64_t *start;
  const int32_t *slot;
  const int64_t *past;
  int64_t step[2]; /* elements from one slot to the next, of keys and values */
} cu_attn_seg;

typedef struct {
  cu_mat q;    /* (n_tokens, n_heads d) */
  cu_mat k, v; /* (n_keys, n_kv d); with segments slot 0 of the caches */
  cu_mat out;  /* as q */
  cu_mat lse;  /* (n_tokens, n_heads), fp32; p NULL: not wanted */
  int64_t n_tokens, n_keys;
  int n_heads, n_kv, d;
  const int32_t *start; /* (n_tokens): t sees start[t] .. t; NULL: all keys */
  cu_attn_seg seg;
} cu_attn;

/* Gradients; of q, k and v: p NULL is not wanted, and grad = beta grad + what
 * is new. */
typedef struct {
  cu_mat dout; /* as out */
  cu_mat dq, dk, dv;
  float beta[3];
  float *scratch; /* as many as cu_attn_scratch says */
} cu_attn_grad;

/** out and lse of the queries over the keys that they see (with segments: those
 *  in their slot, the new ones included). */
CU_API void cu_attention_fwd(cudaStream_t s, cu_attn a);

/** Append rows of n_kv d numbers to the cache of the keys (which 0) or values
 *  (which 1). */
CU_API void cu_attention_append(cudaStream_t s, cu_attn a, int which,
                                cu_mat rows);

/** Every query meets every key; what it finds is merged into out and lse. */
CU_API void cu_attention_block_fwd(cudaStream_t s, cu_attn a);

/** Of both: start tells which. out and lse are those of all keys. */
CU_API void cu_attention_bwd(cudaStream_t s, cu_attn a, cu_attn_grad g);

#endif
