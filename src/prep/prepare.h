/* prepare.h: text files to one packed file. */
#ifndef HYMN_PREP_PREPARE_H
#define HYMN_PREP_PREPARE_H

#include "deck/deck.h"
#include "grid/comm.h"

#include <stdio.h>

/** Tokenize the documents of d->input and pack them into d->output.
 *
 *  A .txt file is one document, a line of .jsonl another: its text field, or
 *  `ids` used as they are; both also with .gz. Ranks take blocks of about
 *  equal bytes in file order, so the result does not depend on their number.
 *  The end token follows each document (ids that already end with it get no
 *  second one).
 *  \param seed    stored with the file
 *  \param report  what was read, dropped and written; rank 0 prints
 *  Collective over comm. \return 0, HY_EDECK (keys), HY_EFILE, HY_EDATA
 *  (naming file and line), HY_ERES; the same on every rank; on error no file
 *  is left. */
int hy_prepare(const hy_deck_prepare *d, int64_t seed, const hy_comm *comm,
               FILE *report);

#endif
