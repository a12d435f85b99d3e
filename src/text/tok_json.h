/* tok_json.h: reading tokenizer.json; only tok_load.c, tok_parts.c and
 * tok_post.c. */
#ifndef HYMN_TEXT_TOK_JSON_H
#define HYMN_TEXT_TOK_JSON_H

#include "text/tok.h"

#include <jansson.h>

/* What is being read: the tokenizer, the file's name, its tree. */
typedef struct {
  hy_tok *t;
  const char *path;
  const json_t *root, *vocab;
  hy_buf bytes; /* becomes t->bytes */
} hy_tok_json;

/** HY_EFILE naming what hymn does not have. */
int hy_tok_unsupported(const hy_tok_json *l, const char *what,
                       const char *value);
/** HY_EFILE for a part that is missing or of the wrong type. */
int hy_tok_broken(const hy_tok_json *l, const char *what);
/** HY_EFILE if o has a key that is not in `known`, words in one text with a
 *  space before and after each. */
int hy_tok_only_keys(const hy_tok_json *l, const json_t *o, const char *what,
                     const char *known);
/** A boolean, def when absent. */
int hy_tok_flag(const hy_tok_json *l, const json_t *o, const char *key, int def,
                int *out);
/** The type of a part, "(no type)" when it has none. */
const char *hy_tok_type(const json_t *o);

/** The parts. \param have_bytes [in,out] set by ByteLevel, which has to be
 *  there once, last: it changes the alphabet that later patterns would see. */
int hy_tok_load_normalizer(hy_tok_json *l, const json_t *o);
int hy_tok_load_pre(hy_tok_json *l, const json_t *o, int *have_bytes);
int hy_tok_load_decoder(hy_tok_json *l, const json_t *o);
/** After the tokens, whose ids it names. */
int hy_tok_load_post(hy_tok_json *l, const json_t *o);

#endif
