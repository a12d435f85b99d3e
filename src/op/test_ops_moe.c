/* test_ops_moe.c: cases of routing and its copies. */
#include "op/test_ops.h"

/* --- router -------------------------------------------------------------- */

/* The sum of the two best scores of each group decides. */
static void
drop_groups(double *v, int64_t n, int64_t n_group, int64_t keep)
{
  double best[16], top[2];
  int32_t kept[16];
  int64_t size = n / n_group;

  for (int64_t g = 0; g < n_group; g++) {
    top[0] = top[1] = size > 1 ? -1e9 : 0.0;
    for (int64_t i = g * size; i < (g + 1) * size; i++) {
      top[1] = fmax(top[1], fmin(top[0], v[i]));
      top[0] = i == g * size ? v[i] : fmax(top[0], v[i]);
    }
    best[g] = top[0] + (size > 1 ? top[1] : 0.0);
  }
  ops_largest(best, n_group, keep, kept);
  for (int64_t g = 0; g < n_group; g++) {
    int in = 0;

    for (int64_t i = 0; i < keep; i++)
      in |= kept[i] == g;
    for (int64_t i = g * size; !in && i < (g + 1) * size; i++)
      v[i] = -1e9;
  }
}

/* What the router has to choose, from the inputs as they are. */
static int32_t *
choices(const ops_case *s)
{
  const hy_tensor *x = s->in[0];
  int64_t n = hy_cols(x), k = s->a.top_k;
  int32_t *idx = test_alloc((size_t)(x->dim[0] * k), sizeof *idx);
  double v[64];

  for (int64_t t = 0; t < x->dim[0]; t++) {
    for (int64_t e = 0; e < n; e++)
      v[e] = ops_sigmoid((double)hy_f32(x)[t * x->ld + e]) +
             (double)hy_f32(s->in[1])[e];
    if (s->a.n_group > 1)
      drop_groups(v, n, s->a.n_group, s->a.topk_group);
    ops_largest(v, n, k, idx + t * k);
  }
  return idx;
}

/* Smallest distance of the last expert chosen from the best one left. */
static double
margin(const ops_case *s)
{
  const hy_tensor *x = s->in[0];
  int64_t n = hy_cols(x), k = s->a.top_k;
  double least = INFINITY;

  for (int64_t t = 0; t < x->dim[0]; t++) {
    const int32_t *idx = s->a.idx + t * k;
    double last = INFINITY, next = -INFINITY;

    for (int64_t e = 0; e < n; e++) {
      double v = ops_sigmoid((double)hy_f32(x)[t * x->ld + e]) +
                 (double)hy_f32(s->in[1])[e];
      int in = 0;

      for (int64_t j = 0; j < k; j++)
        in |= idx[j] == e;
      last = in ? fmin(last, v) : last;
      next = in ? next : fmax(next, v);
    }
    if (!(s->batch.pad && s->batch.pad[t]))
      least = fmin(least, last - next);
  }
  return least;
}

/* What lies in backend memory. */
static void *
host(const hy_ctx *c, const void *from, size_t bytes)
{
  void *p = test_alloc(bytes, 1);

  c->be->mem->read(p, from, bytes);
  return p;
}

static hy_tensor *
call_router(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  int64_t n = hy_cols(in[0]), k = s->a.top_k, T = in[0]->dim[0];
  hy_route r = hy_router(c, in[0], in[1], k, s->a.n_group, s->a.topk_group,
                         s->a.norm_topk, s->a.scale);
  const int32_t *idx, *count;
  float by;

  if (c->be->dry)
    return r.weight;
  idx = host(c, r.idx, (size_t)(T * k) * sizeof *idx);
  count = host(c, r.count, (size_t)n * sizeof *count);
  by = *(float *)host(c, r.margin, sizeof by);
  assert_memory_equal(idx, s->a.idx, (size_t)(T * k) * sizeof *idx);
  assert_true(s->a.n_group > 1 || fabs((double)by - margin(s)) < 1e-6 ||
              (isinf(by) && isinf(margin(s))));
  for (int64_t e = 0; e < n; e++) {
    int32_t want = 0;

    for (int64_t i = 0; i < T * k; i++)
      want += s->a.idx[i] == e && !(s->batch.pad && s->batch.pad[i / k]);
    assert_int_equal(count[e], want);
  }
  return r.weight;
}

static void
naive_router(const ops_case *s, double *w)
{
  int64_t n = hy_cols(s->in[0]), k = s->a.top_k;

  for (int64_t t = 0; t < s->in[0]->dim[0]; t++) {
    double sum = 1e-20;

    for (int64_t j = 0; j < k; j++) {
      w[t * k + j] = ops_sigmoid(s->x[0][t * n + s->a.idx[t * k + j]]);
      sum += w[t * k + j];
    }
    for (int64_t j = 0; j < k; j++)
      w[t * k + j] *= (double)s->a.scale / (s->a.norm_topk ? sum : 1.0);
  }
}

static ops_case *
router_case(int64_t T, int64_t n, int64_t k, int64_t n_group, int64_t keep)
{
  ops_case *s = ops_new(T);

  ops_rows(s, T, n, -3, 3);
  ops_weight(s, OPS_DIM(n), -0.5, 0.5);
  s->view[0] = 1;
  s->frozen[1] = 1;
  s->a.top_k = k;
  s->a.n_group = n_group;
  s->a.topk_group = keep;
  s->a.scale = 2.5f;
  s->a.norm_topk = 1;
  s->n_out = T * k;
  s->call = call_router;
  s->naive = naive_router;
  return s;
}

static void
router_check(ops_case *s)
{
  s->a.idx = choices(s);
  ops_check(s);
}

/* Equal scores, equal groups: the lower number is taken. */
static void
router_ties(int64_t n_group, int64_t keep)
{
  ops_case *s = router_case(5, 12, 4, n_group, keep);
  static const float level[] = {0.5f, -1.0f, 0.5f, 2.0f};

  for (int64_t e = 0; e < 12; e++) {
    hy_f32(s->in[1])[e] = 0.25f;
    for (int64_t t = 0; t < 5; t++)
      hy_f32(s->in[0])[t * s->in[0]->ld + e] =
          t == 0 ? 0.0f : level[(e * t) % 4];
  }
  router_check(s);
}

void
ops_router(void)
{
  static const int64_t sizes[] = {0, 1, 7, 33};
  static const int64_t shape[][4] = {{8, 2, 1, 1},  {8, 3, 4, 2}, {1, 1, 1, 1},
                                     {12, 6, 2, 1}, {6, 2, 6, 3}, {5, 5, 1, 1}};

  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 6; j++)
      for (int norm = 0; norm < 2; norm++) {
        const int64_t *p = shape[j];
        ops_case *s = router_case(sizes[i], p[0], p[1], p[2], p[3]);

        s->a.norm_topk = norm;
        if (j % 2) { /* every third token is padding */
          s->batch.pad = test_alloc((size_t)sizes[i], 1);
          for (int64_t t = 0; t < sizes[i]; t += 3)
            s->batch.pad[t] = 1;
        }
        router_check(s);
      }
  router_ties(1, 1);
  router_ties(4, 2);
  router_ties(12, 5); /* groups of one */
  test_release();
}

/* --- permute and combine ------------------------------------------------- */

enum { N_EXPERTS = 6 };

/* How rows choose: at random, all the same, or by turns. A row has top_k
 * choices, or with at[] the lists' numbers. */
static int32_t *
make_idx(const ops_case *s, int64_t T, int kind)
{
  const int32_t *at = s->a.list;
  int32_t *idx = test_alloc((size_t)(T * N_EXPERTS), sizeof *idx);
  int64_t k = s->a.top_k;
  double v[N_EXPERTS];

  for (int64_t t = 0; t < T; t++) {
    for (int e = 0; e < N_EXPERTS; e++)
      v[e] = kind == 0   ? test_random()
             : kind == 1 ? (double)(e == 4) * 2.0 + (double)(e == 1)
                         : (double)((e + t) % N_EXPERTS);
    if (at)
      ops_largest(v, N_EXPERTS, at[t + 1] - at[t], idx + at[t]);
    else
      ops_largest(v, N_EXPERTS, k, idx + t * k);
  }
  return idx;
}

/* Lists of 0 to 3 choices. */
static int32_t *
make_lists(int64_t T)
{
  int32_t *at = test_alloc((size_t)T + 1, sizeof *at);

  for (int64_t t = 0; t < T; t++)
    at[t + 1] = at[t] + (int32_t)((t * 5 + 2) % 4);
  return at;
}

static int64_t
n_choices(const ops_case *s, int64_t T)
{
  return s->a.list ? s->a.list[T] : T * s->a.top_k;
}

/* Row that choice i is of. */
static int64_t
row_of(const ops_case *s, int64_t i)
{
  int64_t t = 0;

  if (!s->a.list)
    return i / s->a.top_k;
  while (s->a.list[t + 1] <= i)
    t++;
  return t;
}

/* Row of each choice: sorted by expert, tokens in order inside one. */
static int32_t *
make_pos(const int32_t *idx, int64_t n_choice, int32_t *offset)
{
  int32_t *pos = test_alloc((size_t)n_choice, sizeof *pos), row = 0;

  for (int32_t e = 0; e < N_EXPERTS; e++) {
    offset[e] = row;
    for (int64_t i = 0; i < n_choice; i++)
      if (idx[i] == e)
        pos[i] = row++;
  }
  offset[N_EXPERTS] = row;
  return pos;
}

static hy_tensor *
call_permute(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  int64_t n = n_choices(s, in[0]->dim[0]);
  hy_tensor w = {
      .n_dim = 2,
      .dim = {s->a.list ? n : in[0]->dim[0], s->a.list ? 1 : s->a.top_k, 1, 1}};
  hy_route route = {.weight = &w, .idx = s->a.idx, .list = s->a.list};
  hy_dispatched d = hy_permute(c, in[0], &route, N_EXPERTS);

  if (!c->be->dry) {
    size_t pos = (size_t)n * sizeof *d.pos;
    size_t offset = (N_EXPERTS + 1) * sizeof *d.offset;

    assert_memory_equal(host(c, d.pos, pos), s->a.pos, pos);
    assert_memory_equal(host(c, d.offset, offset), s->a.offset, offset);
  }
  return d.x;
}

static void
naive_permute(const ops_case *s, double *y)
{
  int64_t n = hy_cols(s->in[0]);

  for (int64_t i = 0; i < n_choices(s, s->in[0]->dim[0]); i++)
    for (int64_t j = 0; j < n; j++)
      y[s->a.pos[i] * n + j] = s->x[0][row_of(s, i) * n + j];
}

static hy_tensor *
call_combine(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_dispatched d = {.offset = s->a.offset,
                     .pos = s->a.pos,
                     .list = s->a.list,
                     .n_row = s->batch.n_tokens};

  return hy_unpermute(c, in[0], &d, in[1]);
}

static void
naive_combine(const ops_case *s, double *y)
{
  int64_t n = hy_cols(s->in[0]);

  for (int64_t i = 0; i < s->n_out; i++)
    y[i] = 0.0;
  for (int64_t i = 0; i < n_choices(s, s->batch.n_tokens); i++)
    for (int64_t j = 0; j < n; j++)
      y[row_of(s, i) * n + j] += s->x[1][i] * s->x[0][s->a.pos[i] * n + j];
}

/* k = 0: lists. */
static void
copies_case(int combine, int64_t T, int64_t k, int kind)
{
  ops_case *s = ops_new(T);
  int32_t *offset = test_alloc(N_EXPERTS + 1, sizeof *offset);
  int64_t n;

  s->a.top_k = k;
  s->a.list = k ? NULL : make_lists(T);
  n = n_choices(s, T);
  ops_rows(s, combine ? n : T, 5, -1, 1);
  if (combine)
    ops_rows(s, k ? T : n, k ? k : 1, -1, 1);
  s->view[0] = 1;
  s->a.idx = make_idx(s, T, kind);
  s->a.pos = make_pos(s->a.idx, n, offset);
  s->a.offset = offset;
  s->n_out = combine ? T * 5 : n * 5;
  s->call = combine ? call_combine : call_permute;
  s->naive = combine ? naive_combine : naive_permute;
  ops_check(s);
  test_release();
}

static void
copies(int combine)
{
  static const int64_t sizes[] = {0, 1, 7, 20};

  for (int i = 0; i < 4; i++)
    for (int64_t k = 0; k <= 3; k++)
      for (int kind = 0; kind < 3; kind++)
        copies_case(combine, sizes[i], k, kind);
}

void
ops_permute(void)
{
  copies(0);
}

void
ops_combine(void)
{
  copies(1);
}
