/* test_ops_moe.c: cases of routing, its copies and the balance loss. */
#include "op/test_ops.h"

/* The k largest of v[0..n), ascending; of equal values the first. */
static void
largest(const double *v, int64_t n, int64_t k, int32_t *out)
{
  int64_t found = 0;

  for (int64_t e = 0; e < n; e++) {
    int64_t better = 0;

    for (int64_t o = 0; o < n; o++)
      better += v[o] > v[e] || (v[o] == v[e] && o < e);
    if (better < k)
      out[found++] = (int32_t)e;
  }
  assert_true(found == k);
}

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
  largest(best, n_group, keep, kept);
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
    largest(v, n, k, idx + t * k);
  }
  return idx;
}

static hy_tensor *
call_router(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  int64_t n = hy_cols(in[0]), k = s->a.top_k, T = in[0]->dim[0];
  hy_route r = hy_router(c, in[0], in[1], k, s->a.n_group, s->a.topk_group,
                         s->a.norm_topk, s->a.scale);

  if (c->be->dry)
    return r.weight;
  assert_memory_equal(r.idx, s->a.idx, (size_t)(T * k) * sizeof *r.idx);
  for (int64_t e = 0; e < n; e++) {
    int32_t want = 0;

    for (int64_t i = 0; i < T * k; i++)
      want += s->a.idx[i] == e && !(s->batch.pad && s->batch.pad[i / k]);
    assert_int_equal(r.count[e], want);
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

/* How tokens choose: at random, all the same, or by turns. */
static int32_t *
make_idx(int64_t T, int64_t k, int kind)
{
  int32_t *idx = test_alloc((size_t)(T * k), sizeof *idx);
  double v[N_EXPERTS];

  for (int64_t t = 0; t < T; t++) {
    for (int e = 0; e < N_EXPERTS; e++)
      v[e] = kind == 0   ? test_random()
             : kind == 1 ? (double)(e == 4) * 2.0 + (double)(e == 1)
                         : (double)((e + t) % N_EXPERTS);
    largest(v, N_EXPERTS, k, idx + t * k);
  }
  return idx;
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
  hy_tensor w = {.n_dim = 2, .dim = {in[0]->dim[0], s->a.top_k, 1, 1}};
  hy_route route = {&w, s->a.idx, NULL};
  hy_dispatched d = hy_permute(c, in[0], &route, N_EXPERTS);
  size_t n = (size_t)(in[0]->dim[0] * s->a.top_k);

  if (!c->be->dry) {
    assert_memory_equal(d.pos, s->a.pos, n * sizeof *d.pos);
    assert_memory_equal(d.offset, s->a.offset,
                        (N_EXPERTS + 1) * sizeof *d.offset);
  }
  return d.x;
}

static void
naive_permute(const ops_case *s, double *y)
{
  int64_t n = hy_cols(s->in[0]), k = s->a.top_k;

  for (int64_t i = 0; i < s->in[0]->dim[0] * k; i++)
    for (int64_t j = 0; j < n; j++)
      y[s->a.pos[i] * n + j] = s->x[0][i / k * n + j];
}

static hy_tensor *
call_combine(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_dispatched d = {in[0], s->a.offset, s->a.pos};

  return hy_unpermute(c, in[0], &d, in[1]);
}

static void
naive_combine(const ops_case *s, double *y)
{
  int64_t n = hy_cols(s->in[0]), k = s->a.top_k;

  for (int64_t i = 0; i < s->n_out; i++) {
    y[i] = 0.0;
    for (int64_t j = i / n * k; j < (i / n + 1) * k; j++)
      y[i] += s->x[1][j] * s->x[0][s->a.pos[j] * n + i % n];
  }
}

static void
copies(int combine)
{
  static const int64_t sizes[] = {0, 1, 7, 20};

  for (int i = 0; i < 4; i++)
    for (int64_t k = 1; k <= 3; k++)
      for (int kind = 0; kind < 3; kind++) {
        int64_t T = sizes[i];
        ops_case *s = ops_new(T);
        int32_t *offset = test_alloc(N_EXPERTS + 1, sizeof *offset);

        ops_rows(s, combine ? T * k : T, 5, -1, 1);
        if (combine)
          ops_rows(s, T, k, -1, 1);
        s->view[0] = 1;
        s->a.top_k = k;
        s->a.idx = make_idx(T, k, kind);
        s->a.pos = make_pos(s->a.idx, T * k, offset);
        s->a.offset = offset;
        s->n_out = combine ? T * 5 : T * k * 5;
        s->call = combine ? call_combine : call_permute;
        s->naive = combine ? naive_combine : naive_permute;
        ops_check(s);
        test_release();
      }
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

/* --- balance loss -------------------------------------------------------- */

static hy_tensor *
call_seq_aux(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  hy_seq_aux(c, in[0], s->a.top_k, s->a.scale, &s->value);
  return NULL;
}

/* The tokens first .. end-1 are one document. */
static double
document_aux(const ops_case *s, int64_t first, int64_t end)
{
  int64_t n = hy_cols(s->in[0]), k = s->a.top_k, n_real = 0;
  double sum[16] = {0}, load[16] = {0}, score[16], all = 0.0;
  int32_t idx[16];

  for (int64_t t = first; t < end; t++) {
    double total = 0.0;

    if (s->batch.pad[t])
      continue;
    n_real++;
    for (int64_t e = 0; e < n; e++)
      total += score[e] = ops_sigmoid(s->x[0][t * n + e]);
    largest(score, n, k, idx);
    for (int64_t j = 0; j < k; j++)
      load[idx[j]] += 1.0;
    for (int64_t e = 0; e < n; e++)
      sum[e] += score[e] / total;
  }
  for (int64_t e = 0; e < n; e++)
    all += sum[e] * load[e];
  return n_real == 0 ? 0.0
                     : all * (double)s->a.scale * (double)n /
                           (double)(k * n_real * n_real);
}

static void
naive_seq_aux(const ops_case *s, double *value)
{
  int64_t T = s->batch.n_tokens, first = 0;

  *value = 0.0;
  for (int64_t t = 1; t <= T; t++)
    if (t == T || s->batch.seq_start[t] != s->batch.seq_start[first]) {
      *value += document_aux(s, first, t) / s->batch.n_docs;
      first = t;
    }
}

void
ops_seq_aux(void)
{
  static const int len[] = {7, 1, 4, 13}, whole[] = {1000};
  static const int64_t sizes[] = {0, 1, 8, 33};

  for (int i = 0; i < 4; i++)
    for (int packed = 0; packed < 2; packed++)
      for (int pad = 0; pad < 3; pad++) { /* none, some, a whole document */
        ops_case *s = ops_new(sizes[i]);

        ops_rows(s, sizes[i], 6, -2, 2);
        s->batch.seq_start = packed ? test_docs(sizes[i], len, 4)
                                    : test_docs(sizes[i], whole, 1);
        s->batch.pad = test_alloc((size_t)sizes[i], 1);
        for (int64_t t = 0; t < sizes[i]; t++)
          s->batch.pad[t] = (pad == 1 && t % 4 == 3) || (pad == 2 && t >= 8);
        s->batch.n_docs = 5;
        s->view[0] = 1;
        s->a.top_k = 2;
        s->a.scale = 0.7f;
        s->loss = 1.0;
        s->call = call_seq_aux;
        s->naive = naive_seq_aux;
        ops_check(s);
        test_release();
      }
}
