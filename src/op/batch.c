#include "op/batch.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

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

void
hy_batch_columns(hy_batch *b)
{
  size_t n = (size_t)b->n_tokens;

  b->token = hy_calloc(n, sizeof *b->token);
  b->target = hy_calloc(n, sizeof *b->target);
  b->weight = hy_calloc(n, sizeof *b->weight);
  b->seq_start = hy_calloc(n, sizeof *b->seq_start);
  b->pad = hy_calloc(n, sizeof *b->pad);
  for (int k = 0; k < b->n_ahead; k++) {
    b->ahead[k].token = hy_calloc(n, sizeof *b->token);
    b->ahead[k].target = hy_calloc(n, sizeof *b->target);
    b->ahead[k].weight = hy_calloc(n, sizeof *b->weight);
  }
}

void
hy_batch_columns_free(hy_batch *b)
{
  free(b->token);
  free(b->target);
  free(b->weight);
  free(b->seq_start);
  free(b->pad);
  for (int k = 0; k < b->n_ahead; k++) {
    free(b->ahead[k].token);
    free(b->ahead[k].target);
    free(b->ahead[k].weight);
  }
}

void
hy_batch_room(hy_batch *b, int64_t n_rows, int64_t seq_len, int cp, int cp_rank,
              int n_ahead)
{
  *b = (hy_batch){.n_rows = n_rows, .seq_len = seq_len, .n_ahead = n_ahead};
  b->n_tokens =
      n_rows * (cp == 1 ? seq_len : hy_cut_tokens(seq_len, cp, cp_rank));
  hy_batch_columns(b);
  b->doc = hy_calloc((size_t)b->n_tokens, sizeof *b->doc);
  b->span = hy_calloc((size_t)(2 * n_rows), sizeof *b->span);
  b->row_start = hy_calloc((size_t)(2 * cp * n_rows), sizeof *b->row_start);
}

void
hy_batch_free(hy_batch *b)
{
  hy_batch_columns_free(b);
  free(b->doc);
  free((void *)(uintptr_t)b->span);
  free((void *)(uintptr_t)b->row_start);
  *b = (hy_batch){0};
}

static void *
column(const void *room, const void *from, int64_t n, size_t size)
{
  void *to = (void *)(uintptr_t)room;

  if (!from)
    return NULL;
  if (n > 0)
    memcpy(to, from, (size_t)n * size);
  return to;
}

void
hy_batch_copy(hy_batch *copy, const hy_batch *room, const hy_batch *from,
              int cp)
{
  int64_t n = from->n_tokens;

  *copy = *from;
  copy->token = column(room->token, from->token, n, sizeof *copy->token);
  copy->target = column(room->target, from->target, n, sizeof *copy->target);
  copy->weight = column(room->weight, from->weight, n, sizeof *copy->weight);
  copy->seq_start =
      column(room->seq_start, from->seq_start, n, sizeof *copy->seq_start);
  copy->pad = column(room->pad, from->pad, n, sizeof *copy->pad);
  copy->doc = column(room->doc, from->doc, n, sizeof *copy->doc);
  copy->span = column(room->span, from->span, from->n_span, sizeof *copy->span);
  copy->row_start = column(room->row_start, from->row_start,
                           from->n_rows * 2 * cp, sizeof *copy->row_start);
  for (int k = 0; k < from->n_ahead; k++) {
    copy->ahead[k].token =
        column(room->ahead[k].token, from->ahead[k].token, n, sizeof(int32_t));
    copy->ahead[k].target = column(room->ahead[k].target, from->ahead[k].target,
                                   n, sizeof(int32_t));
    copy->ahead[k].weight =
        column(room->ahead[k].weight, from->ahead[k].weight, n, sizeof(float));
  }
}
