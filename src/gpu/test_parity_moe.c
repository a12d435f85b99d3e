/* test_parity_moe.c: routing and its copies at the sizes where kernels have
 * borders: warps, units of choices, chunks of tokens, pieces of rows. The CPU
 * runs first; what it chose is what the GPU has to choose. */
#include "op/replay.h"
#include "op/test_ops.h"

/* Numbers on a grid: those of two processors that differ by a rounding choose
 * the same, and there are ties. */
static void
coarse(hy_tensor *t, double step)
{
  for (int64_t i = 0; i < t->dim[0]; i++)
    for (int64_t j = 0; j < hy_cols(t); j++) {
      float *x = hy_f32(t) + i * t->ld + j;

      *x = (float)(step * round((double)*x / step));
    }
}

/* Every p-th token is padding; 0: none. */
static void
pad_some(ops_case *s, int p)
{
  s->batch.pad = test_alloc((size_t)s->batch.n_tokens, 1);
  for (int64_t t = 0; p && t < s->batch.n_tokens; t++)
    s->batch.pad[t] = t % p == 1;
}

/* What the CPU has found, in the order of the calls. */
static struct {
  char *p[4];
  int n;
} found;

/* The next result: kept from the CPU, compared of the GPU. */
static void
same(const hy_ctx *c, const void *from, size_t bytes)
{
  char *got = test_alloc(bytes, 1);

  c->be->mem->read(got, from, bytes);
  if (c->be == &hy_backend_cpu)
    found.p[found.n] = got;
  else
    assert_memory_equal(got, found.p[found.n], bytes);
  found.n++;
}

/* --- router -------------------------------------------------------------- */

static hy_route
route(hy_ctx *c, const ops_case *s, hy_tensor *logits, hy_tensor *bias)
{
  return hy_router(c, logits, bias, s->a.top_k, s->a.n_group, s->a.topk_group,
                   s->a.norm_topk, s->a.scale);
}

static hy_tensor *
call_router(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_route r = route(c, s, in[0], in[1]);
  int64_t n = in[0]->dim[0] * s->a.top_k;
  static float margin;
  float m;

  if (c->be->dry)
    return r.weight;
  found.n = 0;
  same(c, r.idx, (size_t)n * sizeof *r.idx);
  same(c, r.count, (size_t)hy_cols(in[0]) * sizeof *r.count);
  c->be->mem->read(&m, r.margin, sizeof m);
  if (c->be == &hy_backend_cpu)
    margin = m;
  else
    assert_true(m == margin || fabs((double)(m - margin)) < 1e-6);
  return r.weight;
}

/* A router that runs again does as it did, whatever the bias is by then. */
static hy_tensor *
text_again(hy_ctx *c, const void *arg, hy_tensor *logits)
{
  const ops_case *s = arg;

  return route(c, s, logits, s->a.state[c->again != NULL]).weight;
}

static hy_tensor *
call_again(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  s->a.state[0] = in[1];
  s->a.state[1] = in[2];
  return hy_replay(c, text_again, s, in[0]);
}

static void
router_case(int64_t T, int64_t n, int64_t k, int64_t n_group, int64_t keep,
            int again)
{
  ops_case *s = ops_new(T);

  ops_rows(s, T, n, -3, 3);
  coarse(s->in[0], 1.0 / 64);
  for (int i = 0; i <= again; i++) {
    ops_weight(s, OPS_DIM(n), -0.5, 0.5);
    coarse(s->in[1 + i], 0.25);
    s->frozen[1 + i] = 1;
  }
  pad_some(s, (int)(n % 5));
  s->a.top_k = k;
  s->a.n_group = n_group;
  s->a.topk_group = keep;
  s->a.scale = 2.5f;
  s->a.norm_topk = (int)(T % 2);
  s->n_out = T * k;
  s->call = again ? call_again : call_router;
  ops_check(s);
}

void
parity_router(void)
{
  static const int64_t shape[][4] = {
      {8, 1, 1, 1},     {8, 6, 4, 3},      {128, 6, 1, 1},
      {128, 22, 8, 4},  {130, 22, 1, 1},   {130, 6, 65, 9},
      {130, 130, 1, 1}, {1600, 6, 40, 33}, {700, 70, 1, 1}};
  static const int64_t sizes[] = {1, 65, 300};

  for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
    for (int j = 0; j < 3; j++)
      if (sizes[j] * shape[i][0] * shape[i][1] < 1000000)
        router_case(sizes[j], shape[i][0], shape[i][1], shape[i][2],
                    shape[i][3], 0);
  router_case(65, 128, 6, 1, 1, 1);
  router_case(9, 128, 40, 8, 4, 1);
}

/* --- permute and combine ------------------------------------------------- */

enum { RANDOM, ONE, LAST, N_KINDS }; /* all to few experts but one */

/* Ascending experts of each row, k of them, or as many as lists say. */
static int32_t *
make_idx(const ops_case *s, int64_t T, int64_t E, int kind)
{
  const int32_t *at = s->a.list;
  int32_t *idx =
      test_alloc((size_t)(at ? at[T] : T * s->a.top_k) + 1, sizeof *idx);

  for (int64_t t = 0, i = 0; t < T; t++) {
    int64_t k = at ? at[t + 1] - at[t] : s->a.top_k;

    for (int32_t e = 0; k > 0 && e < E; e++) {
      double left = (double)(E - e);

      if (kind == ONE || (kind == LAST && left <= (double)k) ||
          (kind == RANDOM && (test_random() + 1) / 2 * left < (double)k)) {
        idx[i++] = e;
        k--;
      }
    }
    assert_true(k == 0);
  }
  return idx;
}

/* Lists of different lengths up to k, some empty. */
static int32_t *
make_lists(int64_t T, int64_t k)
{
  int32_t *at = test_alloc((size_t)T + 1, sizeof *at);

  for (int64_t t = 0; t < T; t++)
    at[t + 1] = at[t] + (int32_t)(t % 7 < 3 ? 0 : (t * 5 + 2) % (k + 1));
  return at;
}

static hy_tensor *
call_permute(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  int64_t T = in[0]->dim[0], n = s->a.list ? s->a.list[T] : T * s->a.top_k;
  hy_tensor w = {.n_dim = 2,
                 .dim = {s->a.list ? n : T, s->a.list ? 1 : s->a.top_k, 1, 1}};
  hy_route r = {.weight = &w, .idx = s->a.idx, .list = s->a.list};
  hy_dispatched d = hy_permute(c, in[0], &r, s->a.n_heads);

  if (c->be->dry)
    return d.x;
  found.n = 0;
  same(c, d.pos, (size_t)n * sizeof *d.pos);
  same(c, d.offset, (size_t)(s->a.n_heads + 1) * sizeof *d.offset);
  return d.x;
}

static hy_tensor *
call_combine(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_dispatched d = {
      .pos = s->a.pos, .list = s->a.list, .n_row = s->batch.n_tokens};

  return hy_unpermute(c, in[0], &d, in[1]);
}

/* Row of each choice when they are sorted by expert. */
static int32_t *
make_pos(const int32_t *idx, int64_t n, int64_t E)
{
  int32_t *pos = test_alloc((size_t)n + 1, sizeof *pos), row = 0;

  for (int32_t e = 0; e < E; e++)
    for (int64_t i = 0; i < n; i++)
      if (idx[i] == e)
        pos[i] = row++;
  return pos;
}

static void
copies_case(int combine, int64_t T, int64_t E, int64_t k, int64_t width,
            int lists, int kind)
{
  ops_case *s = ops_new(T);
  int64_t n;

  s->a.top_k = k;
  s->a.n_heads = E;
  s->a.list = lists ? make_lists(T, k) : NULL;
  n = lists ? s->a.list[T] : T * k;
  ops_rows(s, combine ? n : T, width, -1, 1);
  if (combine)
    ops_rows(s, lists ? n : T, lists ? 1 : k, -1, 1);
  s->view[0] = 1;
  s->a.idx = make_idx(s, T, E, kind);
  s->a.pos = make_pos(s->a.idx, n, E);
  s->n_out = (combine ? T : n) * width;
  s->call = combine ? call_combine : call_permute;
  ops_check(s);
}

static void
copies(int combine)
{
  static const int64_t sizes[] = {1, 65, 300};
  static const int64_t shape[][3] = {
      {8, 1, 7}, {8, 6, 16}, {128, 6, 17}, {130, 22, 8}, {130, 3, 1040}};

  for (int i = 0; i < 3; i++)
    for (int j = 0; j < (sizes[i] > 100 ? 3 : 5); j++)
      for (int lists = 0; lists < 2; lists++)
        copies_case(combine, sizes[i], shape[j][0], shape[j][1], shape[j][2],
                    lists, (i + j + lists) % N_KINDS);
  copies_case(combine, 700, 2000, 2, 8, 1, RANDOM);
  copies_case(combine, 300, 128, 6, 8, 0, ONE);
}

void
parity_permute(void)
{
  copies(0);
}

void
parity_combine(void)
{
  copies(1);
}

/* --- the balance loss ---------------------------------------------------- */

static hy_tensor *
call_seq_count(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_seq_count(c, in[0], s->a.top_k, s->a.doc, 5);
}

void
parity_seq_count(void)
{
  static const int64_t shape[][3] = {
      {1, 8, 1}, {65, 128, 6}, {300, 130, 22}, {40, 1600, 6}};

  for (int i = 0; i < 4; i++) {
    int64_t T = shape[i][0], n = shape[i][1];
    ops_case *s = ops_new(T);
    int32_t *doc = test_alloc((size_t)T, sizeof *doc);

    ops_rows(s, T, n, -2, 2);
    coarse(s->in[0], 1.0 / 64);
    pad_some(s, 4);
    for (int64_t t = 0; t < T; t++)
      doc[t] = (int32_t)(t / 37 % 6) - 1;
    s->a.doc = doc;
    s->a.top_k = shape[i][2];
    s->frozen[0] = 1;
    s->n_out = 5 * (n + 1);
    s->call = call_seq_count;
    ops_check(s);
  }
}

/* As hy_seq_aux makes it on a rank that has the tokens from token0 on, and of
 * some documents only a part. */
static hy_tensor *
call_seq_aux(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_rec *r = hy_rec_new(c, &c->be->op[HY_OP_seq_aux], s->n_in, in);

  r->attr.top_k = s->a.top_k;
  r->attr.scale = s->a.scale;
  r->attr.token0 = s->a.token0;
  r->attr.doc = s->a.doc;
  r->attr.pad = s->batch.pad;
  r->attr.seq_start = s->batch.seq_start;
  r->attr.over = &s->batch.n_docs;
  r->attr.value = &s->value;
  hy_rec_save(c, r, HY_F32, in[0]->dim[0], hy_cols(in[0]));
  hy_exec(c, r);
  return NULL;
}

/* Documents of these lengths; with `cut` the first and the last have more
 * tokens elsewhere. pad: 0 none, 1 some, 2 all of some documents. */
static void
aux_case(int64_t T, int64_t n, int64_t k, const int *len, int n_len, int cut,
         int pad)
{
  ops_case *s = ops_new(T);
  int32_t *first = test_docs(T, len, n_len);
  int32_t *doc = test_alloc((size_t)T, sizeof *doc);

  s->batch.seq_start = first;
  ops_rows(s, T, n, -2, 2);
  coarse(s->in[0], 1.0 / 64);
  if (cut) {
    ops_rows(s, 2, n + 1, 5, 40);
    coarse(s->in[1], 1);
    s->frozen[1] = 1;
    s->a.token0 = 40;
  }
  pad_some(s, pad == 1 ? 4 : 0);
  for (int64_t t = 0, last = T > 0 ? first[T - 1] : 0; t < T; t++) {
    if (pad == 2)
      s->batch.pad[t] = first[t] % 3 == 1;
    doc[t] = first[t] == 0 ? 1 : first[t] == last ? 0 : -1;
    if (cut)
      first[t] += first[t] == 0 ? 11 : 40;
  }
  s->a.doc = cut ? doc : NULL;
  s->batch.n_docs = 5;
  s->a.top_k = k;
  s->a.scale = 0.7f;
  s->loss = 1.0;
  s->call = call_seq_aux;
  ops_check(s);
}

void
parity_seq_aux(void)
{
  static const int whole[] = {1000}, one[] = {1}, border[] = {64},
                   odd[] = {3, 61, 1, 130, 64, 7};
  static const struct {
    const int *len;
    int n;
  } docs[] = {{whole, 1}, {one, 1}, {border, 1}, {odd, 6}};
  static const int64_t sizes[] = {1, 64, 65, 300};
  static const int64_t shape[][2] = {{8, 1}, {130, 6}, {128, 22}, {40, 3}};

  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++)
      for (int cut = 0; cut < 2; cut++)
        aux_case(sizes[i], shape[(i + j) % 4][0], shape[(i + j) % 4][1],
                 docs[j].len, docs[j].n, cut, (i + j + cut) % 3);
  aux_case(70, 1200, 6, odd, 6, 0, 1);
}
