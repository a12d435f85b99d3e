/* doc.h: a document between the record it comes from and its tokens, and why
 * there may be none. */
#ifndef HYMN_PREP_DOC_H
#define HYMN_PREP_DOC_H

#include "base/mem.h"
#include "text/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

/* Why a record or a document is left out is a fixed phrase, "roles out of
 * order": prepare counts by it. These are found in good data too and never end
 * a run: */
extern const char hy_why_blank[];    /* a blank line */
extern const char hy_why_empty[];    /* a document without tokens */
extern const char hy_why_no_tools[]; /* calls of tools that were not offered */
extern const char hy_why_unanswerable[]; /* a question marked so (SQuAD 2) */

/** 1 if a phrase is one of these. */
int hy_why_harmless(const char *why);

/* Bytes of the text with the loss weight of the tokens that they become. */
typedef struct {
  size_t from, to;
  float weight;
} hy_doc_piece;

typedef struct {
  hy_buf text;         /* UTF-8 where it is joined */
  hy_doc_piece *piece; /* in order; bytes in no piece have weight 0 */
  int n_piece, cap_piece;
  /* 1: the text is one; a token has the weight of the piece that holds all of
   * it, else 0. 0: each piece is tokenized alone, as if it were the whole
   * text, and what no piece holds is left out. */
  int joined;
  int plain; /* special tokens in the text are text */
  int wrap;  /* ids of the tokenizer's post-processor go around it, unless it
                begins and ends with them */
  int eos;   /* the end token follows, with the weight of the last piece */
  /* ids as given: then the text, unless it is empty, is for curation only */
  hy_ids ids;
  float *weight;    /* (ids.n), NULL: all 1 */
  int same_row;     /* stays in the row of the document before it */
  const char *note; /* a fixed phrase about a document that stays: prepare
                       counts it too; NULL: none */
} hy_doc;

/** Empty it for the next document, all flags 0; memory is kept. */
void hy_doc_clear(hy_doc *d);
void hy_doc_free(hy_doc *d);
/** Append text as a piece. */
void hy_doc_add(hy_doc *d, const char *text, size_t n, float weight);
/** Bytes from .. to-1 of the text there is become a piece. */
void hy_doc_mark(hy_doc *d, size_t from, size_t to, float weight);
/** Append n ids, and their weights (NULL: 1 each; the same way for all). */
void hy_doc_add_ids(hy_doc *d, const int32_t *id, const float *weight,
                    size_t n);

typedef struct {
  float *v;
  size_t n, cap;
} hy_weights;

void hy_weights_add(hy_weights *w, float v, size_t n);

/** Tokens of a document, appended to both lists.
 *  \param tok     NULL: documents are ids below 2^24
 *  \param eos     token for d->eos, -1: none. Ids that end with it get no
 *                 second one
 *  \param weight  [in,out] grows with ids; the caller frees it
 *  \param n_bad   [in,out] invalid UTF-8 parts that became U+FFFD are added
 *  \param why     [out] NULL, or why the document is refused (no tokens, an id
 *                 that is not in the vocabulary): nothing is appended then
 *  Not collective. \return 0, HY_EDECK (text without a tokenizer), HY_EDATA (a
 *  text beyond the limits of the tokenizer). */
int hy_doc_encode(const hy_doc *d, hy_tok *tok, int32_t eos, hy_ids *ids,
                  hy_weights *weight, int64_t *n_bad, const char **why);

#endif
