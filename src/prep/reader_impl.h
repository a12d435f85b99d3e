/* reader_impl.h: inside the readers; only reader*.c include it. */
#ifndef HYMN_PREP_READER_IMPL_H
#define HYMN_PREP_READER_IMPL_H

#include "prep/reader.h"

/** Documents of one record of a kind, handed to r->add.
 *  \param why  [out] set when the record is refused, with 0 returned */
typedef int hy_read_fn(hy_reader *r, const json_t *o, const char **why);

typedef struct {
  const char *name;
  hy_read_fn *read;
  int needs_chat;
} hy_reader_row;

struct hy_reader {
  hy_reader_keys keys;
  const hy_reader_row *row;
  int all;           /* every token is learned, not only the answer */
  hy_doc doc;        /* the next one */
  const char *note;  /* of every document of this record, NULL: none */
  hy_chat_text chat; /* work space */
  hy_doc_fn *add;
  void *arg;
};

#define HY_READER(name, needs_chat) hy_read_fn hy_read_##name;
#include "prep/reader.def"
#undef HY_READER

/** Hand over r->doc and empty it. */
int hy_reader_add(hy_reader *r);

/** A text as a document of its own. */
int hy_reader_text(hy_reader *r, const char *text, size_t n, const char **why);

/** Prompt and answer, tokenized each alone or as one text; the answer and the
 *  end token are learned. With a template that the deck names they are what
 *  user and assistant say. */
int hy_reader_answer(hy_reader *r, const hy_buf *prompt, const hy_buf *answer,
                     int joined, int eos, const char **why);

/** A conversation; the turns that are learned are the assistant's from message
 *  `first` on. first > 0: it stays one document. */
int hy_reader_chat(hy_reader *r, const json_t *messages, const json_t *tools,
                   size_t first, const char **why);

/** A list that may be JSON in a string; what else is there comes as it is. A
 *  new reference or NULL. */
json_t *hy_reader_list(const json_t *o, const char *key);

/** The text of a member of o. \return NULL, or why there is none: `absent` when
 *  o lacks it, `wrong` when it is no text. */
const char *hy_reader_string(const json_t *o, const char *key,
                             const json_t **text, const char *absent,
                             const char *wrong);

/** Append a string. */
void hy_reader_put(hy_buf *b, const json_t *string);

/** 1 if nothing but white space is in it. */
int hy_reader_is_blank(const char *s, size_t n);

#endif
