/* prepare.h: files of text and conversations to packed data. */
#ifndef HYMN_PREP_PREPARE_H
#define HYMN_PREP_PREPARE_H

#include "deck/deck.h"
#include "grid/comm.h"

#include <stdio.h>

/** Tokenize the documents of prepare.input and pack them into prepare.output,
 *  by the groups &prepare and &curate and job.seed.
 *
 *  Ranks take shards of the input and leave them, tokenized and with a receipt,
 *  in OUTPUT.parts: a run that was ended goes on where it was. What comes out
 *  depends neither on the number of ranks nor on how often that happened, nor
 *  on where shards are cut. Memory does not grow with the input, but for some
 *  bytes a shard, those of curation, and the largest document.
 *  \param report  what was read, left out and written; rank 0 prints
 *  Collective over comm. \return 0, HY_EDECK (keys), HY_EFILE, HY_EDATA
 *  (naming file and line), HY_ERES; the same on every rank; on error no
 *  file is there that is not whole. */
int hy_prepare(const hy_deck *deck, const hy_comm *comm, FILE *report);

#endif
