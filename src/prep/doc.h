/* doc.h: a document between the record it comes from and its tokens. */
#ifndef HYMN_PREP_DOC_H
#define HYMN_PREP_DOC_H

#include "base/mem.h"
#include "text/tokenizer.h"

#include <stddef.h>

/* Bytes of the text with the loss weight of the tokens that they become. */
typedef struct {
  size_t from, to;
  float weight;
} hy_doc_piece;

typedef struct {
  hy_buf text;
  hy_doc_piece *piece; /* in order; bytes in no piece have weight 0 */
  int n_piece, cap_piece;
  /* 1: the text is one; a token has the weight of the piece that holds all of
   * it, else 0. 0: each piece is tokenized alone, as if it were the whole
   * text, and what no piece holds is left out. */
  int joined;
  int plain; /* special tokens in the text are text */
  int wrap;  /* ids of the tokenizer's post-processor go around it */
  int eos;   /* the end token follows, with the weight of the last piece */
  /* ids as given: then the text, unless it is empty, is for curation only */
  hy_ids ids;
  float *weight; /* (ids.n), NULL: all 1 */
  int same_row;  /* stays in the row of the document before it */
} hy_doc;

/** Empty it for the next document; memory is kept. */
void hy_doc_clear(hy_doc *d);
void hy_doc_free(hy_doc *d);
/** Append text as a piece. */
void hy_doc_add(hy_doc *d, const char *text, size_t n, float weight);

/** Tokens of a document, appended to both lists.
 *  \param eos     token for d->eos, -1: none. Ids that end with it get no
 *                 second one
 *  \param weight  [in,out] grows with ids; the caller frees it
 *  \param n_bad   [in,out] invalid UTF-8 parts that became U+FFFD are added
 *  Not collective. \return 0, HY_EDATA (an id not in the vocabulary, a text
 *  beyond the limits of the tokenizer). */
typedef struct {
  float *v;
  size_t n, cap;
} hy_weights;

int hy_doc_encode(const hy_doc *d, hy_tok *tok, int32_t eos, hy_ids *ids,
                  hy_weights *weight, int64_t *n_bad);

#endif
