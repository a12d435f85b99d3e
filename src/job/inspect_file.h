/* inspect_file.h: hymn --inspect of files that hymn reads or leaves beside its
 * outputs: Parquet, receipts and other notes in JSON. */
#ifndef HYMN_JOB_INSPECT_FILE_H
#define HYMN_JOB_INSPECT_FILE_H

#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>

/** 1 if the file begins as a Parquet file does; print its rows and columns.
 *  Not collective. \return 0, HY_EFILE, HY_EDATA. */
int hy_inspect_parquet_is(const char *path);
int hy_inspect_parquet(const char *path, FILE *out);

/** 1 if the file is a JSON object with a "format" or "receipt" of hymn; print
 *  its members, one a line. Not collective. \return as above. */
int hy_inspect_note_is(const char *path);
int hy_inspect_note(const char *path, FILE *out);

/** Hash a note, and the files of the shard of which it is the receipt; its
 *  lineage is what it says. Not collective. \return 0, HY_EFILE, HY_EDATA. */
int hy_inspect_note_verify(const char *path, char content[HY_SHA_HEX],
                           hy_buf *lineage);

/** Identity of a file without lineage: its SHA-256. Not collective. \return 0,
 *  HY_EFILE. */
int hy_inspect_bytes(const char *path, char content[HY_SHA_HEX],
                     hy_buf *lineage);

#endif
