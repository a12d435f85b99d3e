#include "data/parquet_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int
no_parquet(const char *path, const char *what)
{
  return hy_fail(HY_EFILE, "%s: %s; make or copy the file again", path, what);
}

static int
map_file(hy_parquet *p)
{
  struct stat st;
  void *map;
  int fd = open(p->path, O_RDONLY);

  if (fd < 0)
    return hy_fail(HY_EFILE, "%s: cannot read: %s; check the name", p->path,
                   strerror(errno));
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return hy_fail(HY_EFILE, "%s: is no file; give a Parquet file", p->path);
  }
  if (st.st_size == 0) {
    close(fd);
    return no_parquet(p->path, "is empty");
  }
  p->size = (size_t)st.st_size;
  map = mmap(NULL, p->size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (map == MAP_FAILED)
    return hy_fail(HY_ERES, "%s: cannot map: %s; free memory", p->path,
                   strerror(errno));
  p->map = map;
  return HY_OK;
}

/* The tail of the file: footer, its length, magic. */
static int
read_tail(hy_parquet *p)
{
  const unsigned char *tail;
  size_t n;

  if (p->size >= 4 && !memcmp(p->map, "PARE", 4))
    return hy_fail(HY_EDATA, "%s: is encrypted; decrypt it first", p->path);
  if (p->size < 4 || memcmp(p->map, "PAR1", 4))
    return no_parquet(p->path, "is no Parquet file");
  tail = p->map + p->size - 8;
  if (p->size < 12 || memcmp(tail + 4, "PAR1", 4))
    return no_parquet(p->path, "has no footer at its end: it is torn");
  n = (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 |
      (size_t)tail[3] << 24;
  if (n > p->size - 12)
    return no_parquet(p->path, "has a footer longer than the file");
  p->data_end = p->size - 8 - n;
  return hy_pq_footer(p, p->map + p->data_end, n);
}

static void
make_columns(hy_parquet *p)
{
  int i;

  p->column = hy_calloc((size_t)p->n_leaf, sizeof *p->column);
  for (i = 0; i < p->n_leaf; i++) {
    p->column[i].file = p;
    p->column[i].node = &p->node[p->leaf[i]];
  }
}

int
hy_parquet_open(hy_parquet **out, const char *path)
{
  hy_parquet *p = hy_calloc(1, sizeof *p);
  int err;

  *out = NULL;
  p->path = hy_strdup(path);
  p->loaded = -1;
  err = map_file(p);
  if (!err)
    err = read_tail(p);
  if (err) {
    hy_parquet_free(p);
    return err;
  }
  make_columns(p);
  *out = p;
  return HY_OK;
}

void
hy_parquet_free(hy_parquet *p)
{
  int i;

  if (!p)
    return;
  for (i = 0; p->column && i < p->n_leaf; i++)
    hy_pq_column_free(&p->column[i]);
  for (i = 0; i < p->n_nodes; i++)
    free(p->node[i].name);
  if (p->map)
    munmap((void *)(uintptr_t)p->map, p->size);
  free(p->column);
  free(p->node);
  free(p->leaf);
  free(p->group_rows);
  free(p->chunk);
  free(p->path);
  free(p);
}

int64_t
hy_parquet_n_rows(const hy_parquet *p)
{
  return p->n_rows;
}

int64_t
hy_parquet_n_groups(const hy_parquet *p)
{
  return p->n_groups;
}

int64_t
hy_parquet_group_rows(const hy_parquet *p, int64_t group)
{
  return p->group_rows[group];
}

const char *
hy_parquet_column(const hy_parquet *p, int i)
{
  const hy_pq_node *n = p->node + 1;

  for (; i > 0 && n < p->node + p->n_nodes; i--)
    n = p->node + n->after;
  return n < p->node + p->n_nodes ? n->name : NULL;
}

int
hy_parquet_has(const hy_parquet *p, const char *column)
{
  const hy_pq_node *n = p->node + 1;

  for (; n < p->node + p->n_nodes; n = p->node + n->after)
    if (!strcmp(n->name, column))
      return 1;
  return 0;
}

/* 0, or what of the column is not covered. */
static int
check_column(hy_pq_column *c)
{
  const hy_parquet *p = c->file;
  const hy_pq_node *n;
  int readable = 0;
  char what[96];
  const char *codec = hy_pq_codec_name(c->chunk->codec, &readable);

  for (n = c->node; n->parent >= 0; n = &p->node[n->parent])
    if (n->refused) {
      snprintf(what, sizeof what, "holds %s, which hymn does not read",
               n->refused);
      return hy_pq_refuse(c, what, "leave the column out or convert it");
    }
  if (!codec)
    return hy_pq_bad(c, "a compression that is not known");
  if (!readable) {
    snprintf(what, sizeof what,
             "is compressed by %s, which this build does not read", codec);
    return hy_pq_refuse(c, what,
                        "write the file with zstd, Snappy, gzip or none "
                        "(hymn --version tells what a build has)");
  }
  return HY_OK;
}

int
hy_parquet_load(hy_parquet *p, int64_t group)
{
  int i, err = 0;

  p->loaded = -1;
  for (i = 0; i < p->n_leaf && !err; i++) {
    hy_pq_column_start(&p->column[i], group);
    err = check_column(&p->column[i]);
  }
  if (!err) {
    p->loaded = group;
    p->row = 0;
  }
  return err;
}
