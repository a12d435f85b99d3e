/* test_ops_case.h: makes the inputs of a case; included once, by the file that
 * checks the cases (op/test_ops.c, gpu/test_parity.c). */
#include "op/test_ops.h"

ops_case *
ops_new(int64_t n_tokens)
{
  ops_case *s = test_alloc(1, sizeof *s);

  s->batch = (hy_batch){
      .n_rows = 1, .seq_len = n_tokens, .n_tokens = n_tokens, .n_docs = 1};
  s->batch.seq_start = test_alloc((size_t)n_tokens, sizeof *s->batch.seq_start);
  return s;
}

hy_tensor *
ops_rows(ops_case *s, int64_t rows, int64_t cols, double lo, double hi)
{
  hy_tensor *t = test_tensor(rows, cols, 3);

  test_fill(t, lo, hi);
  s->in[s->n_in++] = t;
  return t;
}

hy_tensor *
ops_weight(ops_case *s, int n_dim, const int64_t *dim, double lo, double hi)
{
  int64_t cols = 1;
  hy_tensor *t;

  for (int i = 1; i < n_dim; i++)
    cols *= dim[i];
  t = test_tensor(dim[0], cols, 0);
  test_fill(t, lo, hi);
  t->n_dim = n_dim;
  for (int i = 0; i < 4; i++)
    t->dim[i] = i < n_dim ? dim[i] : 1;
  s->in[s->n_in++] = t;
  return t;
}
