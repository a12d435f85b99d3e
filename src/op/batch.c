#include "op/batch.h"

void
hy_batch_ahead(hy_batch *b)
{
  for (int k = 1; k <= b->n_ahead; k++)
    for (int64_t t = 0; t < b->n_tokens; t++) {
      int64_t u = t + k;
      int same = u < b->n_tokens && b->seq_start[u] <= t;

      b->ahead[k - 1].token[t] = same ? b->token[u] : 0;
      b->ahead[k - 1].target[t] = same ? b->target[u] : 0;
      b->ahead[k - 1].weight[t] = same ? b->weight[u] : 0;
    }
}

int64_t
hy_cut_tokens(int64_t seq_len, int cp, int rank)
{
  int far = 2 * cp - 1 - rank;

  return hy_cut_at(seq_len, cp, rank + 1) - hy_cut_at(seq_len, cp, rank) +
         hy_cut_at(seq_len, cp, far + 1) - hy_cut_at(seq_len, cp, far);
}

int64_t
hy_cut_global(int64_t seq_len, int cp, int rank, int64_t t)
{
  int64_t each = hy_cut_tokens(seq_len, cp, rank), u = t % each;
  int64_t near = hy_cut_at(seq_len, cp, rank);
  int64_t n_near = hy_cut_at(seq_len, cp, rank + 1) - near;

  if (u < n_near)
    return t / each * seq_len + near + u;
  return t / each * seq_len + hy_cut_at(seq_len, cp, 2 * cp - 1 - rank) + u -
         n_near;
}

void
hy_cut_spans(hy_span *span, int64_t n_rows, int64_t seq_len, int cp, int rank,
             const int64_t *row_start)
{
  int64_t local = 0;

  for (int64_t i = 0; i < 2 * n_rows; i++) {
    int p = i % 2 ? 2 * cp - 1 - rank : rank;
    int64_t at = hy_cut_at(seq_len, cp, p), row = i / 2;
    int64_t doc = row_start ? row_start[row * 2 * cp + p] : 0;

    span[i] = (hy_span){.at = local,
                        .n = hy_cut_at(seq_len, cp, p + 1) - at,
                        .row = (int32_t)row,
                        .piece = p,
                        .before = at - doc};
    local += span[i].n;
  }
}
