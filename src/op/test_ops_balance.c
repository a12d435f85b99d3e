/* test_ops_balance.c: cases of the balance loss. */
#include "op/test_ops.h"

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
    ops_largest(score, n, k, idx);
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

/* Every other document is cut; padding counts nowhere. */
static hy_tensor *
call_seq_count(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_seq_count(c, in[0], s->a.top_k, s->a.doc, 3);
}

static void
naive_seq_count(const ops_case *s, double *y)
{
  int64_t n = hy_cols(s->in[0]), k = s->a.top_k;
  int32_t idx[16];

  for (int64_t i = 0; i < 3 * (n + 1); i++)
    y[i] = 0.0;
  for (int64_t t = 0; t < s->batch.n_tokens; t++) {
    double *row = y + s->a.doc[t] * (n + 1);

    if (s->a.doc[t] < 0 || s->batch.pad[t])
      continue;
    ops_largest(s->x[0] + t * n, n, k, idx);
    for (int64_t j = 0; j < k; j++)
      row[idx[j]] += 1.0;
    row[n] += 1.0;
  }
}

void
ops_seq_count(void)
{
  static const int64_t sizes[] = {0, 1, 8, 33};

  for (int i = 0; i < 4; i++) {
    ops_case *s = ops_new(sizes[i]);
    int32_t *doc = test_alloc((size_t)sizes[i], sizeof *doc);

    ops_rows(s, sizes[i], 6, -2, 2);
    s->batch.pad = test_alloc((size_t)sizes[i], 1);
    for (int64_t t = 0; t < sizes[i]; t++) {
      s->batch.pad[t] = t % 4 == 3;
      doc[t] = (int32_t)(t / 5 % 4) - 1;
    }
    s->a.doc = doc;
    s->a.top_k = 2;
    s->frozen[0] = 1;
    s->n_out = 3 * 7;
    s->call = call_seq_count;
    s->naive = naive_seq_count;
    ops_check(s);
    test_release();
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
