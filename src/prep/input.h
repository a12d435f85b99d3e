/* input.h: files with records, cut into shards that ranks take.
 *
 *   .txt           one record, the text
 *   .jsonl         a record a line
 *   .json          a list of records, an object with a list `data` of them, or
 *                  one record; articles of SQuAD give a record a question
 *   .parquet       a record a row, columns as fields
 *   .idx (.bin)    a record a document: its ids
 *
 * the first three also compressed, .gz and .zst. A shard is a part of a file
 * that does not depend on the number of ranks: about shard_bytes of the lines
 * of a .jsonl file (of a compressed one, which is read from its start each
 * time, at most 16), row groups of Parquet, documents of an .idx; else the
 * whole file. */
#ifndef HYMN_PREP_INPUT_H
#define HYMN_PREP_INPUT_H

#include "base/hash.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdint.h>

typedef struct {
  char *path;
  int64_t bytes;    /* of the file as it lies on the disk */
  int64_t n_shards; /* >= 1 */
  int64_t step;     /* bytes, rows, ... of a shard, by the kind of file */
  int64_t total;    /* of the same */
  char sha[HY_SHA_HEX];
} hy_input;

/** Names of files from names, patterns (*, ?, [ ]) and folders (all files of
 *  the kinds above in it), in sorted order each; the caller frees both.
 *  Not collective. \return 0, HY_EFILE (nothing there, unknown kind). */
int hy_inputs_find(char ***path, int *n, char *const *name, int n_names);

/** Measure and hash one file; path is copied. Not collective.
 *  \return 0, HY_EFILE, HY_EDATA (empty, damaged). */
int hy_input_measure(hy_input *in, const char *path, int64_t shard_bytes);
void hy_input_free(hy_input *in);

typedef struct hy_records hy_records; /* fields in input.c */

/* A record: one of json and text, or what is wrong with it. */
typedef struct {
  const json_t *json; /* until the next call */
  const char *text;   /* of a .txt */
  size_t n;
  const char *why; /* not NULL: a fixed phrase (see doc.h), and no more */
  int64_t n_bad;   /* invalid UTF-8 parts that became U+FFFD */
} hy_record;

/** Records of one shard, in order. Errors name the file; a record that is wrong
 *  is no error. A blank line is a record with hy_why_blank.
 *  Not collective. \return 0, HY_EFILE, HY_EDATA. */
int hy_records_open(hy_records **r, const hy_input *in, int64_t shard);
/** *more is 0 after the last. */
int hy_records_next(hy_records *r, hy_record *rec, int *more);
/** "FILE:LINE" or "FILE: record N" (from 1) of the latest record; the caller
 *  frees it. */
char *hy_records_where(const hy_records *r);
/** Share of the shard that is read, 0 .. 1. */
double hy_records_done(const hy_records *r);
void hy_records_close(hy_records *r);

#endif
