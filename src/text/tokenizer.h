/* tokenizer.h: text to ids and back, byte-level BPE as tokenizer.json of the
 * hub describes it.
 *
 * Covered: model BPE (ignore_merges too); pre-tokenizers ByteLevel, Split and
 * Sequence; normalizer NFC or none; decoder ByteLevel; added tokens with all
 * their flags; post-processors that put ids before and after a text. What the
 * file asks for beyond that is refused by name. */
#ifndef HYMN_TEXT_TOKENIZER_H
#define HYMN_TEXT_TOKENIZER_H

#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>

typedef struct hy_tok hy_tok; /* fields in tok.h */

/** A growing list of ids: hy_ids v = {0}; ... free(v.id). */
typedef struct {
  int32_t *id;
  size_t n, cap;
} hy_ids;

void hy_ids_add(hy_ids *v, int32_t id);

/** Read tokenizer.json, and tokenizer_config.json beside it if there is one.
 *  \param path  the file, or the folder that holds it
 *  Not collective. \return 0, HY_EFILE (missing, no JSON, a kind hymn does not
 *  have), HY_EDATA (content that contradicts itself); on error *t is NULL. */
int hy_tok_open(hy_tok **t, const char *path);
void hy_tok_free(hy_tok *t);

/** Ids of n bytes of text, appended to *out. Invalid UTF-8 is read as one
 *  U+FFFD for each maximal invalid part.
 *  \param plain  read special added tokens as plain text; the others still
 *                match
 *  \param n_bad  [in,out] the number of invalid parts is added; may be NULL
 *  Not collective; one state serves one thread. \return 0, or HY_EDATA when
 *  the split pattern exceeds the limits of the regex engine. */
int hy_tok_encode(hy_tok *t, const char *text, size_t n, int plain, hy_ids *out,
                  int64_t *n_bad);

/** Bytes of the text that an id stands for. */
typedef struct {
  int32_t from, to;
} hy_tok_place;

/** A growing list of them: hy_tok_places v = {0}; ... free(v.v). */
typedef struct {
  hy_tok_place *v;
  size_t n, cap;
} hy_tok_places;

/** As hy_tok_encode, and one place for each id is appended to *at. Places are
 *  in order and leave nothing out but what a split removes. An added token
 *  holds the spaces that it strips; an id for part of a character holds just
 *  these bytes; a space that the tokenizer puts before a text holds the first
 *  byte; where normalization changes characters, each of their ids holds all
 *  of them.
 *  \param text  UTF-8
 *  Not collective. \return as hy_tok_encode; HY_EDATA when text is no UTF-8. */
int hy_tok_encode_at(hy_tok *t, const char *text, size_t n, int plain,
                     hy_ids *out, hy_tok_places *at);

/** Ids that the post-processor puts before and after a text; hy_tok_encode
 *  never adds them. The lists belong to t; either may be empty. */
void hy_tok_around(const hy_tok *t, const int32_t **before, int *n_before,
                   const int32_t **after, int *n_after);

/** Text of n ids, appended to *out; bytes that form no UTF-8 become U+FFFD.
 *  \param skip_special  leave out added tokens flagged special
 *  Not collective. \return 0, HY_EDATA: an id that no token has. */
int hy_tok_decode(const hy_tok *t, const int32_t *ids, size_t n,
                  int skip_special, hy_buf *out);

/** All ids are < this; a model needs at least so many rows. */
int64_t hy_tok_n(const hy_tok *t);

/** Id of the added token with this content, else of the vocabulary entry
 *  written so in the file; -1 if none. */
int32_t hy_tok_find(const hy_tok *t, const char *content);

/** End and begin of text, as tokenizer_config.json says; without it the added
 *  token <|endoftext|> or </s> (<s> for begin), else -1. */
int32_t hy_tok_eos(const hy_tok *t);
int32_t hy_tok_bos(const hy_tok *t);

/** SHA-256 of tokenizer.json, hex. */
const char *hy_tok_hash(const hy_tok *t);

#endif
