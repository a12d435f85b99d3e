#include "prep/input_impl.h"
#include "base/err.h"
#include "data/indexed.h"

#include <stdlib.h>
#include <string.h>

struct hy_ids_file {
  hy_indexed *x;
  int64_t doc, end;
  int32_t *id; /* of one document */
  int64_t cap;
};

int
hy_ids_measure(hy_input *in, int64_t shard_bytes)
{
  hy_indexed *x;
  char *bin = hy_strdup(in->path);
  int64_t bytes;
  int err = hy_indexed_open(&x, in->path);

  memcpy(bin + strlen(bin) - 3, "bin", 3); /* NAME.idx */
  bytes = hy_input_bytes(bin);
  free(bin);
  if (err)
    return err;
  hy_indexed_hash(x, in->sha);
  in->bytes = hy_input_bytes(in->path) + bytes;
  in->total = hy_indexed_n_docs(x);
  in->step = hy_input_share(in->total, bytes, shard_bytes);
  hy_indexed_free(x);
  return HY_OK;
}

int
hy_ids_open(hy_ids_file **out, const char *path, int64_t from, int64_t to)
{
  hy_ids_file *f = hy_calloc(1, sizeof *f);
  int err = hy_indexed_open(&f->x, path);

  f->doc = from;
  f->end = to;
  if (err) {
    hy_ids_close(f);
    f = NULL;
  }
  *out = f;
  return err;
}

void
hy_ids_close(hy_ids_file *f)
{
  if (!f)
    return;
  hy_indexed_free(f->x);
  free(f->id);
  free(f);
}

int
hy_ids_next(hy_ids_file *f, json_t **json, int *more)
{
  int64_t first, n;
  json_t *list;
  int err;

  *more = f->doc < f->end;
  if (!*more)
    return HY_OK;
  first = hy_indexed_start(f->x, hy_indexed_doc(f->x, f->doc));
  f->doc++;
  n = hy_indexed_start(f->x, hy_indexed_doc(f->x, f->doc)) - first;
  if (n > f->cap) {
    f->cap = n;
    f->id = hy_realloc(f->id, (size_t)n * sizeof *f->id);
  }
  err = hy_indexed_ids(f->x, first, n, f->id);
  if (err)
    return err;
  list = json_array();
  for (int64_t i = 0; i < n; i++)
    json_array_append_new(list, json_integer(f->id[i]));
  *json = json_pack("{s:o}", "ids", list);
  return HY_OK;
}
