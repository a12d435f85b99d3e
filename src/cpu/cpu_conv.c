/* cpu_conv.c: causal depthwise convolution on the CPU.
 *
 * y[t,i] = b[i] + sum_j w[i,n-1-j] x[t-j,i] over the taps j whose token is in
 * t's document. Tokens at the begin of a span (a part of a row that cp cut)
 * find those before in the halo. Work is split by blocks of channels, so that
 * the sums over tokens of the weights' gradients belong to one thread. */
#include "cpu/cpu.h"
#include "base/err.h"

enum { CONV_BLOCK = 512, CONV_TAPS = 8 };

/* w[j]: weights of the token j before, for one block of channels. */
typedef struct {
  int64_t n, n_taps; /* channels in the block */
  float w[CONV_TAPS][CONV_BLOCK], b[CONV_BLOCK];
} conv_block;

/* Channels of a block: at most CONV_BLOCK, so that its sums stay in the cache,
 * not fewer than needed, since long rows are read faster (256 is a quarter
 * slower than 512), and an even number of blocks. */
static int64_t
conv_width(const hy_rec *r)
{
  int64_t n = (hy_cols(r->in[0]) + CONV_BLOCK - 1) / CONV_BLOCK;

  if (hy_cols(r->in[1]) > CONV_TAPS)
    hy_die(HY_EBUG, "conv1d: %lld taps, at most %d",
           (long long)hy_cols(r->in[1]), CONV_TAPS);
  n += n > 1 ? n % 2 : 0;
  return ((hy_cols(r->in[0]) + n - 1) / n + 15) / 16 * 16;
}

static void
conv_block_get(const hy_rec *r, int64_t first, conv_block *k)
{
  int64_t left = hy_cols(r->in[0]) - first, n_taps = hy_cols(r->in[1]);
  int64_t width = conv_width(r);
  const float *w = hy_f32(r->in[1]);

  k->n = left < width ? left : width;
  k->n_taps = n_taps;
  for (int64_t i = 0; i < k->n; i++) {
    k->b[i] = hy_f32(r->in[2])[first + i];
    for (int64_t j = 0; j < n_taps; j++)
      k->w[j][i] = w[(first + i) * r->in[1]->ld + n_taps - 1 - j];
  }
}

/* y = b + sum of w[j] src[j] over the n tokens src[0] (itself), src[1], ... */
static void
conv_row(const conv_block *k, int64_t n, const float *const *src,
         float *restrict y)
{
  if (n == 4) { /* the usual four taps in one pass */
    const float *restrict x0 = src[0], *restrict x1 = src[1];
    const float *restrict x2 = src[2], *restrict x3 = src[3];

#pragma omp simd
    for (int64_t i = 0; i < k->n; i++)
      y[i] = k->b[i] + k->w[0][i] * x0[i] + k->w[1][i] * x1[i] +
             k->w[2][i] * x2[i] + k->w[3][i] * x3[i];
    return;
  }
  for (int64_t i = 0; i < k->n; i++)
    y[i] = k->b[i];
  for (int64_t j = 0; j < n; j++) {
    const float *restrict x = src[j];

#pragma omp simd
    for (int64_t i = 0; i < k->n; i++)
      y[i] += k->w[j][i] * x[i];
  }
}

static void
conv_docs(const hy_rec *r, const conv_block *k, int64_t first)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];

  for (int64_t t = 0; t < x->dim[0]; t++) {
    const float *src[CONV_TAPS];
    int64_t n = t - r->attr.seq_start[t] + 1;

    n = n < k->n_taps ? n : k->n_taps;
    for (int64_t j = 0; j < n; j++)
      src[j] = hy_f32(x) + (t - j) * x->ld + first;
    conv_row(k, n, src, hy_f32(y) + t * y->ld + first);
  }
}

/* Rows of the halo that the document at the begin of span i sees. */
static int64_t
conv_seen(const hy_rec *r, const conv_block *k, int64_t i)
{
  int64_t before = r->attr.span[i].before;

  return before < k->n_taps - 1 ? before : k->n_taps - 1;
}

/* The first tokens of span i once more, now with the inputs before them. */
static void
conv_head(const hy_rec *r, const conv_block *k, int64_t first, int64_t i)
{
  const hy_tensor *x = r->in[0], *y = r->out[0], *halo = r->in[3];
  int64_t at = r->attr.span[i].at, past = k->n_taps - 1;
  int64_t seen = conv_seen(r, k, i);
  const float *own = hy_f32(x) + at * x->ld + first;
  const float *before = hy_f32(halo) + (i + 1) * past * halo->ld + first;

  for (int64_t t = 0; seen > 0 && t < past && t < r->attr.span[i].n; t++) {
    const float *src[CONV_TAPS];
    int64_t n = 0;

    if (r->attr.seq_start[at + t] != at)
      return;
    for (; n < k->n_taps && n - t <= seen; n++)
      src[n] = n <= t ? own + (t - n) * x->ld : before - (n - t) * halo->ld;
    conv_row(k, n, src, hy_f32(y) + (at + t) * y->ld + first);
  }
}

/* One segment: the cache holds the n_taps-1 inputs before it, oldest first,
 * and afterwards its own last ones. */
static void
conv_segment(const hy_rec *r, const conv_block *k, int64_t first, int64_t s)
{
  const hy_tensor *x = r->in[0], *y = r->out[0], *cache = r->attr.state[0];
  int64_t t0 = r->attr.seg->start[s], len = r->attr.seg->start[s + 1] - t0;
  int64_t width = hy_cols(x), past = k->n_taps - 1;
  float *taps = hy_f32(cache) + r->attr.seg->slot[s] * cache->ld + first;

  for (int64_t i = 0; i < len; i++) {
    const float *src[CONV_TAPS];

    for (int64_t j = 0; j < k->n_taps; j++)
      src[j] = j <= i ? hy_f32(x) + (t0 + i - j) * x->ld + first
                      : taps + (past + i - j) * width;
    conv_row(k, k->n_taps, src, hy_f32(y) + (t0 + i) * y->ld + first);
  }
  for (int64_t j = 0; j < past; j++) { /* row j takes input len - past + j */
    int64_t i = len - past + j;
    const float *from = i >= 0 ? hy_f32(x) + (t0 + i) * x->ld + first
                               : taps + (len + j) * width;

    if (len > 0)
      memcpy(taps + j * width, from, (size_t)k->n * sizeof *from);
  }
}

void
cpu_conv1d_fwd(hy_ctx *c, hy_rec *r)
{
  int64_t n = hy_cols(r->in[0]), width = conv_width(r);

#pragma omp parallel for schedule(dynamic, 1) num_threads(c->n_threads)
  for (int64_t first = 0; first < n; first += width) {
    conv_block k;

    conv_block_get(r, first, &k);
    if (r->attr.seg == NULL)
      conv_docs(r, &k, first);
    if (r->n_in > 3)
      for (int64_t i = 0; i < r->attr.n_span; i++)
        conv_head(r, &k, first, i);
    if (r->attr.seg != NULL)
      for (int64_t s = 0; s < r->attr.seg->n_seg; s++)
        conv_segment(r, &k, first, s);
  }
}

/* Sums over tokens for the gradients of w and b of one block: `part` over at
 * most CONV_ROWS tokens in float, `all` in double. */
enum { CONV_ROWS = 128 };

typedef struct {
  float w[CONV_TAPS][CONV_BLOCK], b[CONV_BLOCK];
} conv_part;

typedef struct {
  conv_part part;
  double w[CONV_TAPS][CONV_BLOCK], b[CONV_BLOCK];
} conv_sums;

/* Adds `part` to the rest and clears it. */
static void
conv_sums_flush(const conv_block *k, conv_sums *s)
{
  for (int64_t j = 0; j < k->n_taps; j++)
    for (int64_t i = 0; i < k->n; i++) {
      s->w[j][i] += (double)s->part.w[j][i];
      s->part.w[j][i] = 0.0f;
    }
  for (int64_t i = 0; i < k->n; i++) {
    s->b[i] += (double)s->part.b[i];
    s->part.b[i] = 0.0f;
  }
}

/* Token u, whose n next tokens dy[0] (its own), dy[1], ... took x:
 *   dx = beta dx + sum_j w[j] dy[j],  dw[j] += dy[j] x,  db += dy[0].
 * dx may be NULL. */
static void
conv_row_bwd(const conv_block *k, int64_t n, const float *restrict x,
             const float *const *dy, float beta, float *restrict dx,
             conv_part *restrict s)
{
  for (int64_t j = 0; j < n; j++) {
    const float *restrict d = dy[j];

#pragma omp simd
    for (int64_t i = 0; i < k->n; i++)
      s->w[j][i] += d[i] * x[i];
    if (dx == NULL)
      continue;
    if (j == 0 && beta == 0.0f)
      for (int64_t i = 0; i < k->n; i++)
        dx[i] = k->w[0][i] * d[i];
    else
      for (int64_t i = 0; i < k->n; i++)
        dx[i] += k->w[j][i] * d[i];
  }
  for (int64_t i = 0; i < k->n; i++)
    s->b[i] += dy[0][i];
}

/* The same for four taps, in one pass. */
static void
conv_row_bwd4(const conv_block *k, const float *restrict x,
              const float *const *dy, float beta, float *restrict dx,
              conv_part *restrict s)
{
  const float *restrict d0 = dy[0], *restrict d1 = dy[1];
  const float *restrict d2 = dy[2], *restrict d3 = dy[3];

#pragma omp simd
  for (int64_t i = 0; i < k->n; i++) {
    float v = k->w[0][i] * d0[i] + k->w[1][i] * d1[i] + k->w[2][i] * d2[i] +
              k->w[3][i] * d3[i];

    dx[i] = beta == 0.0f ? v : dx[i] + v;
    s->w[0][i] += d0[i] * x[i];
    s->w[1][i] += d1[i] * x[i];
    s->w[2][i] += d2[i] * x[i];
    s->w[3][i] += d3[i] * x[i];
    s->b[i] += d0[i];
  }
}

static void
conv_docs_bwd(const hy_rec *r, const conv_block *k, int64_t first, conv_sums *s)
{
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n_tokens = x->dim[0];

  for (int64_t u = 0; u < n_tokens; u++) {
    const float *dy[CONV_TAPS], *xu = hy_f32(x) + u * x->ld + first;
    float *dx = x->grad != NULL ? x->grad + u * x->ld + first : NULL;
    int64_t n = 0;

    while (n < k->n_taps && u + n < n_tokens && r->attr.seq_start[u + n] <= u) {
      dy[n] = y->grad + (u + n) * y->ld + first;
      n++;
    }
    if (n == 4 && dx != NULL)
      conv_row_bwd4(k, xu, dy, r->beta[0], dx, &s->part);
    else
      conv_row_bwd(k, n, xu, dy, r->beta[0], dx, &s->part);
    if (u % CONV_ROWS == CONV_ROWS - 1)
      conv_sums_flush(k, s);
  }
  conv_sums_flush(k, s);
}

/* The halo's part in the first tokens of span i. */
static void
conv_head_bwd(const hy_rec *r, const conv_block *k, int64_t first, int64_t i,
              conv_sums *s)
{
  const hy_tensor *y = r->out[0], *halo = r->in[3];
  int64_t at = r->attr.span[i].at, past = k->n_taps - 1;
  int64_t seen = conv_seen(r, k, i);

  for (int64_t back = 1; back <= past; back++) { /* token at - back */
    int64_t row = ((i + 1) * past - back) * halo->ld + first;
    const float *restrict x = hy_f32(halo) + row;
    float *restrict dx = halo->grad != NULL ? halo->grad + row : NULL;

    if (dx != NULL && r->beta[3] == 0.0f)
      memset(dx, 0, (size_t)k->n * sizeof *dx);
    for (int64_t t = 0; back <= seen && t + back <= past; t++) {
      const float *restrict dy = y->grad + (at + t) * y->ld + first;
      const float *restrict w = k->w[t + back];
      float *restrict dw = s->part.w[t + back];

      if (t >= r->attr.span[i].n || r->attr.seq_start[at + t] != at)
        break;
      for (int64_t j = 0; j < k->n; j++)
        dw[j] += dy[j] * x[j];
      for (int64_t j = 0; dx != NULL && j < k->n; j++)
        dx[j] += w[j] * dy[j];
    }
  }
  conv_sums_flush(k, s);
}

static void
conv_put(const hy_rec *r, const conv_block *k, int64_t first,
         const conv_sums *s)
{
  const hy_tensor *w = r->in[1], *b = r->in[2];

  for (int64_t i = 0; i < k->n; i++) {
    for (int64_t j = 0; w->grad != NULL && j < k->n_taps; j++) {
      float *to = w->grad + (first + i) * w->ld + k->n_taps - 1 - j;

      *to = (float)s->w[j][i] + (r->beta[1] == 0.0f ? 0.0f : *to);
    }
    if (b->grad != NULL)
      b->grad[first + i] =
          (float)s->b[i] + (r->beta[2] == 0.0f ? 0.0f : b->grad[first + i]);
  }
}

void
cpu_conv1d_bwd(hy_ctx *c, hy_rec *r)
{
  int64_t n = hy_cols(r->in[0]), width = conv_width(r);

#pragma omp parallel for schedule(dynamic, 1) num_threads(c->n_threads)
  for (int64_t first = 0; first < n; first += width) {
    conv_sums s;
    conv_block k;

    memset(&s, 0, sizeof s);
    conv_block_get(r, first, &k);
    conv_docs_bwd(r, &k, first, &s);
    if (r->n_in > 3)
      for (int64_t i = 0; i < r->attr.n_span; i++)
        conv_head_bwd(r, &k, first, i, &s);
    conv_put(r, &k, first, &s);
  }
}
