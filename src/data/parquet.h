/* parquet.h: reading Parquet files: the strict part of the format that data
 * sets of text and packed conversations use.
 *
 * Covered: thrift compact footer, flat columns, structs, lists of them (of
 * strings, numbers, structs), optional and required; PLAIN, dictionary, RLE and
 * bit-packed levels, delta encodings of integers and strings; data pages of
 * version 1 and 2; uncompressed, Snappy, gzip, zstd. What a file asks for
 * beyond that is refused by name. Source: the Apache Parquet format,
 * parquet-format/README.md, Encodings.md, src/main/thrift/parquet.thrift. */
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

/** Decode all columns of a row group; rows of it can be had until the next
 *  call. \return 0, HY_EDATA (file, column, what is wrong). */
int hy_parquet_load(hy_parquet *p, int64_t group);
/** Row of the loaded group as a JSON object, a field a column; a new reference.
 *  NULL values are null, bytes that are no UTF-8 are refused.
 *  \return 0, HY_EDATA. */
int hy_parquet_row(hy_parquet *p, int64_t row, json_t **record);

#endif
