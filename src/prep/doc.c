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
hy_doc_add(hy_doc *d, const char *text, size_t n, float weight)
{
  size_t from = d->text.len;

  hy_buf_add(&d->text, text, n);
  if (d->n_piece == d->cap_piece) {
    d->cap_piece = d->cap_piece ? 2 * d->cap_piece : 8;
    d->piece = hy_realloc(d->piece, (size_t)d->cap_piece * sizeof *d->piece);
  }
  d->piece[d->n_piece++] = (hy_doc_piece){from, from + n, weight};
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

int
hy_doc_encode(const hy_doc *d, hy_tok *tok, int32_t eos, hy_ids *ids,
              hy_weights *weight, int64_t *n_bad, const char **why)
{
  size_t before = ids->n;
  int err = HY_OK;

  *why = NULL;
  if (d->ids.n > 0)
    *why = add_given(d, tok, ids, weight);
  else if (d->n_piece > 0 && !tok)
    err = hy_fail(HY_EDECK, "prepare.tokenizer: not set, but the input holds "
                            "text; set it");
  else
    err = add_pieces(d, tok, ids, weight, n_bad);
  if (!err && !*why && ids->n == before)
    *why = hy_why_empty;
  if (err || *why) {
    ids->n = weight->n = before;
    return err;
  }
  if (d->eos && eos >= 0 && (d->ids.n == 0 || ids->id[ids->n - 1] != eos)) {
    hy_ids_add(ids, eos);
    hy_weights_add(weight, d->n_piece ? d->piece[d->n_piece - 1].weight : 1.0f,
                   1);
  }
  return err;
}
