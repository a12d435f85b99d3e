/* reader.h: what a record of a known data set means: documents with the loss
 * weight of each part. One row of reader.def and one function a reader. */
#ifndef HYMN_PREP_READER_H
#define HYMN_PREP_READER_H

#include "prep/doc.h"
#include "prep/input.h"
#include "text/chat.h"

typedef struct hy_reader hy_reader; /* fields in reader_impl.h */

/* What the deck, or an entry of a raw blend, says. Texts are borrowed. */
typedef struct {
  const char *name;            /* prepare.reader */
  const char *field;           /* of text */
  const char *prompt, *answer; /* fields of a pair */
  const hy_chat *chat;         /* template; NULL: none is known */
  int templated; /* prepare.template is set: pairs become conversations too */
  hy_chat_options options;
  const char *loss;       /* auto, assistant, all */
  const char *turns;      /* auto, one, each */
  const char *preference; /* chosen, rejected */
  int plain, wrap;
} hy_reader_keys;

/** \return 0, HY_EDECK (no such reader, a template that it needs). */
int hy_reader_new(hy_reader **r, const hy_reader_keys *keys);
void hy_reader_free(hy_reader *r);

/** Names of all readers in one text, with blanks between. */
const char *hy_reader_names(void);

/** Called with each document of a record; its code ends the reading. */
typedef int hy_doc_fn(void *arg, const hy_doc *d);

/** Documents of one record, handed to add in order; none when it is refused.
 *  \param why  [out] NULL, or a fixed phrase why the record is refused: it is
 *              what prepare counts (doc.h), "roles out of order", ...; that of
 *              rec when it has one
 *  Not collective. \return the code of add, 0 when the record is refused,
 *  HY_EDECK for a conversation when no template is known. */
int hy_reader_record(hy_reader *r, const hy_record *rec, const char **why,
                     hy_doc_fn *add, void *arg);

#endif
