/* packed_impl.h: the ONE description of the packed file that its writer, its
 * reader and --inspect share; only packed*.c include it. */
#ifndef HYMN_DATA_PACKED_IMPL_H
#define HYMN_DATA_PACKED_IMPL_H

#include "base/h5.h"
#include "base/mem.h"
#include "data/packed.h"

#include <hdf5.h>

#define HY_PACKED_FORMAT "hymn packed tokens"
#define HY_PACKED_VERSION 2
#define HY_PACKED_WEIGHT_MAX 1024.0f /* keeps sums of weights exact */

enum { HY_PK_TOKENS, HY_PK_DOC, HY_PK_ROWS, HY_PK_WEIGHT, HY_PK_N };

typedef struct {
  const char *name;
  size_t size;   /* bytes of an element */
  hsize_t width; /* columns; 1: a vector */
  int optional;
} hy_packed_col;

extern const hy_packed_col hy_packed_cols[HY_PK_N];

/** HDF5 type of a dataset, little endian in the file. */
hid_t hy_packed_type(int col);

/* The attributes of the root as a struct; text is owned by it. */
typedef struct {
  char *format, *packing, *tokenizer, *chat, *keys, *sources, *dropped, *notes;
  char *lineage, *hash, *code;
  int64_t version, seq_len, vocab, eos, seed;
} hy_packed_info;

typedef struct {
  const char *name;
  int is_text;
  size_t at; /* offset in hy_packed_info */
} hy_packed_attr;

/* In the order of the file; content_hash covers those before it. */
extern const hy_packed_attr hy_packed_attrs[];
extern const int hy_packed_n_attrs;

void hy_packed_info_free(hy_packed_info *info);

/** Content hash: of the attributes' text, and of name, size and checksum of
 *  each dataset.
 *  \param n    elements (rows of the dataset) of each; 0: absent
 *  \param sum  hy_checksum of each */
void hy_packed_content(const hy_packed_info *info, const int64_t n[HY_PK_N],
                       const uint64_t sum[HY_PK_N], char hash[HY_SHA_HEX]);

struct hy_packed {
  char *path;
  hy_packed_info info;
  const char *map; /* the whole file */
  size_t map_bytes;
  int64_t at[HY_PK_N]; /* byte offset of each dataset; -1: absent */
  int64_t n[HY_PK_N];
};

#endif
