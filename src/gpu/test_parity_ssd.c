/* test_parity_ssd.c: convolution and scan in the shapes that their tiles need:
 * documents that begin at, inside and over the borders of chunks, odd widths,
 * decays of any size, and generation from a cache. */
#include "op/test_ops.h"

/* --- documents, spans ---------------------------------------------------- */

static ops_case *
new_case(int64_t T, const int *len, int n_len)
{
  ops_case *s = ops_new(T);

  s->batch.seq_start = test_docs(T, len, n_len);
  return s;
}

/* The rows as spans of `each` tokens, every other of which goes on with a
 * document from before. */
static void
cut_spans(ops_case *s, int64_t each)
{
  static const int64_t before[] = {7, 0, 1, 300, 2};
  int64_t T = s->batch.n_tokens, n = 0;
  hy_span *span = test_alloc((size_t)(T / each + 1), sizeof *span);

  for (int64_t at = 0; at < T; at += each, n++) {
    span[n] = (hy_span){.at = at, .n = T - at < each ? T - at : each};
    span[n].before = before[n % 5];
    for (int64_t t = at; t < at + span[n].n; t++)
      if (s->batch.seq_start[t] < at)
        s->batch.seq_start[t] = (int32_t)at;
  }
  s->batch.n_span = n;
  s->batch.span = span;
}

/* --- generation ---------------------------------------------------------- */

/* Memory that a case's calls got. */
static struct {
  void (*put)(void *);
  void *p;
} got[256];
static int n_got;

static void *
room(const hy_ctx *c, const void *from, size_t bytes)
{
  void *p = c->be->mem->get(bytes);

  assert_non_null(p);
  assert_true(n_got < 256);
  got[n_got].put = c->be->mem->put;
  got[n_got++].p = p;
  if (from != NULL)
    c->be->mem->load(p, from, bytes);
  return p;
}

static void
release(void)
{
  while (n_got > 0) {
    n_got--;
    got[n_got].put(got[n_got].p);
  }
}

enum { N_SEG = 5, N_SLOTS = 6 };

/* New tokens of two calls, on the same slots. */
enum { SEG_TOKENS = 236 };
static const int64_t seg_len[2][N_SEG] = {{1, 200, 0, 33, 2},
                                          {1, 1, 129, 2, 103}};
static const int32_t seg_slot[N_SEG] = {4, 0, 5, 1, 2};

/* Segments of a call in the backend's memory. */
static void
seg_set(hy_ctx *c, int call, hy_segments *seg)
{
  int64_t start[N_SEG + 1] = {0}, past[N_SEG] = {0};

  for (int i = 0; i < N_SEG; i++)
    start[i + 1] = start[i] + seg_len[call][i];
  *seg = (hy_segments){.n_seg = N_SEG};
  c->seg = seg;
  c->taping = 0;
  if (c->be->dry)
    return;
  seg->start = room(c, start, sizeof start);
  seg->slot = room(c, seg_slot, sizeof seg_slot);
  seg->past = room(c, past, sizeof past);
}

/* A cache of N_SLOTS items of n numbers, the same on each backend. */
static hy_tensor
cache_new(const hy_ctx *c, hy_fmt fmt, int64_t n)
{
  hy_tensor t = {.fmt = c->be->act == HY_F32 ? HY_F32 : fmt,
                 .n_dim = 2,
                 .dim = {N_SLOTS, n},
                 .ld = n};
  float *x = test_alloc((size_t)(N_SLOTS * n), sizeof *x);
  char *raw = test_alloc((size_t)(N_SLOTS * n), sizeof *x);

  for (int64_t i = 0; i < N_SLOTS * n; i++)
    x[i] = (float)(i * 37 % 64 - 32) / 64.0f;
  hy_from_f32(raw, x, t.fmt, N_SLOTS * n);
  if (!c->be->dry)
    t.data = room(c, raw, hy_bytes(t.fmt, N_SLOTS * n));
  return t;
}

/* --- convolution --------------------------------------------------------- */

static hy_tensor *
call_conv(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_conv1d(c, in[0], in[1], in[2], s->n_in > 3 ? in[3] : NULL);
}

/* The output of the second call sees what the first left behind. */
static hy_tensor *
call_conv_twice(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_tensor cache = cache_new(c, c->be->act, (hy_cols(in[1]) - 1) * 24), *y;
  hy_segments seg;

  seg_set(c, 0, &seg);
  y = hy_conv1d(c, in[0], in[1], in[2], &cache);
  if (s->a.top_k > 0) {
    seg_set(c, 1, &seg);
    y = hy_conv1d(c, in[0], in[1], in[2], &cache);
  }
  c->seg = NULL;
  return y;
}

static void
conv_generate(int64_t n_taps, int calls)
{
  ops_case *s = ops_new(SEG_TOKENS);

  ops_rows(s, SEG_TOKENS, 24, -1, 1);
  ops_weight(s, OPS_DIM(24, 1, n_taps), -1, 1);
  ops_weight(s, OPS_DIM(24), -1, 1);
  for (int i = 0; i < 3; i++)
    s->frozen[i] = 1;
  s->a.top_k = calls - 1;
  s->n_out = SEG_TOKENS * 24;
  s->call = call_conv_twice;
  ops_check(s);
  release();
}

void
parity_conv1d(void)
{
  static const int docs[][3] = {{1000, 1000, 1000}, {3, 1, 70}, {31, 33, 1}};
  static const int64_t T[] = {1, 5, 31, 33, 130, 300};
  static const int64_t shape[][2] = {{24, 4}, {7, 4}, {40, 2}, {5, 8}, {8, 1}};

  for (size_t i = 0; i < sizeof T / sizeof *T; i++)
    for (int k = 0; k < 5; k++)
      for (int cut = 0; cut < 2; cut++) {
        ops_case *s = new_case(T[i], docs[(i + (size_t)k) % 3], 3);
        int64_t C = shape[k][0], n = shape[k][1];

        ops_rows(s, T[i], C, -1, 1);
        ops_weight(s, OPS_DIM(C, 1, n), -1, 1);
        ops_weight(s, OPS_DIM(C), -1, 1);
        s->view[0] = 1;
        s->n_out = T[i] * C;
        s->call = call_conv;
        if (cut && n > 1) {
          cut_spans(s, 30);
          ops_rows(s, (n - 1) * s->batch.n_span, C, -1, 1);
        }
        ops_check(s);
      }
  conv_generate(4, 1);
  conv_generate(4, 2);
  conv_generate(3, 2);
}

/* --- scan ---------------------------------------------------------------- */

typedef struct {
  int64_t T, heads, d_head, groups, d_state;
  int len[3];  /* documents, in turn */
  double dt;   /* steps up to this */
  int64_t cut; /* spans of so many tokens, 0: none */
} scan_shape;

static hy_tensor *
call_ssd(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ssd(c, in[0], in[1], in[2], in[3], in[4], in[5], s->a.n_groups,
                s->n_in > 6 ? in[6] : NULL);
}

static void
scan_inputs(ops_case *s, const scan_shape *k, int64_t T)
{
  ops_rows(s, T, k->heads * k->d_head, -1, 1);
  ops_rows(s, T, k->heads, 0.001 * k->dt, k->dt);
  ops_rows(s, T, k->groups * k->d_state, -1, 1);
  ops_rows(s, T, k->groups * k->d_state, -1, 1);
  ops_weight(s, OPS_DIM(k->heads), -1, 2.7);
  ops_weight(s, OPS_DIM(k->heads), -1, 1);
  s->a.n_groups = k->groups;
  s->n_out = T * k->heads * k->d_head;
}

static void
check_scan(const scan_shape *k)
{
  ops_case *s = new_case(k->T, k->len, 3);

  scan_inputs(s, k, k->T);
  s->view[0] = s->view[2] = s->view[3] = 1;
  s->call = call_ssd;
  if (k->cut > 0) {
    cut_spans(s, k->cut);
    ops_rows(s, s->batch.n_span, k->heads * k->d_head * k->d_state, -1, 1);
  }
  ops_check(s);
}

/* As call_conv_twice. */
static hy_tensor *
call_ssd_twice(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_tensor cache = cache_new(c, HY_F32,
                              hy_cols(in[0]) * hy_cols(in[2]) / s->a.n_groups),
            *y;
  hy_segments seg;

  seg_set(c, 0, &seg);
  y = hy_ssd(c, in[0], in[1], in[2], in[3], in[4], in[5], s->a.n_groups,
             &cache);
  if (s->a.top_k > 0) {
    seg_set(c, 1, &seg);
    y = hy_ssd(c, in[0], in[1], in[2], in[3], in[4], in[5], s->a.n_groups,
               &cache);
  }
  c->seg = NULL;
  return y;
}

static void
scan_generate(const scan_shape *k, int calls)
{
  ops_case *s = ops_new(SEG_TOKENS);

  scan_inputs(s, k, SEG_TOKENS);
  for (int i = 0; i < 6; i++)
    s->frozen[i] = 1;
  s->a.top_k = calls - 1;
  s->call = call_ssd_twice;
  ops_check(s);
  release();
}

/* Documents that are NaN and infinite beside others, in one chunk and over its
 * border. */
static void
check_poisoned(const scan_shape *k, int64_t t0, int64_t t1)
{
  ops_case *s = new_case(k->T, k->len, 3);

  scan_inputs(s, k, k->T);
  for (int i = 0; i < 4; i++) {
    float *x = hy_f32(s->in[i]);

    for (int64_t t = t0; t < t1; t++)
      for (int64_t j = 0; j < hy_cols(s->in[i]); j++)
        x[t * s->in[i]->ld + j] = (t + j) % 3 ? NAN : INFINITY;
  }
  s->poisoned = 1;
  s->call = call_ssd;
  ops_check(s);
}

void
parity_ssd(void)
{
  static const scan_shape k[] = {
      {1, 2, 64, 1, 128, {1}, 1.0, 0},
      {5, 3, 64, 1, 128, {2, 2, 2}, 1.0, 0},
      {127, 2, 64, 2, 128, {1000, 1, 1}, 0.1, 0},
      {128, 1, 64, 1, 128, {128, 1, 1}, 0.1, 0},
      {129, 1, 64, 1, 128, {128, 1, 1}, 0.1, 0},
      {300, 2, 64, 1, 128, {100, 156, 44}, 0.01, 0},
      {300, 3, 16, 1, 24, {1000, 1, 1}, 0.1, 0},
      {257, 1, 64, 1, 128, {1000, 1, 1}, 4.0, 70},
      {140, 2, 64, 1, 64, {30, 1, 40}, 0.1, 0},
      {130, 4, 5, 2, 7, {3, 70, 55}, 0.1, 0},
      {260, 2, 33, 2, 17, {1000, 1, 1}, 0.1, 100},
      {150, 1, 80, 1, 40, {129, 10, 11}, 0.1, 0},
  };

  for (size_t i = 0; i < sizeof k / sizeof *k; i++)
    check_scan(&k[i]);
  check_poisoned(&(scan_shape){200, 1, 64, 1, 128, {20, 40, 140}, 0.1, 0}, 20,
                 60);
  check_poisoned(&(scan_shape){200, 2, 40, 2, 16, {60, 80, 60}, 0.1, 0}, 60,
                 140);
  check_poisoned(&(scan_shape){150, 2, 3, 1, 5, {60, 80, 60}, 0.1, 0}, 60, 140);
  scan_generate(&k[0], 2);
  scan_generate(&k[9], 2);
}

/* --- what a span does to the state --------------------------------------- */

static hy_tensor *
call_state(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_ssd_state(c, in[0], in[1], in[2], in[3], s->a.n_groups);
}

void
parity_ssd_state(void)
{
  static const scan_shape k[] = {
      {300, 1, 64, 1, 128, {1000, 1, 1}, 0.01, 150},
      {260, 3, 16, 1, 40, {70, 140, 1}, 0.1, 200},
      {257, 4, 5, 2, 7, {3, 100, 55}, 1.0, 60},
  };

  for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
    ops_case *s = new_case(k[i].T, k[i].len, 3);
    int64_t state = k[i].heads * k[i].d_head * k[i].d_state;

    cut_spans(s, k[i].cut);
    ops_rows(s, k[i].T, k[i].heads * k[i].d_head, -1, 1);
    ops_rows(s, k[i].T, k[i].heads, 0.001 * k[i].dt, k[i].dt);
    ops_rows(s, k[i].T, k[i].groups * k[i].d_state, -1, 1);
    ops_weight(s, OPS_DIM(k[i].heads), -1, 2.7);
    for (int j = 0; j < 3; j++)
      s->view[j] = 1;
    s->a.n_groups = k[i].groups;
    s->n_out = s->batch.n_span * (state + k[i].heads);
    s->call = call_state;
    ops_check(s);
  }
}
