/* lineage.h: what an output was made from, as a JSON list.
 *
 * [{"kind": "weight folder", "content": "<hash>", "lineage": [...]}, ...]: each
 * input by the hash of its content, with its own inputs inside; neither paths
 * nor dates. */
#ifndef HYMN_BASE_LINEAGE_H
#define HYMN_BASE_LINEAGE_H

#include "base/mem.h"

#include <stdio.h>

/** Append an input to the list in b (empty at first).
 *  \param kind     "packed data", "checkpoint", "weight folder", ...
 *  \param content  its hash
 *  \param lineage  its own list, NULL or "" for none
 *  Not collective. */
void hy_lineage_add(hy_buf *b, const char *kind, const char *content,
                    const char *lineage);

/** Print the list as an indented tree, one input a line. Not collective. */
void hy_lineage_print(FILE *out, const char *lineage, int indent);

#endif
