/* test_parity_attention.c: attention on the GPU at shapes that cross its
 * tiles; documents that do not hear of each other's NaN; caches. */
#include "gpu/gpu.h"
#include "gpu/gpu_plan.h"
#include "op/test_ops.h"

#define LENGTHS(...)                                                           \
  (const int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int))

void parity_attention(void);
void parity_attention_block(void);

/* --- against the CPU ----------------------------------------------------- */

static hy_tensor *
call_attention(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_tensor *lse;

  return hy_attention(c, in[0], in[1], in[2], s->a.n_heads, s->a.n_kv_heads,
                      NULL, NULL, &lse);
}

static ops_case *
new_case(int64_t T, int64_t heads, int64_t kv, int64_t d, const int *len,
         int n_len)
{
  ops_case *s = ops_new(T);

  s->batch.seq_start = test_docs(T, len, n_len);
  ops_rows(s, T, heads * d, -2, 2);
  ops_rows(s, T, kv * d, -2, 2);
  ops_rows(s, T, kv * d, -1, 1);
  s->a.n_heads = heads;
  s->a.n_kv_heads = kv;
  s->n_out = T * heads * d;
  s->call = call_attention;
  return s;
}

static void
check_attention(int64_t T, int64_t heads, int64_t kv, int64_t d, const int *len,
                int n_len)
{
  ops_check(new_case(T, heads, kv, d, len, n_len));
}

static hy_tensor *
call_block(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_tensor *lse, *more[3] = {in[0], in[3], in[4]};
  hy_tensor *out = hy_attention(c, in[0], in[1], in[2], s->a.n_heads,
                                s->a.n_kv_heads, NULL, NULL, &lse);
  hy_rec *r = hy_rec_new(c, &c->be->op[HY_OP_attention_block], 3, more);

  r->attr = (hy_attr){.n_heads = s->a.n_heads, .n_kv_heads = s->a.n_kv_heads};
  r->out[r->n_out++] = out;
  r->save[r->n_save++] = lse;
  return hy_exec(c, r);
}

static void
check_block(int64_t T, int64_t n_keys, int64_t heads, int64_t kv, int64_t d)
{
  ops_case *s = new_case(T, heads, kv, d, LENGTHS(3, 70, 55));

  ops_rows(s, n_keys, kv * d, -2, 2);
  ops_rows(s, n_keys, kv * d, -1, 1);
  s->before = 1;
  s->call = call_block;
  ops_check(s);
}

/* --- records made by hand ------------------------------------------------ */

typedef struct {
  hy_ctx ctx;
  hy_rec r;
  const hy_backend *be;
} call;

static hy_tensor *
rows_of(const hy_backend *be, int64_t rows, int64_t cols, int64_t gap)
{
  hy_tensor *from = test_tensor(rows, cols, gap), *t = test_copy(from);

  test_fill(from, -1, 1);
  t->fmt = t->gfmt = be->act;
  t->data = test_alloc((size_t)(rows * from->ld), sizeof(float));
  hy_from_f32(t->data, hy_f32(from), t->fmt, rows * from->ld);
  return t;
}

static call
new_call(const hy_backend *be, int64_t T, int64_t heads, int64_t kv, int64_t d)
{
  call k = {.be = be, .ctx.be = be, .ctx.n_threads = 1};
  hy_rec *r = &k.r;

  r->op = &be->op[HY_OP_attention];
  r->n_in = 3;
  r->in[0] = rows_of(be, T, heads * d, 8);
  r->in[1] = rows_of(be, T, kv * d, 0);
  r->in[2] = rows_of(be, T, kv * d, 8);
  r->out[0] = rows_of(be, T, heads * d, 8);
  r->attr.n_heads = heads;
  r->attr.n_kv_heads = kv;
  return k;
}

static void
run_call(call *k, int backward)
{
  size_t bytes = k->be->scratch(&k->ctx, &k->r, backward);

  test_scratch(&k->r, bytes);
  (backward ? k->r.op->bwd : k->r.op->fwd)(&k->ctx, &k->r);
  k->be->mem->wait();
}

/* Rows t0 .. t1-1 of a and b are the same bits. */
static int
same_rows(const hy_tensor *t, const void *a, const void *b, int64_t t0,
          int64_t t1)
{
  for (int64_t i = t0; i < t1; i++)
    if (memcmp(hy_at(a, t->fmt, i * t->ld), hy_at(b, t->fmt, i * t->ld),
               hy_bytes(t->fmt, hy_cols(t))) != 0)
      return 0;
  return 1;
}

/* A copy of the numbers at p, of which those outside rows t0 .. t1-1 are NaN,
 * infinite or huge. */
static void *
poisoned(const hy_tensor *t, const void *p, int64_t t0, int64_t t1)
{
  static const float bad[] = {NAN, INFINITY, 3e38f};
  size_t bytes = hy_bytes(t->fmt, t->dim[0] * t->ld);
  char *copy = test_alloc(bytes, 1);

  memcpy(copy, p, bytes);
  for (int64_t i = 0; i < t->dim[0]; i++)
    for (int64_t j = 0; j < hy_cols(t) && (i < t0 || i >= t1); j++)
      hy_from_f32(hy_at(copy, t->fmt, i * t->ld + j), &bad[(i + j) % 3], t->fmt,
                  1);
  return copy;
}

/* What happens outside the document t0 .. t1-1 does not change its bits. */
static void
check_apart(const hy_backend *be, int64_t T, int64_t heads, int64_t kv,
            int64_t d, const int *len, int n_len, int64_t t0, int64_t t1)
{
  call k = new_call(be, T, heads, kv, d), bad;
  void *out, *grad[3];

  k.r.attr.seq_start = test_docs(T, len, n_len);
  k.r.save[0] = test_tensor(T, heads, 0);
  for (int i = 0; i < 3; i++)
    k.r.in[i]->grad = test_alloc((size_t)(T * k.r.in[i]->ld), sizeof(float));
  k.r.out[0]->grad = rows_of(be, T, heads * d, 8)->data;
  run_call(&k, 0);
  run_call(&k, 1);
  bad = k;
  for (int i = 0; i < 3; i++) {
    bad.r.in[i] = test_copy(k.r.in[i]);
    grad[i] = k.r.in[i]->grad;
    bad.r.in[i]->data = poisoned(k.r.in[i], k.r.in[i]->data, t0, t1);
  }
  out = k.r.out[0]->data;
  bad.r.out[0] = test_copy(k.r.out[0]);
  bad.r.out[0]->grad = poisoned(k.r.out[0], k.r.out[0]->grad, t0, t1);
  run_call(&bad, 0);
  run_call(&bad, 1);
  assert_true(same_rows(k.r.out[0], out, bad.r.out[0]->data, t0, t1));
  for (int i = 0; i < 3; i++)
    assert_true(same_rows(k.r.in[i], grad[i], bad.r.in[i]->grad, t0, t1));
  test_release();
}

/* --- caches -------------------------------------------------------------- */

static double
rows_error(const hy_tensor *got, const hy_tensor *want, const int64_t *row)
{
  double worst = 0.0;

  for (int64_t i = 0; i < got->dim[0]; i++)
    for (int64_t j = 0; j < hy_cols(got); j++) {
      float a, b;

      hy_to_f32(&a, hy_at(got->data, got->fmt, i * got->ld + j), got->fmt, 1);
      hy_to_f32(&b, hy_at(want->data, want->fmt, row[i] * want->ld + j),
                want->fmt, 1);
      worst = fabs(a - b) <= worst ? worst : fabs((double)a - (double)b);
    }
  return worst;
}

/* Sequences that arrive in pieces: the same numbers as in one pass. */
static void
check_segments(const hy_backend *be, hy_fmt fmt, int64_t heads, int64_t kv,
               int64_t d, double bound)
{
  test_plan plan = test_plan_new();
  call all = new_call(be, plan.n_tokens, heads, kv, d);
  hy_tensor *cache[2];
  double worst = 0.0;

  all.r.attr.seq_start = plan.seq_start;
  run_call(&all, 0);
  for (int i = 0; i < 2; i++) {
    cache[i] = test_tensor(plan.n_slots, plan.max_len * kv * d, 0);
    cache[i]->fmt = fmt;
    memset(cache[i]->data, 0xff, hy_bytes(fmt, cache[i]->ld * plan.n_slots));
  }
  for (int i = 0; i < plan.n_calls; i++) {
    hy_segments seg;
    const int64_t *row = test_plan_call(&plan, i, &seg);
    call k = new_call(be, seg.start[seg.n_seg], heads, kv, d);

    k.r.attr.seg = &seg;
    k.r.save[0] = i % 2 ? test_tensor(k.r.in[0]->dim[0], heads, 0) : NULL;
    for (int j = 0; j < 3; j++) {
      const hy_tensor *from = all.r.in[j], *to = k.r.in[j];

      if (j < 2)
        k.r.attr.state[j] = cache[j];
      for (int64_t t = 0; t < to->dim[0]; t++)
        memcpy(hy_at(to->data, to->fmt, t * to->ld),
               hy_at(from->data, from->fmt, row[t] * from->ld),
               hy_bytes(to->fmt, hy_cols(to)));
    }
    run_call(&k, 0);
    worst = fmax(worst, rows_error(k.r.out[0], all.r.out[0], row));
  }
  if (!(worst <= bound))
    fail_msg("segments, %s, caches %s, %d heads of %d: off by %.3g",
             hy_fmt_name(be->act), hy_fmt_name(fmt), (int)heads, (int)d, worst);
  test_release();
}

/* --- lists --------------------------------------------------------------- */

static void
check_formats(const hy_backend *be, int64_t d, double bound)
{
  check_apart(be, 150, 2, 1, d, LENGTHS(20, 33, 2, 70, 25), 20, 53);
  check_apart(be, 150, 1, 1, d, LENGTHS(20, 33, 2, 70, 25), 55, 125);
  check_segments(be, HY_F32, 4, 2, d, bound);
  check_segments(be, HY_BF16, 3, 1, d, 8e-3);
}

void
parity_attention(void)
{
  check_attention(1, 2, 1, 16, LENGTHS(1 << 20));
  check_attention(63, 2, 1, 16, LENGTHS(1 << 20));
  check_attention(64, 6, 1, 16, LENGTHS(3, 40, 55));
  check_attention(65, 2, 2, 64, LENGTHS(1 << 20));
  check_attention(130, 3, 1, 16, LENGTHS(3, 70, 55));
  check_attention(257, 1, 1, 64, LENGTHS(150, 40, 1));
  check_attention(65, 4, 2, 80, LENGTHS(1));
  check_attention(130, 2, 1, 128, LENGTHS(70, 60));
  check_attention(65, 2, 1, 144, LENGTHS(20, 43));
  check_attention(40, 5, 1, 7, LENGTHS(17, 3));
  check_attention(5, 70, 2, 3, LENGTHS(1 << 20));
  check_formats(&gpu_backend_fp32, 5, 1e-6);
  check_formats(&gpu_backend_bf16, 5, 8e-3);
  check_formats(&gpu_backend_bf16, 64, 8e-3);
  test_release();
}

void
parity_attention_block(void)
{
  check_block(1, 64, 2, 1, 16);
  check_block(63, 65, 4, 2, 16);
  check_block(65, 1, 3, 1, 80);
  check_block(130, 70, 2, 1, 64);
  check_block(40, 130, 1, 1, 128);
  check_block(40, 33, 2, 1, 7);
  check_block(17, 40, 1, 1, 136);
  test_release();
}
