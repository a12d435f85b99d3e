/* cpu_ssd_state.c: what a span does to the state of the scan, on the CPU.
 *
 * The span's last document has the tokens first .. end-1 in it. One head, with
 * l[t] = sum of dt a from first to t, left[t] = exp(l[end-1] - l[t]):
 *   s = sum_t left[t] dt[t] x[t] b[t]'
 *   w = exp(l[end-1]) if the document goes on from before the span, else 0.
 * Backward, from the gradients g of s and dw of w, q[t] = left[t] x[t]' g b[t]:
 *   dx[t]  = left[t] dt[t] g b[t],  db[t] = left[t] dt[t] g' x[t]
 *   e[t]   = sum_{u<t} dt[u] q[u] + w dw,  ddt[t] = q[t] + a e[t]
 *   da_log = a sum_t dt[t] e[t].
 * l is summed in double over the whole span, so that no product of decays of
 * chunks is needed and each token's factor is rounded once. */
#include "cpu/cpu_ssd.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { X, DT, B, A_LOG };

#define Q CPU_SSD_CHUNK

/* Scratch of one thread. */
typedef struct {
  float *xw, *u; /* (Q, width): left dt x, b g' */
  float *db;     /* (Q, d_state) */
  struct state_head {
    double a, l, last; /* l[t] so far, l[end-1] */
    double before;     /* sum of dt q so far */
  } * head;            /* (n_each) */
} state_work;

/* One span and group. */
typedef struct {
  int64_t i, g, at, first, end; /* at: the span's first token */
  int goes_on;                  /* its document began before the span */
} state_part;

static int64_t
state_layout(int64_t width, int64_t n_each, int64_t d_state, char *at,
             state_work *w)
{
  int64_t row = cpu_ssd_pad(Q * width), col = cpu_ssd_pad(Q * d_state);
  int64_t floats = 2 * row + col;

  if (at != NULL) {
    float *p = (float *)(void *)at;

    *w = (state_work){p, p + row, p + 2 * row, (void *)(p + floats)};
  }
  return (int64_t)sizeof(float) * floats +
         (int64_t)sizeof(float) *
             cpu_ssd_pad((int64_t)(sizeof *w->head / sizeof(float)) * n_each);
}

/* Bytes of the sums for a_log, before the threads' parts. */
static size_t
state_sums_size(int64_t n_span, int64_t n_heads)
{
  return ((size_t)(n_span * n_heads) * sizeof(double) + 63) / 64 * 64;
}

size_t
cpu_ssd_state_scratch(int64_t n_span, int64_t n_heads, int64_t d_head,
                      int64_t n_groups, int64_t d_state, int n_threads)
{
  int64_t n_each = n_heads / n_groups;

  return state_sums_size(n_span, n_heads) +
         (size_t)(n_threads *
                  state_layout(n_each * d_head, n_each, d_state, NULL, NULL));
}

static state_part
state_part_of(const cpu_ssd *s, int64_t n)
{
  const hy_span *span = &s->r->attr.span[n / s->n_groups];
  state_part p = {.i = n / s->n_groups, .g = n % s->n_groups, .at = span->at};

  p.end = span->at + span->n;
  p.first = s->seq_start[p.end - 1];
  p.goes_on = span->before > 0 && p.first == p.at;
  return p;
}

/* Rates and whole decays of the part's heads. */
static void
state_begin(const cpu_ssd *s, const state_part *p, const state_work *w)
{
  const hy_tensor *dt = s->r->in[DT];

  for (int64_t e = 0; e < s->n_each; e++) {
    int64_t h = p->g * s->n_each + e;
    double a = -exp((double)hy_f32(s->r->in[A_LOG])[h]), last = 0.0;

    for (int64_t t = p->first; t < p->end; t++)
      last += (double)hy_f32(dt)[t * dt->ld + h] * a;
    w->head[e] = (struct state_head){.a = a, .last = last};
  }
}

/* w of head e. */
static float
state_decay(const state_part *p, const state_work *w, int64_t e)
{
  return p->goes_on ? cpu_exp_neg((float)w->head[e].last) : 0.0f;
}

/* left[t] of head e, for t in their order. */
static float
state_left(const state_work *w, int64_t e, float dt)
{
  struct state_head *h = &w->head[e];

  h->l += (double)dt * h->a;
  return cpu_exp_neg((float)(h->last - h->l));
}

/* Tokens t0 .. t0+n-1: xw. */
static void
state_weigh(const cpu_ssd *s, const state_part *p, const state_work *w,
            int64_t t0, int64_t n)
{
  const hy_tensor *x = s->r->in[X], *dt = s->r->in[DT];

  for (int64_t t = 0; t < n; t++)
    for (int64_t e = 0; e < s->n_each; e++) {
      int64_t h = p->g * s->n_each + e;
      const float *from = hy_f32(x) + (t0 + t) * x->ld + h * s->d_head;
      float *to = w->xw + t * s->width + e * s->d_head;
      float step = hy_f32(dt)[(t0 + t) * dt->ld + h];
      float f = state_left(w, e, step) * step;

      for (int64_t j = 0; j < s->d_head; j++)
        to[j] = f * from[j];
    }
}

static void
state_forward(const cpu_ssd *s, const state_part *p, const state_work *w)
{
  const hy_tensor *b = s->r->in[B], *y = s->r->out[0];
  float *row = hy_f32(y) + p->i * y->ld, *to = row + p->g * s->n_state;

  state_begin(s, p, w);
  for (int64_t t0 = p->first; t0 < p->end; t0 += Q) {
    int64_t n = p->end - t0 < Q ? p->end - t0 : Q;

    state_weigh(s, p, w, t0, n);
    cpu_gemm(1, 0, s->width, s->d_state, n, 1.0f, w->xw, s->width,
             hy_f32(b) + t0 * b->ld + p->g * s->d_state, b->ld,
             t0 > p->first ? 1.0f : 0.0f, to, s->d_state);
  }
  for (int64_t e = 0; e < s->n_each; e++)
    row[s->n_groups * s->n_state + p->g * s->n_each + e] = state_decay(p, w, e);
}

/* Token t of head e: dx, ddt, the part of da, and xw for db. i: row of the
 * piece's arrays. */
static void
state_token(const cpu_ssd *s, const state_part *p, const state_work *w,
            int64_t t, int64_t i, int64_t e, double w_dw, double *da)
{
  const hy_tensor *x = s->r->in[X], *dt = s->r->in[DT];
  int64_t h = p->g * s->n_each + e, at = t * x->ld + h * s->d_head;
  const float *restrict xt = hy_f32(x) + at;
  const float *restrict u = w->u + i * s->width + e * s->d_head;
  float *restrict xw = w->xw + i * s->width + e * s->d_head;
  float step = hy_f32(dt)[t * dt->ld + h], left = state_left(w, e, step);
  float f = left * step, dot = 0.0f;
  double q, sum;

#pragma omp simd reduction(+ : dot)
  for (int64_t j = 0; j < s->d_head; j++) {
    dot += u[j] * xt[j];
    xw[j] = f * xt[j];
  }
  q = (double)(left * dot);
  sum = w->head[e].before + w_dw;
  w->head[e].before += (double)step * q;
  *da += (double)step * sum;
  if (dt->grad != NULL)
    dt->grad[t * dt->ld + h] += (float)(q + w->head[e].a * sum);
  for (int64_t j = 0; x->grad != NULL && j < s->d_head; j++)
    x->grad[at + j] += f * u[j];
}

/* beta = 0: the part's columns of all tokens of the span start from zero. */
static void
state_clear(const cpu_ssd *s, const state_part *p, int which, int64_t cols)
{
  const hy_tensor *to = s->r->in[which];

  for (int64_t t = p->at; t < p->end; t++)
    if (to->grad != NULL && s->r->beta[which] == 0.0f)
      memset(to->grad + t * to->ld + p->g * cols, 0,
             (size_t)cols * sizeof *to->grad);
}

/* Tokens t0 .. t0+n-1, in their order. g: gradient of s. */
static void
state_piece_bwd(const cpu_ssd *s, const state_part *p, const state_work *w,
                int64_t t0, int64_t n, const float *g, double *da)
{
  const hy_tensor *b = s->r->in[B], *y = s->r->out[0];
  const float *dw = y->grad + p->i * y->ld + s->n_groups * s->n_state;
  int64_t col = p->g * s->d_state;

  cpu_gemm(0, 1, n, s->width, s->d_state, 1.0f, hy_f32(b) + t0 * b->ld + col,
           b->ld, g, s->d_state, 0.0f, w->u, s->width);
  for (int64_t e = 0; e < s->n_each; e++) {
    double w_dw = 0.0;

    if (p->goes_on)
      w_dw = (double)state_decay(p, w, e) * (double)dw[p->g * s->n_each + e];
    for (int64_t i = 0; i < n; i++)
      state_token(s, p, w, t0 + i, i, e, w_dw, &da[e]);
  }
  if (b->grad == NULL)
    return;
  cpu_gemm(0, 0, n, s->d_state, s->width, 1.0f, w->xw, s->width, g, s->d_state,
           1.0f, b->grad + t0 * b->ld + col, b->ld);
}

static void
state_backward(const cpu_ssd *s, const state_part *p, const state_work *w,
               double *da)
{
  const hy_tensor *y = s->r->out[0];

  state_begin(s, p, w);
  state_clear(s, p, X, s->width);
  state_clear(s, p, DT, s->n_each);
  state_clear(s, p, B, s->d_state);
  memset(da, 0, (size_t)s->n_each * sizeof *da);
  for (int64_t t0 = p->first; t0 < p->end; t0 += Q)
    state_piece_bwd(s, p, w, t0, p->end - t0 < Q ? p->end - t0 : Q,
                    y->grad + p->i * y->ld + p->g * s->n_state, da);
}

/* da_log, summed over spans in their order. */
static void
state_finish(const cpu_ssd *s, const double *da)
{
  const hy_tensor *a_log = s->r->in[A_LOG];

  for (int64_t h = 0; a_log->grad != NULL && h < s->n_heads; h++) {
    double sum = 0.0;

    for (int64_t i = 0; i < s->r->attr.n_span; i++)
      sum += da[i * s->n_heads + h];
    sum *= -exp((double)hy_f32(a_log)[h]);
    a_log->grad[h] =
        (float)sum + (s->r->beta[A_LOG] == 0.0f ? 0.0f : a_log->grad[h]);
  }
}

static void
state_run(hy_ctx *c, hy_rec *r, int backward)
{
  cpu_ssd s = cpu_ssd_of(r);
  int64_t n_span = r->attr.n_span;
  double *da = r->scratch;
  char *all = (char *)r->scratch + state_sums_size(n_span, s.n_heads);

#pragma omp parallel num_threads(c->n_threads)
  {
    state_work w = {0};
    int64_t one = state_layout(s.width, s.n_each, s.d_state, NULL, NULL);
    int64_t id = 0;

#ifdef _OPENMP
    id = omp_get_thread_num();
#endif
    state_layout(s.width, s.n_each, s.d_state, all + id * one, &w);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < n_span * s.n_groups; i++) {
      state_part p = state_part_of(&s, i);

      if (backward)
        state_backward(&s, &p, &w, da + p.i * s.n_heads + p.g * s.n_each);
      else
        state_forward(&s, &p, &w);
    }
  }
  if (backward)
    state_finish(&s, da);
}

void
cpu_ssd_state_fwd(hy_ctx *c, hy_rec *r)
{
  state_run(c, r, 0);
}

void
cpu_ssd_state_bwd(hy_ctx *c, hy_rec *r)
{
  state_run(c, r, 1);
}
