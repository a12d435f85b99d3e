/* lineage.h: what an output was made from, as a JSON list.
 *
 * [{"kind": "weight folder", "content": "<hash>", "lineage": [...]}, ...]: each
 * input by the hash of its content, with its own inputs inside; neither paths
 * nor dates. Kinds and their hashes:
 *
 *   input          SHA-256 of a file that was read as it is
 *   tokenizer      SHA-256 of tokenizer.json
 *   chat template  SHA-256 of its text
 *   curation       of the keys and evaluation files of &curate
 *   indexed data   hy_indexed_hash
 *   packed data    content_hash of the file
 *   blend          of its sources, which are inside
 *   checkpoint, weight folder   hash of names, shapes and values of the model
 *
 * Packed files and checkpoints have the list inside. Beside formats of others
 * lies a note: hymn_lineage.json in a weight folder, NAME.lineage.json for NAME.idx.
 */
#ifndef HYMN_BASE_LINEAGE_H
#define HYMN_BASE_LINEAGE_H

#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>

/** Append an input to the list in b (empty at first).
 *  \param kind     "packed data", "checkpoint", "weight folder", ...
 *  \param content  its hash
 *  \param lineage  its own list, NULL or "" for none
 *  Not collective. */
void hy_lineage_add(hy_buf *b, const char *kind, const char *content,
                    const char *lineage);

/** Look for an input by its hash, however deep it lies.
 *  \param trail  [out] appended: kinds on the way to it, "checkpoint <- packed
 *                data"
 *  Not collective. \return 1 if it is there, else 0. */
int hy_lineage_find(const char *lineage, const char *content, hy_buf *trail);

/** Hash of the first input of a kind in the list itself, "" if none. */
void hy_lineage_of_kind(const char *lineage, const char *kind,
                        char hash[HY_SHA_HEX]);

/** Write a note: what an output is, its content, the code that wrote it, its
 *  list (NULL: empty). Not collective. \return 0, HY_EFILE, HY_ERES. */
int hy_lineage_write(const char *path, const char *kind, const char *content,
                     const char *lineage);

/** Read a note. Not collective.
 *  \param content  [out] "" where there is none
 *  \param lineage  [out] appended
 *  \return 0 (also when there is no file), HY_EFILE, HY_EDATA (no note of
 *          hymn's). */
int hy_lineage_read(const char *path, char content[HY_SHA_HEX],
                    hy_buf *lineage);

/** Fail because a note is of another content than what it lies beside. */
int hy_lineage_stale(const char *path);

/** Print the list as an indented tree, one input a line. Not collective. */
void hy_lineage_print(FILE *out, const char *lineage, int indent);

#endif
