/* safetensors_write.c: the writer; the same bytes as the safetensors package
 * for the same tensors. */
#include "io/safetensors.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  char *name;
  hy_st_dtype dtype;
  int n_dim;
  int64_t dim[HY_ST_MAX_DIM];
  size_t bytes;
  int64_t number; /* by declaration */
} entry;

struct hy_st_writer {
  char *path, *tmp;
  FILE *f;
  int64_t n, cap;
  entry *e;
  int64_t at;  /* tensor being filled */
  size_t done; /* bytes of it */
  int err;
};

hy_st_writer *
hy_st_writer_new(const char *path)
{
  hy_st_writer *w = hy_calloc(1, sizeof *w);

  w->path = hy_strdup(path);
  w->tmp = hy_asprintf("%s.tmp%ld", path, (long)getpid());
  return w;
}

void
hy_st_declare(hy_st_writer *w, const char *name, hy_st_dtype dtype, int n_dim,
              const int64_t *dim)
{
  entry *e;

  if (w->n == w->cap) {
    w->cap = w->cap ? 2 * w->cap : 64;
    w->e = hy_realloc(w->e, (size_t)w->cap * sizeof *w->e);
  }
  e = w->e + w->n;
  *e = (entry){.dtype = dtype, .n_dim = n_dim, .number = w->n++};
  e->name = hy_strdup(name);
  e->bytes = hy_st_dtype_size(dtype);
  for (int i = 0; i < n_dim; i++) {
    e->dim[i] = dim[i];
    e->bytes *= (size_t)dim[i];
  }
}

int
hy_st_before(hy_st_dtype dtype_a, const char *name_a, hy_st_dtype dtype_b,
             const char *name_b)
{
  if (dtype_a != dtype_b)
    return dtype_a > dtype_b;
  return strcmp(name_a, name_b) < 0;
}

static int
in_order(const void *a, const void *b)
{
  const entry *x = a, *y = b;

  if (hy_st_before(x->dtype, x->name, y->dtype, y->name))
    return -1;
  return hy_st_before(y->dtype, y->name, x->dtype, x->name);
}

static int
failed(hy_st_writer *w, int why)
{
  if (w->err)
    return w->err;
  if (why == ENOSPC || why == EDQUOT || why == EFBIG)
    w->err = hy_fail(HY_ERES, "%s: %s; free some space and run again", w->path,
                     why == EFBIG ? "file size limit reached" : "disk full");
  else
    w->err = hy_fail(HY_EFILE, "%s: cannot write: %s", w->path, strerror(why));
  return w->err;
}

static void
header_text(const hy_st_writer *w, const char *format, hy_buf *b)
{
  size_t at = 0;

  hy_buf_printf(b, "{");
  if (format)
    hy_buf_printf(b, "\"__metadata__\":{\"format\":\"%s\"}%s", format,
                  w->n ? "," : "");
  for (int64_t i = 0; i < w->n; i++) {
    const entry *e = w->e + i;
    json_t *name = json_string(e->name);
    char *quoted = json_dumps(name, JSON_ENCODE_ANY);

    hy_buf_printf(b, "%s%s:{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", quoted,
                  hy_st_dtype_name(e->dtype));
    for (int k = 0; k < e->n_dim; k++)
      hy_buf_printf(b, "%s%lld", k ? "," : "", (long long)e->dim[k]);
    hy_buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", at, at + e->bytes);
    at += e->bytes;
    free(quoted);
    json_decref(name);
  }
  hy_buf_printf(b, "}");
  while (b->len % 8)
    hy_buf_add(b, " ", 1);
}

int
hy_st_begin(hy_st_writer *w, int sort, const char *format)
{
  unsigned char len[8];
  hy_buf b = {0};

  if (w->err)
    return w->err;
  if (sort && w->n)
    qsort(w->e, (size_t)w->n, sizeof *w->e, in_order);
  header_text(w, format, &b);
  for (int i = 0; i < 8; i++)
    len[i] = (unsigned char)(b.len >> 8 * i);
  w->f = fopen(w->tmp, "wb");
  if (!w->f || fwrite(len, 1, 8, w->f) != 8 ||
      fwrite(b.data, 1, b.len, w->f) != b.len)
    failed(w, errno);
  free(b.data);
  return w->err;
}

int64_t
hy_st_order(const hy_st_writer *w, int64_t k)
{
  return w->e[k].number;
}

int
hy_st_put(hy_st_writer *w, const void *data, size_t bytes)
{
  if (w->err)
    return w->err;
  while (w->at < w->n && w->done == w->e[w->at].bytes) {
    w->at++;
    w->done = 0;
  }
  if (!w->f || (bytes && w->at == w->n) ||
      (bytes && bytes > w->e[w->at].bytes - w->done))
    return w->err = hy_fail(HY_EBUG,
                            "%s: more data than was declared; please "
                            "report this",
                            w->path);
  if (bytes && fwrite(data, 1, bytes, w->f) != bytes)
    return failed(w, errno);
  w->done += bytes;
  return HY_OK;
}

int
hy_st_commit(hy_st_writer *w)
{
  FILE *f = w->f;

  hy_st_put(w, NULL, 0);
  if (!w->err && w->at < w->n)
    w->err = hy_fail(HY_EBUG,
                     "%s: tensor %s is incomplete; please report "
                     "this",
                     w->path, w->e[w->at].name);
  if (w->err)
    return w->err;
  w->f = NULL;
  if (fclose(f))
    return failed(w, errno);
  w->err = hy_file_commit(w->tmp, w->path);
  if (!w->err) {
    free(w->tmp);
    w->tmp = NULL;
  }
  return w->err;
}

void
hy_st_writer_free(hy_st_writer *w)
{
  if (!w)
    return;
  if (w->f)
    fclose(w->f);
  if (w->tmp)
    unlink(w->tmp);
  for (int64_t i = 0; i < w->n; i++)
    free(w->e[i].name);
  free(w->e);
  free(w->path);
  free(w->tmp);
  free(w);
}
