/* safetensors.h: read and write safetensors files, whole folders included.
 *
 * A file is 8 bytes (length of the header, little-endian), a JSON header
 * {"name": {"dtype", "shape", "data_offsets"}, ...} and the data. A model in
 * several files has model.safetensors.index.json with "weight_map".
 * Source: the safetensors format description (huggingface/safetensors). */
#ifndef HYMN_IO_SAFETENSORS_H
#define HYMN_IO_SAFETENSORS_H

#include "fmt/fmt.h"

#include <stddef.h>
#include <stdint.h>

enum { HY_ST_MAX_DIM = 8 };

/* In the order in which the safetensors package sorts them. */
typedef enum {
  HY_ST_BOOL,
  HY_ST_U8,
  HY_ST_I8,
  HY_ST_F8_E5M2,
  HY_ST_F8_E4M3,
  HY_ST_I16,
  HY_ST_U16,
  HY_ST_F16,
  HY_ST_BF16,
  HY_ST_I32,
  HY_ST_U32,
  HY_ST_F32,
  HY_ST_F64,
  HY_ST_I64,
  HY_ST_U64,
  HY_ST_N_DTYPE
} hy_st_dtype;

typedef struct {
  char *name;
  hy_st_dtype dtype;
  int n_dim; /* 0: a scalar */
  int64_t dim[HY_ST_MAX_DIM];
  int64_t n; /* elements */
  size_t bytes;
  const void *data; /* in the mapped file; may be unaligned */
  const char *file; /* path, for messages */
} hy_st_tensor;

typedef struct hy_st hy_st; /* fields in safetensors.c */

/** "F32", "BF16", ... and bytes of an element. */
const char *hy_st_dtype_name(hy_st_dtype t);
size_t hy_st_dtype_size(hy_st_dtype t);

/** The hymn format that holds the same numbers, -1 for one that hymn does not
 *  compute with. */
int hy_st_fmt(hy_st_dtype t);

/** The dtype in which a file stores format f. */
hy_st_dtype hy_st_dtype_of(hy_fmt f);

/** Map a file, or the files of a folder: those that
 *  model.safetensors.index.json names; without one model.safetensors; without
 *  that every model*.safetensors. Everything in the headers is checked; the
 *  data is not touched. Not collective.
 *  \return 0; HY_EFILE (missing, truncated, no safetensors file); HY_EDATA (a
 *          header or index that contradicts itself, the data or another
 *          file); on error *s is NULL. */
int hy_st_open(hy_st **s, const char *path);
void hy_st_close(hy_st *s);

/** Tensors in order of their names. */
int64_t hy_st_n(const hy_st *s);
const hy_st_tensor *hy_st_at(const hy_st *s, int64_t i);

/** The tensor of this name, NULL if there is none. */
const hy_st_tensor *hy_st_find(const hy_st *s, const char *name);

/** Index of a tensor of this set, 0 .. hy_st_n - 1. */
int64_t hy_st_index(const hy_st *s, const hy_st_tensor *t);

/** Files of the set. */
int hy_st_n_files(const hy_st *s);
const char *hy_st_file(const hy_st *s, int i);

/** "[512, 80]" into out. */
void hy_st_shape_text(char *out, size_t size, int n_dim, const int64_t *dim);

typedef struct hy_st_writer hy_st_writer; /* fields in safetensors_write.c */

/** A writer of one file. First hy_st_declare for every tensor, then
 *  hy_st_begin, then hy_st_put for each in the order of hy_st_order, then
 *  hy_st_commit. After a failure the calls do nothing and return its code.
 *  hy_st_writer_free before a commit removes what was written. Not
 *  collective. \return 0, HY_EFILE, HY_ERES (disk full), HY_EBUG (called out
 *  of order or with a wrong size). */
hy_st_writer *hy_st_writer_new(const char *path);
void hy_st_declare(hy_st_writer *w, const char *name, hy_st_dtype dtype,
                   int n_dim, const int64_t *dim);
/** Sort as the safetensors package does (widest dtype first, then by name),
 *  else the order of declaration stays; write the header.
 *  \param format  value of "format" in __metadata__, NULL for none */
int hy_st_begin(hy_st_writer *w, int sort, const char *format);
/** Number (by declaration) of the k-th tensor of the file. */
int64_t hy_st_order(const hy_st_writer *w, int64_t k);
/** Append data of the current tensor; several calls may fill one tensor. */
int hy_st_put(hy_st_writer *w, const void *data, size_t bytes);
/** fsync and rename to path. */
int hy_st_commit(hy_st_writer *w);
void hy_st_writer_free(hy_st_writer *w);

/** Whether a comes before b in a sorted file. */
int hy_st_before(hy_st_dtype dtype_a, const char *name_a, hy_st_dtype dtype_b,
                 const char *name_b);

#endif
