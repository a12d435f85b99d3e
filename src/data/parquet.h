/* parquet.h: reading Parquet files: the strict part of the format that data
 * sets of text and packed conversations use.
 *
 * Covered: columns, structs, lists and maps of them, nested, optional and
 * required; booleans, integers, floating point, text, decimals up to 15 digits;
 * PLAIN, dictionary, run lengths, deltas of integers and texts, split bytes;
 * data pages of version 1 and 2; uncompressed, Snappy, gzip, zstd; checksums.
 * What a file asks for beyond that is refused by name. Source: the Apache
 * Parquet format: parquet-format/README.md, LogicalTypes.md, Encodings.md,
 * src/main/thrift/parquet.thrift. */
#ifndef HYMN_DATA_PARQUET_H
#define HYMN_DATA_PARQUET_H

#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>

typedef struct hy_parquet hy_parquet; /* fields in parquet_impl.h */

/** Map the file and read its footer. Not collective.
 *  \return 0, HY_EFILE (missing, no Parquet file, torn), HY_EDATA (contradicts
 *  itself, or asks for something that is not covered, by name). */
int hy_parquet_open(hy_parquet **p, const char *path);
void hy_parquet_free(hy_parquet *p);

int64_t hy_parquet_n_rows(const hy_parquet *p);
int64_t hy_parquet_n_groups(const hy_parquet *p);
int64_t hy_parquet_group_rows(const hy_parquet *p, int64_t group);
/** 1 if there is a top-level column of that name. */
int hy_parquet_has(const hy_parquet *p, const char *column);

/** Name of top-level column i from 0 on; NULL: there are no more. */
const char *hy_parquet_column(const hy_parquet *p, int i);

/** Go to the start of a row group; its pages are decoded as rows are asked for.
 *  \return 0, HY_EDATA (file, column, what of it is not covered). */
int hy_parquet_load(hy_parquet *p, int64_t group);
/** Row of that group as a JSON object, a field a column; a new reference. NULL
 *  and NaN are null, dates and times the numbers of the file, maps objects. To
 *  go forward is cheap; to go back decodes the group again.
 *  \param why  [out] NULL, or a fixed phrase why the row cannot be had (text
 *              that is no UTF-8, a number beyond those of JSON); *record is
 *              NULL then and later rows can be read
 *  \return 0, HY_EDATA (the row group is damaged). */
int hy_parquet_row(hy_parquet *p, int64_t row, json_t **record,
                   const char **why);

#endif
