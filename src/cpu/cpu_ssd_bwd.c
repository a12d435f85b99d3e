/* cpu_ssd_bwd.c: Mamba-2 scan on the CPU, backward.
 *
 * In a piece, for one head, with the state s entering, the gradient gs of the
 * state leaving, l and m as in cpu_ssd.c, k[t,u] = dy[t] . x[u],
 * w[t,u] = (c[t] . b[u]) m[t,u] k[t,u], enter = exp(l), leave = exp(l[last]-l):
 *   dx[u]  = dt[u] (sum_t (c[t] . b[u]) m[t,u] dy[t] + leave[u] gs b[u])
 *            + d dy[u]
 *   db[u]  = sum_t m[t,u] dt[u] k[t,u] c[t] + dt[u] leave[u] gs' x[u]
 *   dc[t]  = sum_u m[t,u] dt[u] k[t,u] b[u] + enter[t] s' dy[t]
 *   gs_in  = exp(l[last]) gs + sum_t enter[t] dy[t] c[t]'
 *   e[t]   = sum over tau >= t > u of w[tau,u] dt[u]
 *            + sum_{tau>=t} enter[tau] dy[tau] . s c[tau]
 *            + sum_{u<t} dt[u] leave[u] x[u] . gs b[u] + exp(l[last]) <gs,s>
 *   ddt[u] = sum_t w[t,u] + leave[u] x[u] . gs b[u] + a e[u]
 *   da     = sum dt[t] e[t],  da_log = a da,  dd = sum k[t,t].
 * e is a sum of terms, never a difference of large sums, which would lose
 * digits of da_log. Source: Dao and Gu 2024, arXiv:2405.21060, section 6,
 * differentiated; e in this form is our own. */
#include "cpu/cpu_ssd.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { X, DT, B, CC, A_LOG, D, START };

#define Q CPU_SSD_CHUNK

/* Scratch of one thread. */
typedef struct {
  float *cb, *dcb;     /* (Q, Q): c b' and its gradient */
  float *k, *m;        /* (Q, Q): of one head */
  float *xw, *dyw, *u; /* (Q, width): dt leave x, enter dy, b gs' */
  float *db, *dc, *z;  /* (Q, d_state) */
  float *gs;           /* (width, d_state) */
  float *left;         /* (n_each, Q): leave x . gs b */
  cpu_ssd_logs *logs;  /* (n_each) */
} bwd_work;

/* One piece: tokens t0 .. t0+n-1 of group g, and what borders it. */
typedef struct {
  int64_t g, t0, n;
  const float *in; /* the state entering, NULL: none */
  int64_t start;   /* row of the start state that it is, -1: none */
  int leaves;      /* work->gs is the gradient of the state leaving */
} bwd_piece;

/* Sums of one run and head. */
typedef struct {
  double da, dd;
} bwd_part;

/* Sums of one head and piece, by token. */
typedef struct {
  float col[Q];   /* sum_t w[t,u] */
  float e[Q];     /* sum over tau >= t > u of w[tau,u] dt[u] */
  float enter[Q]; /* enter dy . s c */
  double carried; /* exp(l[last]) <gs,s> */
} bwd_sums;

/* From k: the weights m[t,u] of dy in dx, the gradient of c b', the sums. */
static void
bwd_weights(int64_t n, const bwd_work *w, const cpu_ssd_logs *l, float d,
            bwd_sums *sum)
{
  for (int64_t t = n - 1; t >= 0; t--) {
    const float *restrict cb = w->cb + t * Q;
    const float *restrict k = w->k + t * Q;
    float *restrict dcb = w->dcb + t * Q, *restrict m = w->m + t * Q;
    float *restrict col = sum->col;
    float hi = l->hi[t], lo = l->lo[t], e = 0.0f;

#pragma omp simd reduction(+ : e)
    for (int64_t u = 0; u < t; u++) {
      float decay = cpu_exp_neg((hi - l->hi[u]) + (lo - l->lo[u]));
      float f = decay * l->dt[u];

      dcb[u] += f * k[u];
      m[u] = cb[u] * f;
      col[u] += cb[u] * decay * k[u];
      e += col[u] * l->dt[u];
    }
    sum->e[t] = e;
    dcb[t] += l->dt[t] * k[t];
    m[t] = cb[t] * l->dt[t] + d;
    col[t] += cb[t] * k[t];
    for (int64_t u = t + 1; u < n; u++)
      m[u] = 0.0f;
  }
}

/* The state leaving: dx, and x weighted for db. */
static void
bwd_leave(const cpu_ssd *s, const bwd_work *w, const bwd_piece *p, int64_t i,
          float beta)
{
  const hy_tensor *x = s->r->in[X];
  const cpu_ssd_logs *l = &w->logs[i];
  int64_t at = p->t0 * x->ld + (p->g * s->n_each + i) * s->d_head;

  for (int64_t t = 0; t < p->n; t++) {
    const float *restrict xt = hy_f32(x) + at + t * x->ld;
    const float *restrict u = w->u + t * s->width + i * s->d_head;
    float *restrict xw = w->xw + t * s->width + i * s->d_head;
    float f = l->leave[t] * l->dt[t], dot = 0.0f;

#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < s->d_head; j++) {
      dot += u[j] * xt[j];
      xw[j] = f * xt[j];
    }
    w->left[i * Q + t] = l->leave[t] * dot;
    if (x->grad != NULL) {
      float *restrict dx = x->grad + at + t * x->ld;

      if (beta == 0.0f)
        for (int64_t j = 0; j < s->d_head; j++)
          dx[j] = f * u[j];
      else
        for (int64_t j = 0; j < s->d_head; j++)
          dx[j] += f * u[j];
    }
  }
}

/* exp(l[last]) <gs,s>; gs becomes exp(l[last]) gs. */
static double
bwd_carry(int64_t n, float decay, const float *restrict st, float *restrict gs)
{
  double sum = 0.0;

  for (int64_t i = 0; i < n; i += 1024) {
    int64_t end = i + 1024 < n ? i + 1024 : n;
    float part = 0.0f;

#pragma omp simd reduction(+ : part)
    for (int64_t j = i; j < end; j++) {
      gs[j] *= decay;
      part += gs[j] * st[j];
    }
    sum += (double)part;
  }
  return sum;
}

/* The state entering: dc, and dy weighted for the gradient of the state. */
static void
bwd_enter(const cpu_ssd *s, const bwd_work *w, const bwd_piece *p, int64_t i,
          bwd_sums *sum)
{
  const hy_tensor *y = s->r->out[0], *c = s->r->in[CC];
  const cpu_ssd_logs *l = &w->logs[i];
  int64_t size = s->d_head * s->d_state, h = p->g * s->n_each + i;
  float *dyw = w->dyw + i * s->d_head;

  for (int64_t t = 0; t < p->n; t++) {
    const float *restrict dy = y->grad + (p->t0 + t) * y->ld + h * s->d_head;
    float *restrict to = dyw + t * s->width;

    for (int64_t j = 0; j < s->d_head; j++)
      to[j] = l->enter[t] * dy[j];
  }
  cpu_gemm(0, 0, p->n, s->d_state, s->d_head, 1.0f, dyw, s->width,
           p->in + i * size, s->d_state, 0.0f, w->z, s->d_state);
  for (int64_t t = 0; t < p->n; t++) {
    const float *restrict ct =
        hy_f32(c) + (p->t0 + t) * c->ld + p->g * s->d_state;
    const float *restrict z = w->z + t * s->d_state;
    float *restrict dc = w->dc + t * s->d_state;
    float dot = 0.0f;

#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < s->d_state; j++) {
      dot += z[j] * ct[j];
      dc[j] += z[j];
    }
    sum->enter[t] = dot;
  }
  if (p->leaves)
    sum->carried =
        bwd_carry(size, l->enter[p->n - 1], p->in + i * size, w->gs + i * size);
}

/* Gradients of dt, and sums for those of a_log. */
static void
bwd_dt(const cpu_ssd *s, const bwd_work *w, const bwd_piece *p, int64_t i,
       const bwd_sums *sum, bwd_part *part)
{
  const hy_tensor *dt = s->r->in[DT];
  const cpu_ssd_logs *l = &w->logs[i];
  const float *left = w->left + i * Q;
  int64_t h = p->g * s->n_each + i;
  double a = -exp((double)hy_f32(s->r->in[A_LOG])[h]);
  double after = 0.0, before = 0.0, e[Q];

  for (int64_t t = 0; t < p->n; t++) {
    e[t] = (double)sum->e[t] + before + sum->carried;
    before += p->leaves ? (double)(l->dt[t] * left[t]) : 0.0;
  }
  for (int64_t t = p->n - 1; t >= 0; t--) {
    after += (double)sum->enter[t];
    e[t] += after;
    part->da += (double)l->dt[t] * e[t];
  }
  if (dt->grad == NULL)
    return;
  for (int64_t t = 0; t < p->n; t++) {
    float *to = dt->grad + (p->t0 + t) * dt->ld + h;
    double v = (double)sum->col[t] + a * e[t];

    v += p->leaves ? (double)left[t] : 0.0;
    *to = s->r->beta[DT] == 0.0f ? (float)v : *to + (float)v;
  }
}

/* What happens inside the piece, and between it and the state entering. */
static void
bwd_head(const cpu_ssd *s, const bwd_work *w, const bwd_piece *p, int64_t i,
         bwd_part *part)
{
  const hy_tensor *x = s->r->in[X], *y = s->r->out[0];
  int64_t h = p->g * s->n_each + i, n = p->n;
  int64_t at = p->t0 * x->ld + h * s->d_head;
  const float *dy = y->grad + p->t0 * y->ld + h * s->d_head;
  bwd_sums sum = {.carried = 0.0};

  cpu_gemm(0, 1, n, n, s->d_head, 1.0f, dy, y->ld, hy_f32(x) + at, x->ld, 0.0f,
           w->k, Q);
  bwd_weights(n, w, &w->logs[i], hy_f32(s->r->in[D])[h], &sum);
  for (int64_t t = 0; t < n; t++)
    part->dd += (double)w->k[t * Q + t];
  if (p->in != NULL)
    bwd_enter(s, w, p, i, &sum);
  if (x->grad != NULL)
    cpu_gemm(1, 0, n, s->d_head, n, 1.0f, w->m, Q, dy, y->ld,
             p->leaves ? 1.0f : s->r->beta[X], x->grad + at, x->ld);
  bwd_dt(s, w, p, i, &sum, part);
}

/* grad = beta grad + v for the piece's rows of group g. */
static void
bwd_put(const cpu_ssd *s, const bwd_piece *p, int which, const float *v)
{
  const hy_tensor *to = s->r->in[which];

  for (int64_t t = 0; to->grad != NULL && t < p->n; t++) {
    float *restrict out = to->grad + (p->t0 + t) * to->ld + p->g * s->d_state;
    const float *restrict from = v + t * s->d_state;

    if (s->r->beta[which] == 0.0f)
      memcpy(out, from, (size_t)s->d_state * sizeof *out);
    else
      for (int64_t j = 0; j < s->d_state; j++)
        out[j] += from[j];
  }
}

static void
bwd_piece_run(const cpu_ssd *s, const bwd_work *w, const bwd_piece *p,
              bwd_part *part)
{
  const hy_tensor *b = s->r->in[B], *c = s->r->in[CC];
  const float *bg = hy_f32(b) + p->t0 * b->ld + p->g * s->d_state;
  const float *cg = hy_f32(c) + p->t0 * c->ld + p->g * s->d_state;
  int64_t n = p->n, d_state = s->d_state;

  cpu_gemm(0, 1, n, n, d_state, 1.0f, cg, c->ld, bg, b->ld, 0.0f, w->cb, Q);
  memset(w->dcb, 0, (size_t)(n * Q) * sizeof *w->dcb);
  memset(w->dc, 0, (size_t)(n * d_state) * sizeof *w->dc);
  if (p->leaves)
    cpu_gemm(0, 1, n, s->width, d_state, 1.0f, bg, b->ld, w->gs, d_state, 0.0f,
             w->u, s->width);
  for (int64_t i = 0; i < s->n_each; i++) {
    cpu_ssd_logs_get(s, p->g * s->n_each + i, p->t0, n, &w->logs[i]);
    if (p->leaves)
      bwd_leave(s, w, p, i, s->r->beta[X]);
  }
  if (p->leaves)
    cpu_gemm(0, 0, n, d_state, s->width, 1.0f, w->xw, s->width, w->gs, d_state,
             0.0f, w->db, d_state);
  for (int64_t i = 0; i < s->n_each; i++)
    bwd_head(s, w, p, i, &part[p->g * s->n_each + i]);
  if (p->in != NULL)
    cpu_gemm(1, 0, s->width, d_state, n, 1.0f, w->dyw, s->width, cg, c->ld,
             p->leaves ? 1.0f : 0.0f, w->gs, d_state);
  cpu_gemm(1, 0, n, d_state, n, 1.0f, w->dcb, Q, cg, c->ld,
           p->leaves ? 1.0f : 0.0f, w->db, d_state);
  cpu_gemm(0, 0, n, d_state, n, 1.0f, w->dcb, Q, bg, b->ld, 1.0f, w->dc,
           d_state);
  bwd_put(s, p, B, w->db);
  bwd_put(s, p, CC, w->dc);
}

/* Where the start state of p is among all. */
static int64_t
bwd_start(const cpu_ssd *s, const bwd_piece *p)
{
  return p->start * s->r->in[START]->ld + p->g * s->n_state;
}

/* The gradient of the start state of p. */
static void
bwd_put_start(const cpu_ssd *s, const bwd_work *w, const bwd_piece *p)
{
  if (p->start >= 0 && s->r->in[START]->grad != NULL)
    cpu_put(s->r->in[START]->grad + bwd_start(s, p), w->gs, s->n_state,
            s->r->beta[START]);
}

/* Start states that nobody reads. */
static void
bwd_clear_starts(const cpu_ssd *s)
{
  const hy_tensor *to = s->r->n_in > START ? s->r->in[START] : NULL;

  for (int64_t i = 0; to != NULL && to->grad != NULL && i < to->dim[0]; i++)
    if (s->r->beta[START] == 0.0f && s->r->attr.span[i].before == 0)
      memset(to->grad + i * to->ld, 0, (size_t)hy_cols(to) * sizeof *to->grad);
}

/* Chunks c0 .. c1-1 of group g, last to first. */
static void
bwd_run(const cpu_ssd *s, const bwd_work *w, int64_t g, int64_t c0, int64_t c1,
        bwd_part *part)
{
  const float *save = hy_f32(s->r->save[0]);

  for (int64_t h = g * s->n_each; h < (g + 1) * s->n_each; h++)
    part[h] = (bwd_part){0.0, 0.0};
  for (int64_t c = c1 - 1; c >= c0; c--) {
    int64_t begin = c * Q, end = begin + Q;

    end = end < s->n_tokens ? end : s->n_tokens;
    for (int64_t t1 = end; t1 > begin;) {
      int64_t t0 = s->seq_start[t1 - 1] > begin ? s->seq_start[t1 - 1] : begin;
      bwd_piece p = {.g = g, .t0 = t0, .n = t1 - t0};

      p.leaves = t1 == end && c + 1 < c1;
      p.start = -1;
      if (t0 == begin && c > c0)
        p.in = save + (c * s->n_groups + g) * s->n_state;
      else if ((p.start = cpu_ssd_start(s, t0)) >= 0)
        p.in = hy_f32(s->r->in[START]) + bwd_start(s, &p);
      bwd_piece_run(s, w, &p, part);
      bwd_put_start(s, w, &p);
      t1 = t0;
    }
  }
}

/* Sums over runs, in their order. */
static void
bwd_finish(const cpu_ssd *s, int64_t n_runs, const bwd_part *part)
{
  const hy_tensor *a_log = s->r->in[A_LOG], *d = s->r->in[D];

  for (int64_t h = 0; h < s->n_heads; h++) {
    double a = -exp((double)hy_f32(a_log)[h]), da = 0.0, dd = 0.0;

    for (int64_t i = 0; i < n_runs; i++) {
      da += part[i * s->n_heads + h].da;
      dd += part[i * s->n_heads + h].dd;
    }
    if (a_log->grad != NULL)
      a_log->grad[h] =
          (float)(a * da) + (s->r->beta[A_LOG] == 0.0f ? 0.0f : a_log->grad[h]);
    if (d->grad != NULL)
      d->grad[h] = (float)dd + (s->r->beta[D] == 0.0f ? 0.0f : d->grad[h]);
  }
}

/* Floats of one thread; all into *w if at is not NULL. */
static int64_t
bwd_layout(int64_t n_each, int64_t d_head, int64_t d_state, float *at,
           bwd_work *w)
{
  int64_t width = n_each * d_head, n = 0;
  int64_t logs = (int64_t)(sizeof(cpu_ssd_logs) / sizeof(float)) * n_each;
  const int64_t size[] = {
      Q * Q,           Q * Q,      Q * Q,       Q * Q,       Q * width,
      Q * width,       Q * width,  Q * d_state, Q * d_state, Q * d_state,
      width * d_state, n_each * Q, logs};
  float *p[13];

  for (int i = 0; i < 13; i++) {
    p[i] = at != NULL ? at + n : NULL;
    n += cpu_ssd_pad(size[i]);
  }
  if (at != NULL)
    *w = (bwd_work){p[0],
                    p[1],
                    p[2],
                    p[3],
                    p[4],
                    p[5],
                    p[6],
                    p[7],
                    p[8],
                    p[9],
                    p[10],
                    p[11],
                    (cpu_ssd_logs *)(void *)p[12]};
  return n;
}

/* Bytes of the list of runs and of their sums, before the threads' parts. */
static size_t
bwd_list_size(int64_t n_tokens, int64_t n_heads)
{
  size_t n = (size_t)cpu_ssd_chunks(n_tokens) + 1;
  size_t bytes = n * sizeof(int64_t) + n * (size_t)n_heads * sizeof(bwd_part);

  return (bytes + 63) / 64 * 64;
}

size_t
cpu_ssd_scratch_bwd(int64_t n_tokens, int64_t n_heads, int64_t d_head,
                    int64_t n_groups, int64_t d_state, int n_threads)
{
  int64_t one = bwd_layout(n_heads / n_groups, d_head, d_state, NULL, NULL);

  return bwd_list_size(n_tokens, n_heads) +
         sizeof(float) * (size_t)(n_threads * one);
}

void
cpu_ssd_bwd(hy_ctx *c, hy_rec *r)
{
  cpu_ssd s = cpu_ssd_of(r);
  int64_t *run = r->scratch;
  bwd_part *part = (bwd_part *)(run + cpu_ssd_chunks(s.n_tokens) + 1);
  float *all = (float *)(void *)((char *)r->scratch +
                                 bwd_list_size(s.n_tokens, s.n_heads));
  int64_t n = cpu_ssd_runs(&s, run);

  bwd_clear_starts(&s);
#pragma omp parallel num_threads(c->n_threads)
  {
    bwd_work w = {0};
    int64_t one = bwd_layout(s.n_each, s.d_head, s.d_state, NULL, NULL);
    int64_t id = 0;

#ifdef _OPENMP
    id = omp_get_thread_num();
#endif
    bwd_layout(s.n_each, s.d_head, s.d_state, all + id * one, &w);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < n * s.n_groups; i++) {
      int64_t at = i / s.n_groups;

      bwd_run(&s, &w, i % s.n_groups, run[at], run[at + 1],
              part + at * s.n_heads);
    }
  }
  bwd_finish(&s, n, part);
}
