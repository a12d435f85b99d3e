/* targets_file.c: binary files of others. */
#include "fuzz.h"
#include "base/err.h"
#include "data/indexed.h"
#include "data/parquet.h"
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

/* Two bytes give the length of .bin, the rest is .idx. */
void
hy_fuzz_indexed(const uint8_t *data, size_t n)
{
  size_t n_bin = n < 2 ? 0 : data[0] | (size_t)data[1] << 8;
  uint8_t *bin = calloc(n_bin + 1, 1);
  int32_t id[64];
  char *idx, *path;
  hy_indexed *x;
  int64_t i, len;
  int err;

  if (n < 2) {
    free(bin);
    return;
  }
  for (i = 0; i < (int64_t)n_bin; i += 3)
    bin[i] = (uint8_t)i;
  idx = hy_fuzz_put("a.idx", data + 2, n - 2);
  path = hy_fuzz_put("a.bin", bin, n_bin);
  err = hy_indexed_open(&x, idx);
  for (i = 0; !err && i < hy_indexed_n_seq(x) && i < 1000; i++) {
    len = hy_indexed_len(x, i);
    err = hy_indexed_ids(x, hy_indexed_start(x, i), len < 64 ? len : 64, id);
  }
  for (i = 0; !err && i <= hy_indexed_n_docs(x) && i < 1000; i++)
    hy_fuzz_demand(hy_indexed_doc(x, i) >= 0 &&
                   hy_indexed_doc(x, i) <= hy_indexed_n_seq(x));
  hy_fuzz_judge(err);
  hy_indexed_free(x);
  hy_fuzz_drop(idx);
  hy_fuzz_drop(path);
  free(bin);
}

void
hy_fuzz_parquet(const uint8_t *data, size_t n)
{
  char *path = hy_fuzz_put("a.parquet", data, n);
  const char *why;
  hy_parquet *p;
  json_t *v;
  int64_t g, i, n_rows = 0;
  int err = hy_parquet_open(&p, path), k;

  hy_fuzz_demand((err != 0) == (p == NULL));
  for (k = 0; !err && hy_parquet_column(p, k); k++)
    hy_fuzz_demand(hy_parquet_has(p, hy_parquet_column(p, k)));
  for (g = 0; !err && g < hy_parquet_n_groups(p); g++) {
    err = hy_parquet_load(p, g);
    /* a few bytes may stand for any number of rows */
    for (i = 0; !err && i < hy_parquet_group_rows(p, g) && n_rows < 2000;
         i++, n_rows++) {
      err = hy_parquet_row(p, i, &v, &why);
      hy_fuzz_demand((v == NULL) == (err || why));
      json_decref(v);
    }
  }
  hy_fuzz_judge(err);
  hy_parquet_free(p);
  hy_fuzz_drop(path);
}

void
hy_fuzz_safetensors(const uint8_t *data, size_t n)
{
  char *path = hy_fuzz_put("model.safetensors", data, n);
  const hy_st_tensor *t;
  unsigned sum = 0;
  int64_t i;
  hy_st *s;
  int err = hy_st_open(&s, path);

  hy_fuzz_judge(err);
  hy_fuzz_demand((err != 0) == (s == NULL));
  for (i = 0; !err && i < hy_st_n(s); i++) {
    t = hy_st_at(s, i);
    hy_fuzz_demand(hy_st_find(s, t->name) == t && hy_st_index(s, t) == i);
    if (t->bytes > 0) /* both ends lie in the file */
      sum += ((const uint8_t *)t->data)[0] +
             ((const uint8_t *)t->data)[t->bytes - 1];
  }
  hy_fuzz_demand(sum < UINT32_MAX);
  hy_st_close(s);
  hy_fuzz_drop(path);
}
