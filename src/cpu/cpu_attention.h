/* cpu_attention.h: memory of attention on the CPU (for op.c), and what its
 * forward and backward bodies share. */
#ifndef HYMN_CPU_CPU_ATTENTION_H
#define HYMN_CPU_CPU_ATTENTION_H

#include "cpu/cpu.h"
#include "cpu/cpu_exp.h"

/** Bytes of r->scratch that the bodies want. */
size_t cpu_attention_scratch_fwd(int64_t n_tokens, int64_t n_heads,
                                 int64_t n_kv_heads, int64_t d_head,
                                 int n_threads);
size_t cpu_attention_scratch_bwd(int64_t n_tokens, int64_t n_keys,
                                 int64_t n_heads, int64_t n_kv_heads,
                                 int64_t d_head, int n_threads);

/* --- shared by cpu_attention.c and cpu_attention_bwd.c ------------------ */

enum {
  CPU_ATTN_ROWS = 256, /* queries of a tile: tokens times heads of a group */
  CPU_ATTN_KEYS = 256  /* keys of a tile */
};

/* The sizes of one call. The n_each query heads of a key head are stacked:
 * row i n_each + j of a tile is head j of its token i. */
typedef struct {
  hy_rec *r;
  int64_t n_tokens, n_keys; /* rows of q, of k and v */
  int64_t n_heads, n_kv, n_each, d;
  int block;      /* every query sees every key: attention_block */
  int64_t n_q;    /* tokens of a query tile */
  int64_t n_rows; /* n_q n_each */
  float scale;
} cpu_attn;

/* Queries of one document (or segment): tokens t0 .. t0+n-1, which have
 * `past` keys before t0; of a block, where all keys are past, any queries.
 * Tiles never mix documents, so that a NaN stays in its document. */
typedef struct {
  int64_t t0, n, past;
  int64_t seg; /* -1 without segments */
} cpu_attn_tile;

cpu_attn cpu_attn_of(hy_rec *r, int block);

/** Keys that a tile meets. */
static inline int64_t
cpu_attn_tile_keys(const cpu_attn *a, const cpu_attn_tile *tile)
{
  return tile->past + (a->block ? 0 : tile->n);
}

/** Row of its first key in k and v (without segments). */
static inline int64_t
cpu_attn_first_key(const cpu_attn *a, const cpu_attn_tile *tile)
{
  return a->block ? 0 : tile->t0 - tile->past;
}

/** Rows that the memory of a tile has. */
static inline int64_t
cpu_attn_rows(int64_t n_each)
{
  return n_each > CPU_ATTN_ROWS ? n_each : CPU_ATTN_ROWS;
}

/** The tiles of all documents or segments; returns their number, which is at
 *  most n_tokens. */
int64_t cpu_attn_tiles(const cpu_attn *a, cpu_attn_tile *tile);

/** Bytes of a list of tiles. */
static inline size_t
cpu_attn_list_size(int64_t n_tokens)
{
  return ((size_t)n_tokens * sizeof(cpu_attn_tile) + 63) / 64 * 64;
}

/** Copy head group g of the tile's rows of t (T, n_heads d), times scale, to
 *  (rows, d). */
void cpu_attn_pack(const cpu_attn *a, const cpu_attn_tile *tile, int64_t g,
                   const float *t, int64_t ld, float scale, float *rows);

/** Keys of a tile that query i sees among the n keys from key `first`. */
static inline int64_t
cpu_attn_seen(const cpu_attn_tile *tile, int64_t i, int64_t first, int64_t n)
{
  int64_t k = tile->past + i + 1 - first;

  return k < 0 ? 0 : k < n ? k : n;
}

#endif
