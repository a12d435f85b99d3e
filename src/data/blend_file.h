/* blend_file.h: mixes from a JSON file, as Megatron's per-split data arguments:
 *
 *   {"train": ["0.7", "a", "0.3", "b"], "valid": "1.0 c", "test": []}
 *
 * All three keys are there; a value is a flat list of weights and paths, or a
 * text of them with blanks between; one path alone needs no weight. Weights
 * are relative, paths are relative to the file. */
#ifndef HYMN_DATA_BLEND_FILE_H
#define HYMN_DATA_BLEND_FILE_H

#include "deck/deck.h"
#include "grid/comm.h"

/** Read such a file. Not collective.
 *  \param mix  [out] train, valid, test; empty where the file has none
 *  \return 0, HY_EFILE, HY_EDATA (naming key and entry); on error all empty */
int hy_blend_file_read(const char *path, hy_mix mix[3]);

/** Put what such files say in the place of keys of &data that name one, a path
 *  ending in .json; that of data.train also gives data.valid and data.test
 *  unless the deck does. Collective over comm. \return as hy_blend_file_read,
 *  the same on every rank. */
int hy_blend_file_resolve(hy_deck *d, const hy_comm *comm);

#endif
