/* cpu_attention_bwd.c: causal attention inside documents on the CPU,
 * backward.
 *
 * With delta = dout . out of a row, tile by tile:
 *   p = exp(s - lse),  dp = dout v',  ds = p (dp - delta)
 *   dq += ds k / sqrt(d),  dk += ds' q / sqrt(d),  dv += p' dout,
 * the last two summed over the query heads of a key head. Query tiles are
 * dealt out to a fixed number of parts; each part has its own dk and dv, and
 * these are summed in the order of the parts. Source: Dao et al. 2022,
 * arXiv:2205.14135, algorithm 4. */
#include "cpu/cpu_attention.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* Scratch of one thread. */
typedef struct {
  float *q, *dout, *dq; /* (rows, d); q holds q / sqrt(d) */
  float *p, *ds;        /* (rows, CPU_ATTN_KEYS) */
  float *lse, *delta;   /* (rows) */
} bwd_work;

enum { BWD_UNITS = 8 };

/* Parts of a key head's query tiles: enough units of work for BWD_UNITS
 * threads, whatever their number is. */
static int64_t
bwd_n_parts(int64_t n_kv)
{
  return n_kv < BWD_UNITS ? (BWD_UNITS + n_kv - 1) / n_kv : 1;
}

static void
bwd_begin(const cpu_attn *a, const bwd_work *w, const cpu_attn_tile *tile,
          int64_t g)
{
  const hy_tensor *q = a->r->in[0], *out = a->r->out[0];
  const hy_tensor *lse = a->r->save[0];

  cpu_attn_pack(a, tile, g, hy_f32(q), q->ld, a->scale, w->q);
  cpu_attn_pack(a, tile, g, out->grad, out->ld, 1.0f, w->dout);
  for (int64_t row = 0; row < tile->n * a->n_each; row++) {
    int64_t t = tile->t0 + row / a->n_each;
    int64_t h = g * a->n_each + row % a->n_each;
    const float *o = hy_f32(out) + t * out->ld + h * a->d;
    const float *dout = w->dout + row * a->d;
    float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < a->d; j++)
      sum += o[j] * dout[j];
    w->delta[row] = sum;
    w->lse[row] = hy_f32(lse)[t * lse->ld + h];
  }
}

/* p and ds of one row from the scores and dp. */
static void
bwd_row(const bwd_work *w, int64_t row, int64_t seen, int64_t n)
{
  float *restrict p = w->p + row * CPU_ATTN_KEYS;
  float *restrict ds = w->ds + row * CPU_ATTN_KEYS;
  float lse = w->lse[row], delta = w->delta[row];

#pragma omp simd
  for (int64_t u = 0; u < seen; u++) {
    p[u] = cpu_exp_neg(p[u] - lse);
    ds[u] = p[u] * (ds[u] - delta);
  }
  for (int64_t u = seen; u < n; u++)
    p[u] = ds[u] = 0.0f;
}

/* One tile of queries: dq, and its share of dk and dv (rows of d floats,
 * NULL: not wanted). */
static void
bwd_tile(const cpu_attn *a, const bwd_work *w, const cpu_attn_tile *tile,
         int64_t g, float *dk, float *dv)
{
  const hy_tensor *k = a->r->in[1], *v = a->r->in[2];
  int64_t n_keys = cpu_attn_tile_keys(a, tile), rows = tile->n * a->n_each;
  int64_t t0 = cpu_attn_first_key(a, tile), d = a->d;

  bwd_begin(a, w, tile, g);
  for (int64_t u = 0; u < n_keys; u += CPU_ATTN_KEYS) {
    int64_t n = n_keys - u < CPU_ATTN_KEYS ? n_keys - u : CPU_ATTN_KEYS;
    const float *ku = hy_f32(k) + (t0 + u) * k->ld + g * d;
    const float *vu = hy_f32(v) + (t0 + u) * v->ld + g * d;

    cpu_gemm(0, 1, rows, n, d, 1.0f, w->q, d, ku, k->ld, 0.0f, w->p,
             CPU_ATTN_KEYS);
    cpu_gemm(0, 1, rows, n, d, 1.0f, w->dout, d, vu, v->ld, 0.0f, w->ds,
             CPU_ATTN_KEYS);
    for (int64_t row = 0; row < rows; row++)
      bwd_row(w, row, cpu_attn_seen(tile, row / a->n_each, u, n), n);
    if (dv != NULL)
      cpu_gemm(1, 0, n, d, rows, 1.0f, w->p, CPU_ATTN_KEYS, w->dout, d, 1.0f,
               dv + (t0 + u) * d, d);
    if (dk != NULL)
      cpu_gemm(1, 0, n, d, rows, 1.0f, w->ds, CPU_ATTN_KEYS, w->q, d, 1.0f,
               dk + (t0 + u) * d, d);
    if (a->r->in[0]->grad != NULL)
      cpu_gemm(0, 0, rows, d, n, a->scale, w->ds, CPU_ATTN_KEYS, ku, k->ld,
               u == 0 ? 0.0f : 1.0f, w->dq, d);
  }
}

static void
bwd_put_q(const cpu_attn *a, const bwd_work *w, const cpu_attn_tile *tile,
          int64_t g)
{
  const hy_tensor *q = a->r->in[0];
  int64_t width = a->n_each * a->d;

  for (int64_t i = 0; q->grad != NULL && i < tile->n; i++) {
    float *restrict to = q->grad + (tile->t0 + i) * q->ld + g * width;
    const float *restrict from = w->dq + i * width;

    if (a->r->beta[0] == 0.0f)
      memcpy(to, from, (size_t)width * sizeof *to);
    else
      for (int64_t j = 0; j < width; j++)
        to[j] += from[j];
  }
}

/* grad = beta grad + sum over parts, for row t of key head g. Part i of key
 * head g begins at part + (i n_kv + g) n_keys d. */
static void
bwd_put_kv(const cpu_attn *a, int which, const float *part, int64_t g,
           int64_t t)
{
  const hy_tensor *to = a->r->in[which];
  float *restrict out = to->grad + t * to->ld + g * a->d;
  int64_t n_parts = bwd_n_parts(a->n_kv);

  if (a->r->beta[which] == 0.0f)
    for (int64_t j = 0; j < a->d; j++)
      out[j] = 0.0f;
  for (int64_t i = 0; i < n_parts; i++) {
    const float *restrict from =
        part + ((i * a->n_kv + g) * a->n_keys + t) * a->d;

    for (int64_t j = 0; j < a->d; j++)
      out[j] += from[j];
  }
}

static int64_t
bwd_work_size(int64_t rows, int64_t d)
{
  return (rows * (3 * d + 2 * CPU_ATTN_KEYS + 2) + 15) / 16 * 16;
}

/* Floats of all parts of dk (or dv). */
static int64_t
bwd_part_size(int64_t n_keys, int64_t n_kv, int64_t d)
{
  return (bwd_n_parts(n_kv) * n_kv * n_keys * d + 15) / 16 * 16;
}

size_t
cpu_attention_scratch_bwd(int64_t n_tokens, int64_t n_keys, int64_t n_heads,
                          int64_t n_kv_heads, int64_t d_head, int n_threads)
{
  int64_t one = bwd_work_size(cpu_attn_rows(n_heads / n_kv_heads), d_head);

  return cpu_attn_list_size(n_tokens) +
         sizeof(float) *
             (size_t)(2 * bwd_part_size(n_keys, n_kv_heads, d_head) +
                      one * n_threads);
}

static bwd_work
bwd_work_at(const cpu_attn *a, float *at)
{
  int64_t rows = cpu_attn_rows(a->n_each);
  bwd_work w;

  w.q = at;
  w.dout = w.q + rows * a->d;
  w.dq = w.dout + rows * a->d;
  w.p = w.dq + rows * a->d;
  w.ds = w.p + rows * CPU_ATTN_KEYS;
  w.lse = w.ds + rows * CPU_ATTN_KEYS;
  w.delta = w.lse + rows;
  return w;
}

/* Part i of key head g: the tiles i, i + n_parts, ... */
static void
bwd_part(const cpu_attn *a, const bwd_work *w, const cpu_attn_tile *tile,
         int64_t n_tiles, int64_t i, int64_t g, float *dk, float *dv)
{
  size_t bytes = (size_t)(a->n_keys * a->d) * sizeof *dk;

  memset(dk, 0, bytes);
  memset(dv, 0, bytes);
  for (; i < n_tiles; i += bwd_n_parts(a->n_kv)) {
    bwd_tile(a, w, &tile[i], g, a->r->in[1]->grad != NULL ? dk : NULL,
             a->r->in[2]->grad != NULL ? dv : NULL);
    bwd_put_q(a, w, &tile[i], g);
  }
}

static void
backward(hy_ctx *c, hy_rec *r, int block)
{
  cpu_attn a = cpu_attn_of(r, block);
  cpu_attn_tile *tile = r->scratch;
  float *dk =
      (float *)(void *)((char *)r->scratch + cpu_attn_list_size(a.n_tokens));
  float *dv = dk + bwd_part_size(a.n_keys, a.n_kv, a.d);
  float *all = dv + bwd_part_size(a.n_keys, a.n_kv, a.d);
  int64_t n = cpu_attn_tiles(&a, tile), n_parts = bwd_n_parts(a.n_kv);
  int64_t one = bwd_work_size(cpu_attn_rows(a.n_each), a.d);

#pragma omp parallel num_threads(c->n_threads)
  {
    bwd_work w;
    int64_t id = 0;

#ifdef _OPENMP
    id = omp_get_thread_num();
#endif
    w = bwd_work_at(&a, all + id * one);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < n_parts * a.n_kv; i++) {
      int64_t at = i * a.n_keys * a.d;

      bwd_part(&a, &w, tile, n, i / a.n_kv, i % a.n_kv, dk + at, dv + at);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < a.n_keys * a.n_kv; i++) {
      if (r->in[1]->grad != NULL)
        bwd_put_kv(&a, 1, dk, i % a.n_kv, i / a.n_kv);
      if (r->in[2]->grad != NULL)
        bwd_put_kv(&a, 2, dv, i % a.n_kv, i / a.n_kv);
    }
  }
}

void
cpu_attention_bwd(hy_ctx *c, hy_rec *r)
{
  backward(c, r, 0);
}

void
cpu_attention_block_bwd(hy_ctx *c, hy_rec *r)
{
  backward(c, r, 1);
}
