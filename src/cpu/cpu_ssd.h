/* cpu_ssd.h: chunk and memory of the Mamba-2 scan on the CPU (for op.c), and
 * what its forward and backward bodies share. */
#ifndef HYMN_CPU_CPU_SSD_H
#define HYMN_CPU_CPU_SSD_H

#include "cpu/cpu.h"

/* Tokens of a chunk of the scan: products inside a chunk grow with it, states
 * kept for backward shrink. Changes rounding only. */
enum { CPU_SSD_CHUNK = 64 };

/** Chunks of n_tokens: rows of save[0], the states (n_heads, d_head, d_state)
 *  that enter them. A chunk that starts with a document has none: its row is
 *  neither written nor read. */
static inline int64_t
cpu_ssd_chunks(int64_t n_tokens)
{
  return (n_tokens + CPU_SSD_CHUNK - 1) / CPU_SSD_CHUNK;
}

/** Bytes of r->scratch that the bodies want. */
size_t cpu_ssd_scratch_fwd(int64_t n_tokens, int64_t n_heads, int64_t d_head,
                           int64_t n_groups, int64_t d_state, int n_threads);
size_t cpu_ssd_scratch_bwd(int64_t n_tokens, int64_t n_heads, int64_t d_head,
                           int64_t n_groups, int64_t d_state, int n_threads);

size_t cpu_ssd_state_scratch(int64_t n_span, int64_t n_heads, int64_t d_head,
                             int64_t n_groups, int64_t d_state, int n_threads);

/* --- shared by the bodies of ssd and ssd_state --------------------------- */

/* The sizes of one call. A piece is the part of one document in one chunk:
 * products never mix documents, so that a NaN stays in its document. */
typedef struct {
  hy_rec *r;
  int64_t n_tokens, n_heads, n_groups, n_each; /* n_each: heads of a group */
  int64_t d_head, d_state, width;              /* width: n_each d_head */
  int64_t n_state;                             /* width d_state */
  const int32_t *seq_start;                    /* NULL: one document a span */
} cpu_ssd;

/* Logarithms of the decay inside a piece, one head:
 * l[t] = sum of dt a from the piece's first token to t, kept as hi + lo since
 * differences of neighbours decide the result (facts: one float is 5e-4 off
 * after 16k tokens). */
typedef struct {
  float hi[CPU_SSD_CHUNK], lo[CPU_SSD_CHUNK];
  float dt[CPU_SSD_CHUNK];
  float enter[CPU_SSD_CHUNK]; /* exp(l[t]): what is left at t of the state in */
  float leave[CPU_SSD_CHUNK]; /* exp(l[last] - l[t]) */
} cpu_ssd_logs;

cpu_ssd cpu_ssd_of(hy_rec *r);

/** Logs of head h for tokens t0 .. t0+n-1. */
void cpu_ssd_logs_get(const cpu_ssd *s, int64_t h, int64_t t0, int64_t n,
                      cpu_ssd_logs *l);

/** The first t in (t0, end) where a document starts, else end. */
static inline int64_t
cpu_ssd_piece_end(const cpu_ssd *s, int64_t t0, int64_t end)
{
  if (s->seq_start == NULL)
    return end;
  for (int64_t t = t0 + 1; t < end; t++)
    if (s->seq_start[t] == t)
      return t;
  return end;
}

/** Token t goes on with the document of t-1. */
static inline int
cpu_ssd_linked(const cpu_ssd *s, int64_t t)
{
  return t < s->n_tokens && s->seq_start[t] < t;
}

/** Runs of chunks linked by a document, the unit of parallel work.
 *  run[i] .. run[i+1] are the chunks of run i; returns their number. */
int64_t cpu_ssd_runs(const cpu_ssd *s, int64_t *run);

/** The span whose start state enters at t0, the first token of a document
 *  here: a row of in[6]. -1: none, the document starts from zero. */
int64_t cpu_ssd_start(const cpu_ssd *s, int64_t t0);

/** floats rounded up to whole cache lines. */
static inline int64_t
cpu_ssd_pad(int64_t n)
{
  return (n + 15) / 16 * 16;
}

#endif
