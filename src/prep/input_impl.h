/* input_impl.h: what the parts of input.h share; only input*.c include it. */
#ifndef HYMN_PREP_INPUT_IMPL_H
#define HYMN_PREP_INPUT_IMPL_H

#include "prep/doc.h"
#include "prep/input.h"
#include "prep/stream.h"

#define HY_INPUT_KINDS                                                         \
  "convert it to .txt, .jsonl or .json (also with .gz or .zst), .parquet or "  \
  ".idx"

typedef enum {
  HY_INPUT_NONE, /* none that hymn knows */
  HY_INPUT_TXT,
  HY_INPUT_JSONL,
  HY_INPUT_JSON,
  HY_INPUT_PARQUET, /* .parquet */
  HY_INPUT_IDS      /* NAME.idx */
} hy_input_kind;

/** Kind of a file, by its name. */
hy_input_kind hy_input_kind_of(const char *path);

/** Parse one record. \return NULL and a new reference, or why it is refused. */
const char *hy_input_parse(const char *text, size_t n, json_t **out);

/** Bytes of a file, 0: it is not there. */
int64_t hy_input_bytes(const char *path);
/** How many of n things in a file of so many bytes are a shard, >= 1. */
int64_t hy_input_share(int64_t n, int64_t bytes, int64_t shard_bytes);

/* input_json.c: records of a .json file, whose text is held as a whole. */
typedef struct hy_elements hy_elements;

int hy_elements_open(hy_elements **e, const char *path);
void hy_elements_close(hy_elements *e);
/** As hy_records_next; *json is a new reference. */
int hy_elements_next(hy_elements *e, hy_record *rec, json_t **json, int *more);
double hy_elements_done(const hy_elements *e);

/* input_indexed.c: documents of Megatron's indexed data; in->path is NAME.idx.
 */
typedef struct hy_ids_file hy_ids_file;

int hy_ids_measure(hy_input *in, int64_t shard_bytes);
/** Documents from .. to-1. */
int hy_ids_open(hy_ids_file **f, const char *path, int64_t from, int64_t to);
void hy_ids_close(hy_ids_file *f);
/** *json is a new reference to {"ids": [...]}. */
int hy_ids_next(hy_ids_file *f, json_t **json, int *more);

/* input_parquet.c: rows of row groups. */
typedef struct hy_groups hy_groups;

int hy_groups_measure(hy_input *in, int64_t shard_bytes);
/** Row groups from .. to-1. */
int hy_groups_open(hy_groups **f, const char *path, int64_t from, int64_t to);
void hy_groups_close(hy_groups *f);
/** As hy_records_next; *json is a new reference. */
int hy_groups_next(hy_groups *f, hy_record *rec, json_t **json, int *more);
/** Rows of the file before these groups; groups that are begun. */
int64_t hy_groups_before(const hy_groups *f);
int64_t hy_groups_begun(const hy_groups *f);

#endif
