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
