/* cpu_attention.h: memory of attention on the CPU (for op.c), and what its
 * forward and backward bodies share. */
#ifndef HYMN_CPU_CPU_ATTENTION_H
#define HYMN_CPU_CPU_ATTENTION_H

#include "cpu/cpu.h"

/** Bytes of r->scratch that the bodies want. */
size_t cpu_attention_scratch_fwd(int64_t n_tokens, int64_t n_heads,
                                 int64_t n_kv_heads, int64_t d_head,
                                 int n_threads);
size_t cpu_attention_scratch_bwd(int64_t n_tokens, int64_t n_heads,
                                 int64_t n_kv_heads, int64_t d_head,
                                 int n_threads);

#endif
