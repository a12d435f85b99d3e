#include "prep/doc.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

const char hy_why_blank[] = "blank line";
const char hy_why_empty[] = "empty document";
const char hy_why_no_tools[] = "call of a tool that is not offered";
const char hy_why_unanswerable[] = "question without an answer";

int
hy_why_harmless(const char *why)
{
  return why == hy_why_blank || why == hy_why_empty || why == hy_why_no_tools ||
         why == hy_why_unanswerable;
}

void
hy_doc_clear(hy_doc *d)
{
  hy_buf text = d->text;
  hy_doc_piece *piece = d->piece;
  hy_ids ids = d->ids;
  float *weight = d->weight;
  int cap_piece = d->cap_piece;

  text.len = 0;
  ids.n = 0;
  free(weight);
  *d = (hy_doc){
      .text = text, .piece = piece, .cap_piece = cap_piece, .ids = ids};
}

void
hy_doc_free(hy_doc *d)
{
  free(d->text.data);
  free(d->piece);
  free(d->ids.id);
  free(d->weight);
  *d = (hy_doc){0};
}

void
hy_doc_mark(hy_doc *d, size_t from, size_t to, float weight)
{
  if (d->n_piece == d->cap_piece) {
    d->cap_piece = d->cap_piece ? 2 * d->cap_piece : 8;
    d->piece = hy_realloc(d->piece, (size_t)d->cap_piece * sizeof *d->piece);
  }
  d->piece[d->n_piece++] = (hy_doc_piece){from, to, weight};
}

void
hy_doc_add(hy_doc *d, const char *text, size_t n, float weight)
{
  size_t from = d->text.len;

  hy_buf_add(&d->text, text, n);
  hy_doc_mark(d, from, from + n, weight);
}

void
hy_doc_add_ids(hy_doc *d, const int32_t *id, const float *weight, size_t n)
{
  size_t before = d->ids.n;

  for (size_t i = 0; i < n; i++)
    hy_ids_add(&d->ids, id[i]);
  if (!weight || n == 0)
    return;
  d->weight = hy_realloc(d->weight, d->ids.n * sizeof *d->weight);
  memcpy(d->weight + before, weight, n * sizeof *weight);
}

void
hy_weights_add(hy_weights *w, float v, size_t n)
{
  if (w->n + n > w->cap) {
    w->cap = w->n + n > 2 * w->cap ? w->n + n : 2 * w->cap;
    w->v = hy_realloc(w->v, w->cap * sizeof *w->v);
  }
  for (size_t i = 0; i < n; i++)
    w->v[w->n++] = v;
}

/* ---- tokens ---- */

static const char *
add_given(const hy_doc *d, const hy_tok *tok, hy_ids *ids, hy_weights *weight)
{
  int64_t limit = tok ? hy_tok_n(tok) : 1 << 24;

  for (size_t i = 0; i < d->ids.n; i++)
    if (d->ids.id[i] < 0 || d->ids.id[i] >= limit)
      return "id that is not in the vocabulary";
  for (size_t i = 0; i < d->ids.n; i++) {
    hy_ids_add(ids, d->ids.id[i]);
    hy_weights_add(weight, d->weight ? d->weight[i] : 1.0f, 1);
  }
  return NULL;
}

/* Each piece as if it were the whole text. */
static int
add_pieces(const hy_doc *d, hy_tok *tok, hy_ids *ids, hy_weights *weight,
           int64_t *n_bad)
{
  int err = HY_OK;

  for (int i = 0; i < d->n_piece && !err; i++) {
    const hy_doc_piece *p = &d->piece[i];

    err = hy_tok_encode(tok, d->text.data + p->from, p->to - p->from, d->plain,
                        ids, n_bad);
    hy_weights_add(weight, p->weight, ids->n - weight->n);
  }
  return err;
}

/* The text as one. Tokens come in order, so the pieces are gone through once.
 */
static int
add_joined(const hy_doc *d, hy_tok *tok, hy_ids *ids, hy_weights *weight)
{
  hy_tok_places at = {0};
  int p = 0, err;

  err = hy_tok_encode_at(tok, d->text.data, d->text.len, d->plain, ids, &at);
  for (size_t i = 0; i < at.n && !err; i++) {
    size_t from = (size_t)at.v[i].from, to = (size_t)at.v[i].to;
    float w = 0;

    while (p < d->n_piece && d->piece[p].to < to)
      p++;
    if (p < d->n_piece && d->piece[p].from <= from)
      w = d->piece[p].weight;
    hy_weights_add(weight, w, 1);
  }
  free(at.v);
  return err;
}

/* Weight of what follows the tokens. */
static float
last_weight(const hy_doc *d)
{
  if (d->ids.n > 0)
    return 1.0f;
  return d->n_piece > 0 ? d->piece[d->n_piece - 1].weight : 0.0f;
}

/* 1 if the n ids at v are those of the list. */
static int
are(const int32_t *v, const int32_t *list, int n)
{
  return n == 0 || memcmp(v, list, (size_t)n * sizeof *list) == 0;
}

/* What the post-processor puts around the tokens from `first` on, where it is
 * not there; 1 if it puts something after them. Nothing predicts the first
 * token of a document: what comes before takes the weight of what it precedes,
 * so that weights that are all 1 stay so.
 */
static int
wrap(const hy_doc *d, const hy_tok *tok, hy_ids *ids, hy_weights *weight,
     size_t first)
{
  const int32_t *before, *after;
  int n_before, n_after;
  size_t n = ids->n - first;

  hy_tok_around(tok, &before, &n_before, &after, &n_after);
  if ((size_t)n_after > n || !are(ids->id + ids->n - n_after, after, n_after))
    for (int i = 0; i < n_after; i++) {
      hy_ids_add(ids, after[i]);
      hy_weights_add(weight, last_weight(d), 1);
    }
  if (n_before == 0 ||
      ((size_t)n_before <= n && are(ids->id + first, before, n_before)))
    return n_after > 0;
  n = ids->n - first;
  for (int i = 0; i < n_before; i++) {
    hy_ids_add(ids, 0);
    hy_weights_add(weight, weight->v[first], 1);
  }
  memmove(ids->id + first + n_before, ids->id + first, n * sizeof *ids->id);
  memmove(weight->v + first + n_before, weight->v + first,
          n * sizeof *weight->v);
  memcpy(ids->id + first, before, (size_t)n_before * sizeof *before);
  return n_after > 0;
}

int
hy_doc_encode(const hy_doc *d, hy_tok *tok, int32_t eos, hy_ids *ids,
              hy_weights *weight, int64_t *n_bad, const char **why)
{
  size_t before = ids->n;
  int given = d->ids.n > 0, err = HY_OK;

  *why = NULL;
  if (given)
    *why = add_given(d, tok, ids, weight);
  else if (d->n_piece > 0 && !tok)
    err = hy_fail(HY_EDECK, "prepare.tokenizer: not set, but the input holds "
                            "text; set it");
  else
    err = d->joined ? add_joined(d, tok, ids, weight)
                    : add_pieces(d, tok, ids, weight, n_bad);
  if (!err && !*why && ids->n == before)
    *why = hy_why_empty;
  if (err || *why) {
    ids->n = weight->n = before;
    return err;
  }
  if (d->wrap && !given)
    given = wrap(d, tok, ids, weight, before);
  if (d->eos && eos >= 0 && !(given && ids->id[ids->n - 1] == eos)) {
    hy_ids_add(ids, eos);
    hy_weights_add(weight, last_weight(d), 1);
  }
  return err;
}
