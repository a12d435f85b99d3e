/* parquet_impl.h: what parquet*.c share: the footer as structs, and columns as
 * streams of values.
 *
 * A Parquet file keeps a nested record as its leaves: each leaf is a column of
 * entries (repetition level, definition level, value if there is one). A column
 * is never expanded: page by page its levels and values are decoded as rows ask
 * for them, so that memory is that of one page a column, whatever the row group
 * or a run length claims. Source: the Apache Parquet format; Melnik et al.,
 * Dremel, VLDB 2010, for the levels. */
#ifndef HYMN_DATA_PARQUET_IMPL_H
#define HYMN_DATA_PARQUET_IMPL_H

#include "base/err.h"
#include "data/parquet.h"
#include "data/thrift.h"

/* Physical types, encodings and codecs by their numbers in the file. */
enum {
  PQ_BOOLEAN,
  PQ_INT32,
  PQ_INT64,
  PQ_INT96,
  PQ_FLOAT,
  PQ_DOUBLE,
  PQ_BYTES,
  PQ_FIXED,
  PQ_N_TYPE
};
enum {
  PQ_PLAIN = 0,
  PQ_PLAIN_DICTIONARY = 2,
  PQ_RLE = 3,
  PQ_BIT_PACKED = 4,
  PQ_DELTA = 5,
  PQ_DELTA_LENGTH = 6,
  PQ_DELTA_BYTES = 7,
  PQ_RLE_DICTIONARY = 8,
  PQ_BYTE_SPLIT = 9
};
enum { PQ_REQUIRED, PQ_OPTIONAL, PQ_REPEATED };

/* What a node of the schema becomes in JSON. */
typedef enum {
  PQ_AS_STRUCT, /* object */
  PQ_AS_LIST,   /* array: its one child is repeated */
  PQ_AS_MAP,    /* object of string keys: its one child is repeated */
  PQ_AS_BOOL,
  PQ_AS_INT,
  PQ_AS_UINT32, /* stored as int32 */
  PQ_AS_UINT64,
  PQ_AS_REAL,
  PQ_AS_HALF,
  PQ_AS_DECIMAL,
  PQ_AS_TEXT,
  PQ_AS_NULL,
  PQ_REFUSED /* `refused` says what it is */
} hy_pq_as;

/* A node of the schema, in the order of the file: a group's subtree follows it
 * up to `after`. */
typedef struct {
  char *name;
  int parent, after, n_child;
  int type, length; /* physical; -1: a group */
  int repetition, converted, logical, scale, precision;
  int max_def, max_rep; /* levels where the node is there */
  int leaf, n_leaf;     /* columns below it */
  int group_is_element; /* of a repeated group in a list: no layer to skip */
  hy_pq_as as;
  const char *refused;
} hy_pq_node;

/* One column of one row group. */
typedef struct {
  int64_t at, bytes, n_values; /* bytes of the file */
  int codec;
} hy_pq_chunk;

/* ---- decoders of parquet_encoding.c ---- */

typedef struct {
  union {
    int64_t i; /* boolean, integers */
    double f;
  } v;
  const unsigned char *p; /* bytes, until the next value */
  size_t n;
} hy_pq_value;

/* The mix of run lengths and bit-packed groups: levels, indices, booleans. */
typedef struct {
  const unsigned char *at, *end;
  int width;     /* bits, 0 .. 32 */
  uint64_t left; /* values of the present run */
  int packed;    /* it is bit-packed, else all are `value` */
  uint32_t value;
  uint64_t bit; /* of at, when packed */
} hy_pq_rle;

/** Begin at these bytes. */
void hy_pq_rle_start(hy_pq_rle *r, const unsigned char *at,
                     const unsigned char *end, int width);
/** \return 0, 1: there is no next value in the bytes. */
int hy_pq_rle_next(hy_pq_rle *r, uint32_t *x);

/* DELTA_BINARY_PACKED. */
typedef struct {
  hy_thrift in;              /* where the next block is */
  uint64_t left;             /* values not given yet, the first included */
  uint64_t n_mini, per_mini; /* miniblocks of a block, values of one */
  uint64_t mini, used;       /* the present one, values taken of it */
  const unsigned char *width, *bits, *bits_end;
  uint64_t value, least;
  int first;
} hy_pq_delta;

/** \return 0, 1: the header is wrong. */
int hy_pq_delta_start(hy_pq_delta *d, const unsigned char *at,
                      const unsigned char *end);
int hy_pq_delta_next(hy_pq_delta *d, int64_t *x);
/** The byte behind all values; NULL: the bytes end before. */
const unsigned char *hy_pq_delta_end(const hy_pq_delta *d);

/* Values of one page. */
typedef struct {
  int encoding, type, length;
  const unsigned char *at, *end;
  hy_pq_rle rle;         /* indices, booleans */
  hy_pq_delta delta;     /* integers, or lengths */
  hy_pq_delta prefix;    /* of DELTA_BYTE_ARRAY */
  hy_buf text;           /* its latest value */
  uint64_t bit, n_split; /* of booleans; of BYTE_STREAM_SPLIT: values */
  const hy_pq_value *dictionary;
  int64_t n_dictionary;
} hy_pq_values;

/** Begin with the values of a page; the buffer of `text` is kept.
 *  \return NULL, or what is wrong. */
const char *hy_pq_values_start(hy_pq_values *v, const unsigned char *at,
                               const unsigned char *end);
/** \return NULL, or what is wrong. */
const char *hy_pq_values_next(hy_pq_values *v, hy_pq_value *x);

/* ---- columns, parquet_page.c ---- */

/* Memory that is filled anew each time. */
typedef struct {
  unsigned char *data;
  size_t cap;
} hy_pq_bytes;

typedef struct {
  const hy_parquet *file;
  const hy_pq_node *node;
  const hy_pq_chunk *chunk;
  int64_t group;
  const unsigned char *at, *end; /* pages not read yet */
  const unsigned char *kept;     /* of the file, from here on in memory */
  int64_t left_chunk;            /* entries of them */
  int64_t left_page;             /* entries of the present one */
  hy_pq_rle rep, def;
  hy_pq_values values;
  hy_pq_bytes page, words; /* decompressed: data page, dictionary */
  hy_pq_value *dictionary;
  int64_t n_dictionary; /* -1: none yet */
  int have;             /* an entry is looked at */
  int entry_rep, entry_def;
} hy_pq_column;

/** Begin with a row group. */
void hy_pq_column_start(hy_pq_column *c, int64_t group);
void hy_pq_column_free(hy_pq_column *c);
/** Levels of the next entry into entry_rep and entry_def, not taken yet.
 *  \param end  [out] 1: the chunk has no more entries
 *  \return 0, HY_EDATA. */
int hy_pq_column_peek(hy_pq_column *c, int *end);
/** Take the entry that was looked at; x is its value where entry_def is that
 *  of the leaf. */
int hy_pq_column_take(hy_pq_column *c, hy_pq_value *x);

/** Fail: "FILE: column 'a.b', row group 3: WHAT; make the file again". */
int hy_pq_bad(const hy_pq_column *c, const char *what);
/** As hy_pq_bad, for what is not covered: "... is WHAT; WHAT TO DO". */
int hy_pq_refuse(const hy_pq_column *c, const char *what, const char *remedy);

/* ---- the rest ---- */

struct hy_parquet {
  char *path;
  const unsigned char *map;
  size_t size;     /* of the file */
  size_t data_end; /* where the footer begins */
  int64_t n_rows;
  hy_pq_node *node; /* node[0] is the root */
  int n_nodes;
  int *leaf; /* node of each column */
  int n_leaf;
  int64_t *group_rows;
  int64_t n_groups;
  hy_pq_chunk *chunk; /* [group][leaf] */
  hy_pq_column *column;
  int64_t loaded, row; /* row group; its next row */
  size_t budget;       /* bytes that the present row may still take */
  const char *why;     /* it has a value that JSON cannot hold */
};

/** Bytes between data_end and the file's tail to structs; parquet_meta.c. */
int hy_pq_footer(hy_parquet *p, const unsigned char *at, size_t n);
/** Check the tree, find levels and forms; parquet_schema.c. */
int hy_pq_schema(hy_parquet *p);

/** Decompress n bytes into exactly `want`; parquet_codec.c.
 *  \return NULL, or what is wrong (static). */
const char *hy_pq_decompress(int codec, const unsigned char *in, size_t n,
                             unsigned char *out, size_t want);
/** "Snappy", ..; NULL: unknown. *readable: this build decompresses it. */
const char *hy_pq_codec_name(int codec, int *readable);
/** Most bytes that n compressed bytes can hold. */
uint64_t hy_pq_codec_most(int codec, uint64_t n);

#endif
