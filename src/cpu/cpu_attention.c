/* cpu_attention.c: causal attention inside documents on the CPU, forward.
 *
 * One tile of queries (all query heads of a key head) meets tile after tile
 * of keys: s = q k' / sqrt(d), with the running maximum m and sum z of a row
 *   m' = max(m, max s),  p = exp(s - m'),  z' = z exp(m - m') + sum p,
 *   o' = o exp(m - m') + p v,
 * and at the end out = o / z, lse = m + log z. Source: Dao et al. 2022,
 * arXiv:2205.14135, algorithm 1; Milakov and Gimelshein 2018,
 * arXiv:1805.02867. */
#include "cpu/cpu_attention.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* Scratch of one thread. */
typedef struct {
  float *q, *o; /* (rows, d) */
  float *s;     /* (rows, CPU_ATTN_KEYS) */
  float *m, *z; /* (rows) */
} attn_work;

cpu_attn
cpu_attn_of(hy_rec *r, int block)
{
  cpu_attn a = {.r = r, .block = block};

  a.n_tokens = r->in[0]->dim[0];
  a.n_keys = r->in[1]->dim[0];
  a.n_heads = r->attr.n_heads;
  a.n_kv = r->attr.n_kv_heads;
  a.n_each = a.n_heads / a.n_kv;
  a.d = hy_cols(r->in[0]) / a.n_heads;
  a.n_q = CPU_ATTN_ROWS / a.n_each > 0 ? CPU_ATTN_ROWS / a.n_each : 1;
  a.n_rows = a.n_q * a.n_each;
  a.scale = 1.0f / sqrtf((float)a.d);
  return a;
}

static int64_t
block_tiles(const cpu_attn *a, cpu_attn_tile *tile)
{
  int64_t n = 0;

  for (int64_t t = 0; t < a->n_tokens; t += a->n_q)
    tile[n++] = (cpu_attn_tile){.t0 = t,
                                .n = a->n_tokens - t < a->n_q ? a->n_tokens - t
                                                              : a->n_q,
                                .past = a->n_keys,
                                .seg = -1};
  return n;
}

int64_t
cpu_attn_tiles(const cpu_attn *a, cpu_attn_tile *tile)
{
  const hy_segments *seg = a->r->attr.seg;
  const int32_t *f = a->r->attr.seq_start;
  int64_t n = 0, n_doc = seg != NULL ? seg->n_seg : a->n_tokens, end;

  if (a->block)
    return block_tiles(a, tile);
  for (int64_t i = 0; i < n_doc; i = seg != NULL ? i + 1 : end) {
    int64_t t0 = seg != NULL ? seg->start[i] : i;
    int64_t past = seg != NULL ? seg->past[i] : t0 - f[t0];

    end = t0 + 1;
    if (seg != NULL)
      end = seg->start[i + 1];
    else
      while (end < a->n_tokens && f[end] < end)
        end++;
    for (int64_t t = t0; t < end; t += a->n_q) {
      cpu_attn_tile *k = &tile[n++];

      k->t0 = t;
      k->n = end - t < a->n_q ? end - t : a->n_q;
      k->past = past + t - t0;
      k->seg = seg != NULL ? i : -1;
    }
  }
  return n;
}

void
cpu_attn_pack(const cpu_attn *a, const cpu_attn_tile *tile, int64_t g,
              const float *t, int64_t ld, float scale, float *rows)
{
  int64_t width = a->n_each * a->d;

  for (int64_t i = 0; i < tile->n; i++) {
    const float *restrict from = t + (tile->t0 + i) * ld + g * width;
    float *restrict to = rows + i * width;

#pragma omp simd
    for (int64_t j = 0; j < width; j++)
      to[j] = scale * from[j];
  }
}

/* A float's bits as an integer that orders as the float does; its own
 * inverse. A maximum of integers vectorises, one of floats only with the
 * license to ignore NaN. */
static inline int32_t
order_bits(int32_t i)
{
  return i ^ (i >> 31 & 0x7fffffff);
}

/* The largest of m and s[0..n). */
static float
row_max(const float *s, int64_t n, float m)
{
  union {
    float f;
    int32_t i;
  } v = {m};
  int32_t k = order_bits(v.i);

#pragma omp simd reduction(max : k)
  for (int64_t u = 0; u < n; u++) {
    union {
      float f;
      int32_t i;
    } w = {s[u]};
    int32_t j = order_bits(w.i);

    k = j > k ? j : k;
  }
  v.i = order_bits(k);
  return v.f;
}

/* s = exp(s - m); returns the sum. */
static float
row_exp(float *s, int64_t n, float m)
{
  float z = 0.0f;

#pragma omp simd reduction(+ : z)
  for (int64_t u = 0; u < n; u++) {
    s[u] = cpu_exp_neg(s[u] - m);
    z += s[u];
  }
  return z;
}

/* Scores of one row to weights; the row's output so far is scaled to the new
 * maximum. */
static void
attn_row(const cpu_attn *a, const attn_work *w, int64_t row, int64_t seen,
         int64_t n, int first)
{
  float *s = w->s + row * CPU_ATTN_KEYS, *o = w->o + row * a->d;
  float m = first ? -INFINITY : w->m[row], old = m, z;

  m = row_max(s, seen, m);
  z = row_exp(s, seen, m);
  for (int64_t u = seen; u < n; u++)
    s[u] = 0.0f;
  if (first) {
    w->z[row] = z;
  } else {
    float f = cpu_exp_neg(old - m);

    w->z[row] = w->z[row] * f + z;
    if (f != 1.0f)
      for (int64_t j = 0; j < a->d; j++)
        o[j] *= f;
  }
  w->m[row] = m;
}

/* Merge d numbers o / z with maximum m into an output of log-sum-exp *lse. */
static void
merge(float *restrict to, float *lse, const float *restrict o, float m, float z,
      int64_t d)
{
  float top = m > *lse ? m : *lse, old = cpu_exp_neg(*lse - top);
  float add = cpu_exp_neg(m - top), sum = old + add * z;

  for (int64_t k = 0; k < d; k++)
    to[k] = (old * to[k] + add * o[k]) / sum;
  *lse = top + logf(sum);
}

static void
attn_tile_out(const cpu_attn *a, const attn_work *w, const cpu_attn_tile *tile,
              int64_t g)
{
  const hy_tensor *out = a->r->out[0], *lse = a->r->save[0];

  for (int64_t i = 0; i < tile->n; i++)
    for (int64_t j = 0; j < a->n_each; j++) {
      int64_t row = i * a->n_each + j, h = g * a->n_each + j;
      const float *restrict o = w->o + row * a->d;
      float *restrict to = hy_f32(out) + (tile->t0 + i) * out->ld + h * a->d;
      float f = 1.0f / w->z[row];

      if (a->block) {
        merge(to, hy_f32(lse) + (tile->t0 + i) * lse->ld + h, o, w->m[row],
              w->z[row], a->d);
        continue;
      }
      for (int64_t k = 0; k < a->d; k++)
        to[k] = f * o[k];
      if (lse != NULL)
        hy_f32(lse)[(tile->t0 + i) * lse->ld + h] = w->m[row] + logf(w->z[row]);
    }
}

/* Where key 0 of the tile's document (or cache slot) lies for key head g. */
static const float *
attn_keys(const cpu_attn *a, const cpu_attn_tile *tile, int64_t g, int which,
          int64_t *ld)
{
  const hy_tensor *t = a->r->in[1 + which], *cache = a->r->attr.state[which];

  if (tile->seg < 0) {
    *ld = t->ld;
    return hy_f32(t) + cpu_attn_first_key(a, tile) * t->ld + g * a->d;
  }
  *ld = a->n_kv * a->d;
  return hy_f32(cache) + a->r->attr.seg->slot[tile->seg] * cache->ld + g * a->d;
}

static void
attn_tile(const cpu_attn *a, const attn_work *w, const cpu_attn_tile *tile,
          int64_t g)
{
  int64_t n_keys = cpu_attn_tile_keys(a, tile), rows = tile->n * a->n_each;
  int64_t ldk, ldv;
  const float *k = attn_keys(a, tile, g, 0, &ldk);
  const float *v = attn_keys(a, tile, g, 1, &ldv);

  cpu_attn_pack(a, tile, g, hy_f32(a->r->in[0]), a->r->in[0]->ld, a->scale,
                w->q);
  for (int64_t u = 0; u < n_keys; u += CPU_ATTN_KEYS) {
    int64_t n = n_keys - u < CPU_ATTN_KEYS ? n_keys - u : CPU_ATTN_KEYS;

    cpu_gemm(0, 1, rows, n, a->d, 1.0f, w->q, a->d, k + u * ldk, ldk, 0.0f,
             w->s, CPU_ATTN_KEYS);
    for (int64_t row = 0; row < rows; row++)
      attn_row(a, w, row, cpu_attn_seen(tile, row / a->n_each, u, n), n,
               u == 0);
    cpu_gemm(0, 0, rows, a->d, n, 1.0f, w->s, CPU_ATTN_KEYS, v + u * ldv, ldv,
             u == 0 ? 0.0f : 1.0f, w->o, a->d);
  }
  attn_tile_out(a, w, tile, g);
}

/* Append the segments' keys and values to the caches. */
static void
attn_append(const cpu_attn *a, int n_threads)
{
  const hy_segments *seg = a->r->attr.seg;
  int64_t width = a->n_kv * a->d;

#pragma omp parallel for schedule(static) num_threads(n_threads)
  for (int i = 0; i < 2 * seg->n_seg; i++) {
    const hy_tensor *from = a->r->in[1 + i % 2];
    const hy_tensor *to = a->r->attr.state[i % 2];
    int64_t s = i / 2, len = seg->start[s + 1] - seg->start[s];
    float *at = hy_f32(to) + seg->slot[s] * to->ld + seg->past[s] * width;

    for (int64_t t = 0; t < len; t++)
      memcpy(at + t * width, hy_f32(from) + (seg->start[s] + t) * from->ld,
             (size_t)width * sizeof *at);
  }
}

static int64_t
attn_work_size(int64_t n_rows, int64_t d)
{
  return (n_rows * (2 * d + CPU_ATTN_KEYS + 2) + 15) / 16 * 16;
}

size_t
cpu_attention_scratch_fwd(int64_t n_tokens, int64_t n_heads, int64_t n_kv_heads,
                          int64_t d_head, int n_threads)
{
  int64_t one = attn_work_size(cpu_attn_rows(n_heads / n_kv_heads), d_head);

  return cpu_attn_list_size(n_tokens) +
         sizeof(float) * (size_t)(one * n_threads);
}

static void
forward(hy_ctx *c, hy_rec *r, int block)
{
  cpu_attn a = cpu_attn_of(r, block);
  cpu_attn_tile *tile = r->scratch;
  float *all =
      (float *)(void *)((char *)r->scratch + cpu_attn_list_size(a.n_tokens));
  int64_t n = cpu_attn_tiles(&a, tile);
  int64_t rows = cpu_attn_rows(a.n_each);

  if (r->attr.seg != NULL)
    attn_append(&a, c->n_threads);
#pragma omp parallel num_threads(c->n_threads)
  {
    attn_work w;

#ifdef _OPENMP
    w.q = all + omp_get_thread_num() * attn_work_size(rows, a.d);
#else
    w.q = all;
#endif
    w.o = w.q + rows * a.d;
    w.s = w.o + rows * a.d;
    w.m = w.s + rows * CPU_ATTN_KEYS;
    w.z = w.m + rows;
    /* the last tiles see most keys: begin with them */
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = n * a.n_kv - 1; i >= 0; i--)
      attn_tile(&a, &w, &tile[i / a.n_kv], i % a.n_kv);
  }
}

void
cpu_attention_fwd(hy_ctx *c, hy_rec *r)
{
  forward(c, r, 0);
}

void
cpu_attention_block_fwd(hy_ctx *c, hy_rec *r)
{
  forward(c, r, 1);
}
