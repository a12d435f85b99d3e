/* cfg.h: config.json of a weight folder <-> the &model group. */
#ifndef HYMN_MODEL_CFG_H
#define HYMN_MODEL_CFG_H

#include "deck/deck.h"

/** Fill the &model keys that neither deck nor command line gave from
 *  DIR/config.json. Reads both spellings (pattern strings; lists of layer
 *  types). Every key of the file is used, known to have no effect, or
 *  refused: HY_EFILE (missing, not JSON), HY_EDATA (a key whose value hymn
 *  cannot honour, named). Not collective. */
int hy_cfg_read(hy_deck *d, const char *dir);

/** The resolved architecture as config.json text in the published layout.
 *  \param dtype  "float32" or "bfloat16"
 *  \param extra  config.json text of the source folder whose other keys
 *                (token ids, ...) are carried over, or NULL */
void hy_cfg_write(const hy_deck_model *m, const char *dtype, const char *extra,
                  hy_buf *out);

#endif
