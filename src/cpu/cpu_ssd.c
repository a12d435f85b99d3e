/* cpu_ssd.c: Mamba-2 scan on the CPU, forward.
 *
 * In a piece (the part of one document inside one chunk) with the state s at
 * its left border, for one head:
 *   l[t]  = sum of dt a up to t,  m[t,u] = exp(l[t] - l[u]) for u <= t
 *   y[t]  = sum_u (c[t] . b[u]) m[t,u] dt[u] x[u] + exp(l[t]) s c[t] + d x[t]
 *   s'    = exp(l[last]) s + sum_u exp(l[last] - l[u]) dt[u] x[u] b[u]'
 * c b' is one product for all heads of a group, and so are the two products
 * with the states. Source: Dao and Gu 2024, arXiv:2405.21060, section 6. */
#include "cpu/cpu_ssd.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { START = 6 }; /* input: the states before each span, if any */

/* Scratch of one thread. */
typedef struct {
  float *cb; /* (chunk, chunk): c b' */
  float *m;  /* (chunk, chunk): one head's weights of x in y */
  float *xw; /* (chunk, width): x times what is left of it at the end */
} ssd_work;

cpu_ssd
cpu_ssd_of(hy_rec *r)
{
  cpu_ssd s = {.r = r};

  s.n_tokens = r->in[0]->dim[0];
  s.n_heads = r->attr.n_heads;
  s.n_groups = r->attr.n_groups;
  s.n_each = s.n_heads / s.n_groups;
  s.d_head = hy_cols(r->in[0]) / s.n_heads;
  s.d_state = hy_cols(r->in[2]) / s.n_groups;
  s.width = s.n_each * s.d_head;
  s.n_state = s.width * s.d_state;
  s.seq_start = r->attr.seg == NULL ? r->attr.seq_start : NULL;
  return s;
}

int64_t
cpu_ssd_start(const cpu_ssd *s, int64_t t0)
{
  const hy_span *span = s->r->attr.span;
  int64_t lo = 0, hi = s->r->attr.n_span;

  if (s->r->n_in <= START)
    return -1;
  while (hi - lo > 1) { /* the last span that starts at t0 or before */
    int64_t mid = (lo + hi) / 2;

    if (span[mid].at <= t0)
      lo = mid;
    else
      hi = mid;
  }
  return span[lo].at == t0 && span[lo].before > 0 ? lo : -1;
}

int64_t
cpu_ssd_runs(const cpu_ssd *s, int64_t *run)
{
  int64_t n_chunks = cpu_ssd_chunks(s->n_tokens), n = 0;

  for (int64_t c = 0; c < n_chunks; c++)
    if (!cpu_ssd_linked(s, c * CPU_SSD_CHUNK))
      run[n++] = c;
  run[n] = n_chunks;
  return n;
}

void
cpu_ssd_logs_get(const cpu_ssd *s, int64_t h, int64_t t0, int64_t n,
                 cpu_ssd_logs *l)
{
  const hy_tensor *dt = s->r->in[1];
  const float *p = hy_f32(dt) + t0 * dt->ld + h;
  double a = -exp((double)hy_f32(s->r->in[4])[h]), sum = 0.0;

  for (int64_t t = 0; t < n; t++) {
    l->dt[t] = p[t * dt->ld];
    sum += (double)l->dt[t] * a;
    l->hi[t] = (float)sum;
    l->lo[t] = (float)(sum - (double)l->hi[t]);
  }
  {
    float hi = l->hi[n - 1], lo = l->lo[n - 1];

#pragma omp simd
    for (int64_t t = 0; t < n; t++) {
      l->enter[t] = cpu_exp_neg(l->hi[t] + l->lo[t]);
      l->leave[t] = cpu_exp_neg((hi - l->hi[t]) + (lo - l->lo[t]));
    }
  }
}

/* m[t,u] = cb[t,u] exp(l[t] - l[u]) dt[u] for u <= t, plus d on the diagonal,
 * zero above it. */
static void
ssd_weights(int64_t n, const float *cb, const cpu_ssd_logs *l, float d,
            float *m)
{
  for (int64_t t = 0; t < n; t++) {
    const float *restrict in = cb + t * CPU_SSD_CHUNK;
    float *restrict out = m + t * CPU_SSD_CHUNK;
    float hi = l->hi[t], lo = l->lo[t];

#pragma omp simd
    for (int64_t u = 0; u <= t; u++)
      out[u] =
          in[u] * cpu_exp_neg((hi - l->hi[u]) + (lo - l->lo[u])) * l->dt[u];
    out[t] += d;
    for (int64_t u = t + 1; u < n; u++)
      out[u] = 0.0f;
  }
}

/* One head of a piece: y, and x weighted for the state that leaves. */
static void
ssd_head(const cpu_ssd *s, const ssd_work *w, int64_t h, int64_t t0, int64_t n,
         int enter, float *leave_xw, float *decay)
{
  const hy_tensor *x = s->r->in[0], *y = s->r->out[0];
  const float *xh = hy_f32(x) + t0 * x->ld + h * s->d_head;
  float *yh = hy_f32(y) + t0 * y->ld + h * s->d_head;
  cpu_ssd_logs l;

  cpu_ssd_logs_get(s, h, t0, n, &l);
  *decay = l.enter[n - 1];
  ssd_weights(n, w->cb, &l, hy_f32(s->r->in[5])[h], w->m);
  if (enter)
    for (int64_t t = 0; t < n; t++)
      for (int64_t p = 0; p < s->d_head; p++)
        yh[t * y->ld + p] *= l.enter[t];
  cpu_gemm(0, 0, n, s->d_head, n, 1.0f, w->m, CPU_SSD_CHUNK, xh, x->ld,
           enter ? 1.0f : 0.0f, yh, y->ld);
  if (leave_xw != NULL)
    for (int64_t t = 0; t < n; t++) {
      float f = l.leave[t] * l.dt[t];

      for (int64_t p = 0; p < s->d_head; p++)
        leave_xw[t * s->width + p] = f * xh[t * x->ld + p];
    }
}

/* Tokens t0 .. t0+n-1 of group g. in: the state entering, NULL for none;
 * out: where the state leaving goes (may be in), NULL if nobody reads it. */
static void
ssd_piece(const cpu_ssd *s, const ssd_work *w, int64_t g, int64_t t0, int64_t n,
          const float *in, float *out)
{
  const hy_tensor *b = s->r->in[2], *c = s->r->in[3], *y = s->r->out[0];
  const float *bg = hy_f32(b) + t0 * b->ld + g * s->d_state;
  const float *cg = hy_f32(c) + t0 * c->ld + g * s->d_state;

  cpu_gemm(0, 1, n, n, s->d_state, 1.0f, cg, c->ld, bg, b->ld, 0.0f, w->cb,
           CPU_SSD_CHUNK);
  if (in != NULL)
    cpu_gemm(0, 1, n, s->width, s->d_state, 1.0f, cg, c->ld, in, s->d_state,
             0.0f, hy_f32(y) + t0 * y->ld + g * s->width, y->ld);
  for (int64_t i = 0; i < s->n_each; i++) {
    int64_t at = i * s->d_head * s->d_state;
    float decay;

    ssd_head(s, w, g * s->n_each + i, t0, n, in != NULL,
             out != NULL ? w->xw + i * s->d_head : NULL, &decay);
    if (in != NULL && out != NULL)
      for (int64_t j = at; j < at + s->d_head * s->d_state; j++)
        out[j] = decay * in[j];
  }
  if (out != NULL)
    cpu_gemm(1, 0, s->width, s->d_state, n, 1.0f, w->xw, s->width, bg, b->ld,
             in != NULL ? 1.0f : 0.0f, out, s->d_state);
}

/* Chunks c0 .. c1-1 of group g, linked by documents. */
static void
ssd_run(const cpu_ssd *s, const ssd_work *w, int64_t g, int64_t c0, int64_t c1)
{
  float *save = hy_f32(s->r->save[0]);
  int64_t row = s->n_groups * s->n_state;

  for (int64_t c = c0; c < c1; c++) {
    int64_t t0 = c * CPU_SSD_CHUNK, end = t0 + CPU_SSD_CHUNK;
    const float *in = c > c0 ? save + c * row + g * s->n_state : NULL;

    end = end < s->n_tokens ? end : s->n_tokens;
    while (t0 < end) {
      int64_t next = cpu_ssd_piece_end(s, t0, end);
      int64_t start = in == NULL ? cpu_ssd_start(s, t0) : -1;
      int leaves = next == end && c + 1 < c1;

      if (start >= 0)
        in = hy_f32(s->r->in[START]) + start * s->r->in[START]->ld +
             g * s->n_state;
      ssd_piece(s, w, g, t0, next - t0, in,
                leaves ? save + (c + 1) * row + g * s->n_state : NULL);
      in = NULL;
      t0 = next;
    }
  }
}

/* One token after the cached state: the recurrence itself. */
static void
ssd_step(const cpu_ssd *s, int64_t g, int64_t t, float *state)
{
  hy_tensor *const *in = s->r->in;
  const float *restrict b = hy_f32(in[2]) + t * in[2]->ld + g * s->d_state;
  const float *restrict c = hy_f32(in[3]) + t * in[3]->ld + g * s->d_state;

  for (int64_t h = g * s->n_each; h < (g + 1) * s->n_each; h++) {
    const float *x = hy_f32(in[0]) + t * in[0]->ld + h * s->d_head;
    float *y = hy_f32(s->r->out[0]) + t * s->r->out[0]->ld + h * s->d_head;
    double a = -exp((double)hy_f32(in[4])[h]);
    float dt = hy_f32(in[1])[t * in[1]->ld + h];
    float decay = cpu_exp_neg((float)(a * (double)dt));

    for (int64_t p = 0; p < s->d_head; p++, state += s->d_state) {
      float *restrict st = state;
      float dx = dt * x[p], sum = 0.0f;

#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < s->d_state; j++) {
        st[j] = decay * st[j] + dx * b[j];
        sum += st[j] * c[j];
      }
      y[p] = sum + hy_f32(in[5])[h] * x[p];
    }
  }
}

/* One segment of group g after its cached state, which it renews. */
static void
ssd_segment(const cpu_ssd *s, const ssd_work *w, int64_t g, int64_t i)
{
  const hy_segments *seg = s->r->attr.seg;
  const hy_tensor *cache = s->r->attr.state[0];
  int64_t t0 = seg->start[i], end = seg->start[i + 1];
  float *state = hy_f32(cache) + seg->slot[i] * cache->ld + g * s->n_state;

  if (end == t0 + 1) {
    ssd_step(s, g, t0, state);
    return;
  }
  for (; t0 < end; t0 += CPU_SSD_CHUNK) {
    int64_t n = end - t0 < CPU_SSD_CHUNK ? end - t0 : CPU_SSD_CHUNK;

    ssd_piece(s, w, g, t0, n, state, state);
  }
}

/* Floats of one thread, and of the list of runs before them. */
static int64_t
ssd_work_size(int64_t width)
{
  return cpu_ssd_pad(2 * CPU_SSD_CHUNK * CPU_SSD_CHUNK + CPU_SSD_CHUNK * width);
}

static int64_t
ssd_list_size(int64_t n_tokens)
{
  return cpu_ssd_pad(2 * (cpu_ssd_chunks(n_tokens) + 1));
}

size_t
cpu_ssd_scratch_fwd(int64_t n_tokens, int64_t n_heads, int64_t d_head,
                    int64_t n_groups, int64_t d_state, int n_threads)
{
  (void)d_state;
  return sizeof(float) *
         (size_t)(ssd_list_size(n_tokens) +
                  n_threads * ssd_work_size(n_heads / n_groups * d_head));
}

void
cpu_ssd_fwd(hy_ctx *c, hy_rec *r)
{
  cpu_ssd s = cpu_ssd_of(r);
  const hy_segments *seg = r->attr.seg;
  int64_t *run = r->scratch;
  float *all = (float *)r->scratch + ssd_list_size(s.n_tokens);
  int64_t n = seg != NULL ? seg->n_seg : cpu_ssd_runs(&s, run);

#pragma omp parallel num_threads(c->n_threads)
  {
    ssd_work w;

#ifdef _OPENMP
    w.cb = all + omp_get_thread_num() * ssd_work_size(s.width);
#else
    w.cb = all;
#endif
    w.m = w.cb + CPU_SSD_CHUNK * CPU_SSD_CHUNK;
    w.xw = w.m + CPU_SSD_CHUNK * CPU_SSD_CHUNK;
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < n * s.n_groups; i++) {
      int64_t at = i / s.n_groups, g = i % s.n_groups;

      if (seg != NULL)
        ssd_segment(&s, &w, g, at);
      else
        ssd_run(&s, &w, g, run[at], run[at + 1]);
    }
  }
}
