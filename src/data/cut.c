#include "data/cut.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct hy_cut {
  hy_cut_layout layout;
  int64_t seq_len;
  hy_batch b; /* columns of this rank */
  hy_span *span;
  int64_t *row_start;
  int32_t *number; /* of each token's document, whole rows; -1: not cut */
};

hy_cut_layout
hy_cut_layout_of(const hy_grid *grid, int64_t d_conv)
{
  return (hy_cut_layout){.cp = grid->cp.size,
                         .rank = grid->cp.rank,
                         .tp = grid->tp.size,
                         .least = d_conv > 2 ? (int)d_conv - 1 : 1};
}

/* ---- which documents are cut ---- */

/* border[t] = 1: token t and the one before lie in different spans, or in
 * different slices over tp. */
static void
mark_borders(const hy_cut *c, const hy_batch *all, int32_t *border)
{
  int cp = c->layout.cp, tp = c->layout.tp;
  int64_t s = c->seq_len;

  memset(border, 0, (size_t)all->n_tokens * sizeof *border);
  for (int64_t row = 0; row < all->n_rows && cp > 1; row++)
    for (int p = 0; p < 2 * cp; p++)
      border[row * s + hy_cut_at(s, cp, p)] = 1;
  for (int r = 0; r < cp; r++) {
    int64_t n = all->n_rows * hy_cut_tokens(s, cp, r);

    for (int q = 1; q < tp && n > 0; q++)
      border[hy_cut_global(s, cp, r, n * q / tp)] = 1;
  }
}

/* Documents with a border inside, in the order of the rows. */
static int64_t
number_docs(hy_cut *c, const hy_batch *all)
{
  int32_t *number = c->number, n = 0;
  int64_t end;

  mark_borders(c, all, number);
  for (int64_t t = 0; t < all->n_tokens; t = end) {
    int cut = 0;

    for (end = t + 1; end < all->n_tokens && all->seq_start[end] <= t; end++)
      cut |= number[end];
    cut &= !all->pad[t];
    for (int64_t u = t; u < end; u++)
      number[u] = cut ? n : -1;
    n += cut;
  }
  return n;
}

/* ---- columns ---- */

#define COLUMN(c, name)                                                        \
  memcpy((c)->b.name + span->at, all->name + from,                             \
         (size_t)span->n * sizeof *all->name)

static void
cut_span(hy_cut *c, const hy_batch *all, const hy_span *span)
{
  int64_t from =
      span->row * c->seq_len + hy_cut_at(c->seq_len, c->layout.cp, span->piece);

  COLUMN(c, token);
  COLUMN(c, target);
  COLUMN(c, weight);
  COLUMN(c, pad);
  for (int k = 0; k < all->n_ahead; k++) {
    COLUMN(c, ahead[k].token);
    COLUMN(c, ahead[k].target);
    COLUMN(c, ahead[k].weight);
  }
  memcpy(c->b.doc + span->at, c->number + from,
         (size_t)span->n * sizeof *c->number);
  for (int64_t i = 0; i < span->n; i++) {
    int64_t first = all->seq_start[from + i] - from;

    c->b.seq_start[span->at + i] =
        (int32_t)(span->at + (first > 0 ? first : 0));
  }
}

/* Row index of the first token of the document at the begin of each piece. */
static void
find_row_starts(hy_cut *c, const hy_batch *all)
{
  int n = 2 * c->layout.cp;

  for (int64_t i = 0; i < all->n_rows * n; i++) {
    int64_t row = i / n * c->seq_len;
    int64_t at = hy_cut_at(c->seq_len, c->layout.cp, (int)(i % n));

    c->row_start[i] = all->seq_start[row + at] - row;
  }
}

void
hy_cut_rows(hy_cut *c, const hy_batch *all, hy_batch *mine)
{
  hy_batch b = *all;

  if (c->layout.cp > 1 || c->layout.tp > 1) {
    b.n_cut_docs = number_docs(c, all);
    b.doc = c->number;
  }
  if (c->layout.cp > 1) {
    find_row_starts(c, all);
    hy_cut_spans(c->span, all->n_rows, c->seq_len, c->layout.cp, c->layout.rank,
                 c->row_start);
    for (int64_t i = 0; i < 2 * all->n_rows; i++)
      cut_span(c, all, &c->span[i]);
    b.token = c->b.token;
    b.target = c->b.target;
    b.weight = c->b.weight;
    b.seq_start = c->b.seq_start;
    b.pad = c->b.pad;
    b.doc = c->b.doc;
    memcpy(b.ahead, c->b.ahead, sizeof b.ahead);
    b.n_tokens =
        all->n_rows * hy_cut_tokens(c->seq_len, c->layout.cp, c->layout.rank);
    b.n_span = 2 * all->n_rows;
    b.span = c->span;
    b.row_start = c->row_start;
  }
  *mine = b;
}

/* ---- new ---- */

static void
new_columns(hy_cut *c, int64_t n_rows, int n_ahead)
{
  const hy_cut_layout *l = &c->layout;
  hy_batch *b = &c->b;

  c->span = hy_calloc((size_t)(2 * n_rows) + 1, sizeof *c->span);
  c->row_start =
      hy_calloc((size_t)(2 * l->cp * n_rows) + 1, sizeof *c->row_start);
  b->n_tokens = n_rows * hy_cut_tokens(c->seq_len, l->cp, l->rank);
  b->n_ahead = n_ahead;
  hy_batch_columns(b);
  b->doc = hy_calloc((size_t)b->n_tokens, sizeof *b->doc);
}

int
hy_cut_new(hy_cut **out, const hy_cut_layout *l, int64_t n_rows,
           int64_t seq_len, int n_ahead)
{
  hy_cut *c;

  *out = NULL;
  if (l->cp > 1 && seq_len / (2 * l->cp) < l->least)
    return hy_fail(
        HY_EDECK,
        "grid.cp=%d: rows of %lld tokens cut in %d pieces leave %lld "
        "in one, the model needs %d; raise data.seq_len or lower "
        "grid.cp",
        l->cp, (long long)seq_len, 2 * l->cp,
        (long long)(seq_len / (2 * l->cp)), l->least);
  c = hy_calloc(1, sizeof *c);
  c->layout = *l;
  c->seq_len = seq_len;
  if (l->cp > 1)
    new_columns(c, n_rows, n_ahead);
  if (l->cp > 1 || l->tp > 1)
    c->number = hy_calloc((size_t)(n_rows * seq_len) + 1, sizeof *c->number);
  *out = c;
  return HY_OK;
}

void
hy_cut_free(hy_cut *c)
{
  if (!c)
    return;
  free(c->span);
  free(c->row_start);
  free(c->number);
  hy_batch_columns_free(&c->b);
  free(c->b.doc);
  free(c);
}
