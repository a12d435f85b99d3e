/* parquet_meta.c: the footer: schema, row groups, columns. */
#include "data/parquet_impl.h"

#include <stdlib.h>
#include <string.h>

static int
damaged(const hy_parquet *p, const char *what)
{
  return hy_fail(HY_EDATA, "%s: footer: %s; make the file again", p->path,
                 what);
}

/* Type of integer kept in the union LogicalType, and its unit of decimals. */
static void
read_logical(hy_thrift *t, hy_pq_node *n)
{
  int id = 0, type, in = 0, inner;

  while ((type = hy_thrift_field(t, &id)) != 0) {
    n->logical = id;
    if (id != 5 || type != HY_THRIFT_STRUCT) {
      hy_thrift_skip(t, type);
      continue;
    }
    while ((inner = hy_thrift_field(t, &in)) != 0) { /* DECIMAL */
      if (in == 1)
        n->scale = (int)hy_thrift_int(t, inner);
      else if (in == 2)
        n->precision = (int)hy_thrift_int(t, inner);
      else
        hy_thrift_skip(t, inner);
    }
  }
}

static void
read_node(hy_thrift *t, hy_pq_node *n)
{
  const unsigned char *name;
  size_t len;
  int id = 0, type;

  memset(n, 0, sizeof *n);
  n->type = n->converted = n->repetition = -1;
  while ((type = hy_thrift_field(t, &id)) != 0) {
    switch (id) {
    case 1:
      n->type = (int)hy_thrift_int(t, type);
      break;
    case 2:
      n->length = (int)hy_thrift_int(t, type);
      break;
    case 3:
      n->repetition = (int)hy_thrift_int(t, type);
      break;
    case 4:
      name = hy_thrift_bytes(t, type, &len);
      free(n->name);
      n->name = name && !memchr(name, 0, len)
                    ? hy_strndup((const char *)name, len)
                    : NULL;
      break;
    case 5:
      n->n_child = (int)hy_thrift_int(t, type);
      break;
    case 6:
      n->converted = (int)hy_thrift_int(t, type);
      break;
    case 7:
      n->scale = (int)hy_thrift_int(t, type);
      break;
    case 8:
      n->precision = (int)hy_thrift_int(t, type);
      break;
    case 10:
      if (type == HY_THRIFT_STRUCT) {
        read_logical(t, n);
        break;
      } /* fall through */
    default:
      hy_thrift_skip(t, type);
    }
  }
}

static int
read_schema(hy_parquet *p, hy_thrift *t, int type)
{
  int64_t n = hy_thrift_list(t, type, HY_THRIFT_STRUCT), i;
  size_t cap = 0;

  if (p->node || n > INT32_MAX / 2)
    return damaged(p, "two schemas, or one that is too large");
  for (i = 0; i < n && !t->bad; i++) {
    if ((size_t)i == cap) {
      cap = cap ? 2 * cap : 16;
      p->node = hy_realloc(p->node, cap * sizeof *p->node);
    }
    read_node(t, &p->node[i]);
    p->n_nodes = (int)i + 1;
    if (!t->bad && !p->node[i].name)
      return damaged(p, "a column without a name");
  }
  if (t->bad)
    return HY_OK; /* told by the caller */
  if (n == 0)
    return damaged(p, "no schema");
  return hy_pq_schema(p);
}

/* What a ColumnMetaData says beside the chunk. */
typedef struct {
  int type, n_path, path_ok, seen;
  int64_t data, dictionary;
} chunk_facts;

/* path_in_schema: names from below the root down to the leaf. */
static void
read_path(const hy_parquet *p, hy_thrift *t, int type, int leaf, chunk_facts *f)
{
  int64_t n = hy_thrift_list(t, type, HY_THRIFT_BYTES), i;
  int node = p->leaf[leaf], depth = 0, up, k;
  const unsigned char *name;
  size_t len;

  for (up = node; up != 0; up = p->node[up].parent)
    depth++;
  f->path_ok = n == depth;
  for (i = 0; i < n && !t->bad; i++) {
    name = hy_thrift_bytes(t, HY_THRIFT_BYTES, &len);
    for (up = node, k = depth - 1; up != 0 && k > i; k--)
      up = p->node[up].parent;
    if (!name || strlen(p->node[up].name) != len ||
        memcmp(p->node[up].name, name, len))
      f->path_ok = 0;
  }
}

static void
read_chunk_facts(const hy_parquet *p, hy_thrift *t, int leaf, hy_pq_chunk *c,
                 chunk_facts *f)
{
  int id = 0, type;

  while ((type = hy_thrift_field(t, &id)) != 0) {
    f->seen |= id < 12 ? 1 << id : 0;
    switch (id) {
    case 1:
      f->type = (int)hy_thrift_int(t, type);
      break;
    case 3:
      read_path(p, t, type, leaf, f);
      break;
    case 4:
      c->codec = (int)hy_thrift_int(t, type);
      break;
    case 5:
      c->n_values = hy_thrift_int(t, type);
      break;
    case 7:
      c->bytes = hy_thrift_int(t, type);
      break;
    case 9:
      f->data = hy_thrift_int(t, type);
      break;
    case 11:
      f->dictionary = hy_thrift_int(t, type);
      break;
    default:
      hy_thrift_skip(t, type);
    }
  }
}

static int
check_chunk(const hy_parquet *p, int leaf, hy_pq_chunk *c, const chunk_facts *f)
{
  const hy_pq_node *n = &p->node[p->leaf[leaf]];
  const int needed = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 9;
  const char *what = NULL;

  c->at = f->data;
  /* writers of old say 0 where there is no dictionary */
  if (f->dictionary > 0 && f->dictionary < c->at)
    c->at = f->dictionary;
  if (c->n_values == 0 && c->at <= 0) { /* nothing was written, nowhere */
    c->at = 4;
    c->bytes = 0;
  }
  if ((f->seen & needed) != needed)
    what = "its description is not complete";
  else if (f->type != n->type || !f->path_ok)
    what = "it is not the column of the schema at this place";
  else if (c->n_values < 0)
    what = "a negative number of values";
  else if (c->at < 4 || c->bytes < 0 || (uint64_t)c->at > p->data_end ||
           (uint64_t)c->bytes > p->data_end - (uint64_t)c->at)
    what = "it lies outside the file";
  if (what)
    return hy_fail(HY_EDATA, "%s: footer: column '%s': %s; make the file again",
                   p->path, n->name, what);
  return HY_OK;
}

static int
read_chunk(const hy_parquet *p, hy_thrift *t, int leaf, hy_pq_chunk *c)
{
  chunk_facts f = {.type = -1};
  size_t len;
  int id = 0, type, have = 0;

  memset(c, 0, sizeof *c);
  while ((type = hy_thrift_field(t, &id)) != 0) {
    if (id == 3 && type == HY_THRIFT_STRUCT) {
      read_chunk_facts(p, t, leaf, c, &f);
      have = 1;
    } else if (id == 1 && hy_thrift_bytes(t, type, &len) && len > 0) {
      return hy_fail(HY_EDATA,
                     "%s: keeps its columns in other files; write it as one "
                     "file",
                     p->path);
    } else if (id == 8 || id == 9) {
      return hy_fail(HY_EDATA, "%s: is encrypted; decrypt it first", p->path);
    } else if (id != 1) {
      hy_thrift_skip(t, type);
    }
  }
  if (t->bad)
    return HY_OK;
  if (!have)
    return damaged(p, "a column without a description");
  return check_chunk(p, leaf, c, &f);
}

static int
read_columns(hy_parquet *p, hy_thrift *t, int type, hy_pq_chunk *chunk)
{
  int64_t n = hy_thrift_list(t, type, HY_THRIFT_STRUCT);
  int i, err = 0;

  if (!t->bad && n != p->n_leaf)
    return damaged(p, "a row group without all columns of the schema");
  for (i = 0; i < p->n_leaf && !t->bad && !err; i++)
    err = read_chunk(p, t, i, &chunk[i]);
  return err;
}

static int
read_group(hy_parquet *p, hy_thrift *t, int64_t g)
{
  int id = 0, type, err = 0, have = 0;

  p->group_rows[g] = -1;
  while (!err && (type = hy_thrift_field(t, &id)) != 0) {
    if (id == 1) {
      err = read_columns(p, t, type, p->chunk + g * p->n_leaf);
      have = 1;
    } else if (id == 3) {
      p->group_rows[g] = hy_thrift_int(t, type);
    } else {
      hy_thrift_skip(t, type);
    }
  }
  if (!err && !t->bad && (!have || p->group_rows[g] < 0))
    err = damaged(p, "a row group without columns or rows");
  return err;
}

static int
read_groups(hy_parquet *p, hy_thrift *t, int type)
{
  int64_t n = hy_thrift_list(t, type, HY_THRIFT_STRUCT), i;
  size_t cap = 0;
  int err = 0;

  if (!t->bad && (!p->node || p->group_rows))
    return damaged(p, "row groups twice, or before the schema");
  for (i = 0; i < n && !t->bad && !err; i++) {
    if ((size_t)i == cap) {
      cap = cap ? 2 * cap : 16;
      p->group_rows = hy_realloc(p->group_rows, cap * sizeof *p->group_rows);
      p->chunk =
          hy_realloc(p->chunk, cap * (size_t)p->n_leaf * sizeof *p->chunk);
    }
    err = read_group(p, t, i);
    p->n_groups = i + 1;
  }
  return err;
}

static int
check_rows(const hy_parquet *p)
{
  int64_t left = p->n_rows, i;

  for (i = 0; i < p->n_groups; i++) {
    if (p->group_rows[i] > left)
      return damaged(p, "row groups have more rows than the file");
    left -= p->group_rows[i];
  }
  if (left != 0)
    return damaged(p, "row groups have fewer rows than the file");
  return HY_OK;
}

int
hy_pq_footer(hy_parquet *p, const unsigned char *at, size_t n)
{
  hy_thrift t = {at, at + n, 0};
  int id = 0, type, err = 0;

  p->n_rows = -1;
  while (!err && (type = hy_thrift_field(&t, &id)) != 0) {
    switch (id) {
    case 2:
      err = read_schema(p, &t, type);
      break;
    case 3:
      p->n_rows = hy_thrift_int(&t, type);
      break;
    case 4:
      err = read_groups(p, &t, type);
      break;
    case 8:
      err = hy_fail(HY_EDATA, "%s: is encrypted; decrypt it first", p->path);
      break;
    default:
      hy_thrift_skip(&t, type);
    }
  }
  if (!err && t.bad)
    err = damaged(p, "is damaged");
  if (!err && (!p->node || p->n_rows < 0))
    err = damaged(p, "no schema or no number of rows");
  if (!err)
    err = check_rows(p);
  return err;
}
