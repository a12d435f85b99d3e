/* cpu_ssd.h: chunk and memory of the Mamba-2 scan on the CPU (for op.c), and
 * what its forward and backward bodies share. */
#ifndef HYMN_CPU_CPU_SSD_H
#define HYMN_CPU_CPU_SSD_H

#include "cpu/cpu.h"

/* Tokens of a chunk. The products inside a chunk cost 2 chunk d_head FLOPs a
 * token and head, those with the state 4 d_head d_state: 64 is the measured
 * best for d_head 64, d_state 64 and 128 (doc: 128 is slower by a fifth). */
#define HY_SSD_CHUNK 64

/** Chunks of n_tokens: rows of save[0], the states (n_heads, d_head, d_state)
 *  that enter them. */
static inline int64_t
cpu_ssd_chunks(int64_t n_tokens)
{
  return (n_tokens + HY_SSD_CHUNK - 1) / HY_SSD_CHUNK;
}

/** Bytes of r->scratch that the bodies want. */
size_t cpu_ssd_scratch_fwd(int64_t n_tokens, int64_t n_heads, int64_t d_head,
                           int64_t n_groups, int64_t d_state, int n_threads);
size_t cpu_ssd_scratch_bwd(int64_t n_tokens, int64_t n_heads, int64_t d_head,
                           int64_t n_groups, int64_t d_state, int n_threads);

#endif
