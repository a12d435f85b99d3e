/* st_impl.h: what safetensors.c and st_folder.c share. */
#ifndef HYMN_IO_ST_IMPL_H
#define HYMN_IO_ST_IMPL_H

#include "io/safetensors.h"

typedef struct {
  char *path;
  const unsigned char *map;
  size_t size;
} st_file;

struct hy_st {
  int n_files;
  st_file *file;
  int64_t n, cap;
  hy_st_tensor *t; /* sorted by name */
};

/** Map one file and add its tensors after checking its header. */
int hy_st_add_file(hy_st *s, const char *path);

/** Order by name; HY_EDATA when a name occurs twice. */
int hy_st_sort(hy_st *s);

#endif
