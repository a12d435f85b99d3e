/* parquet_schema.c: the tree of columns, and what each node becomes in JSON.
 * Source: parquet-format/LogicalTypes.md, with its rules for lists of old
 * writers. */
#include "data/parquet_impl.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Deeper records are refused: rows are put together by recursion. */
#define MAX_DEPTH 32

/* Numbers of LogicalType and of the older ConvertedType. */
enum {
  L_STRING = 1,
  L_MAP,
  L_LIST,
  L_ENUM,
  L_DECIMAL,
  L_DATE,
  L_TIME,
  L_TIMESTAMP,
  L_INTEGER = 10,
  L_UNKNOWN,
  L_JSON,
  L_BSON,
  L_UUID,
  L_FLOAT16
};
enum {
  C_UTF8,
  C_MAP,
  C_MAP_KEY_VALUE,
  C_LIST,
  C_ENUM,
  C_DECIMAL,
  C_UINT_32 = 13,
  C_UINT_64 = 14,
  C_JSON = 19,
  C_BSON = 20,
  C_INTERVAL = 21
};

static int
refuse(const hy_parquet *p, const hy_pq_node *n, const char *what)
{
  return hy_fail(HY_EDATA, "%s: column '%s': %s; make the file again", p->path,
                 n->name, what);
}

static int
is_list(const hy_pq_node *n)
{
  return n->logical == L_LIST || (!n->logical && n->converted == C_LIST);
}

static int
is_map(const hy_pq_node *n)
{
  return n->logical == L_MAP ||
         (!n->logical &&
          (n->converted == C_MAP || n->converted == C_MAP_KEY_VALUE));
}

static int
by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* 1 if no two fields of a group have one name. */
static int
names_differ(const hy_parquet *p, const hy_pq_node *group)
{
  int i, n = group->n_child, differ = 1;
  char **name = hy_malloc((size_t)n * sizeof *name);
  const hy_pq_node *c = group + 1;

  for (i = 0; i < n; i++, c = p->node + c->after)
    name[i] = c->name;
  qsort(name, (size_t)n, sizeof *name, by_text);
  for (i = 1; i < n; i++)
    differ &= strcmp(name[i - 1], name[i]) != 0;
  free(name);
  return differ;
}

/* A list annotates a group of one repeated child; that child is the element, or
 * the layer around it. */
static const char *
form_list(hy_parquet *p, int at)
{
  hy_pq_node *list = &p->node[at], *mid = list + 1;
  size_t n = strlen(list->name);

  if (list->n_child != 1 || mid->repetition != PQ_REPEATED)
    return "a list that is not of one repeated field";
  list->as = PQ_AS_LIST;
  mid->group_is_element =
      mid->type >= 0 || mid->n_child != 1 || mid[1].repetition == PQ_REPEATED ||
      !strcmp(mid->name, "array") ||
      (!strncmp(mid->name, list->name, n) && !strcmp(mid->name + n, "_tuple"));
  return NULL;
}

static const char *
form_map(hy_parquet *p, int at)
{
  hy_pq_node *map = &p->node[at], *mid = map + 1;

  if (map->n_child != 1 || mid->repetition != PQ_REPEATED || mid->type >= 0 ||
      mid->n_child != 2 || mid[1].repetition != PQ_REQUIRED ||
      p->node[mid[1].after].repetition == PQ_REPEATED)
    return "a map that is not of repeated pairs";
  map->as = PQ_AS_MAP;
  if (mid[1].type != PQ_BYTES)
    mid[1].refused = "keys of a map that are not text";
  return NULL;
}

/* Annotations of numbers, by physical type. */
static void
form_number(hy_pq_node *n)
{
  n->as = PQ_AS_INT;
  if (n->converted == C_UINT_32)
    n->as = PQ_AS_UINT32;
  if (n->converted == C_UINT_64)
    n->as = PQ_AS_UINT64;
}

static const char *
form_decimal(hy_pq_node *n)
{
  /* up to here a number of JSON is the nearest one, without doubt */
  if (n->precision < 1 || n->precision > 15 || n->scale < 0 ||
      n->scale > n->precision)
    n->refused = "DECIMAL of more than 15 digits";
  n->as = PQ_AS_DECIMAL;
  if (n->type == PQ_INT96 || n->type == PQ_BOOLEAN || n->type == PQ_FLOAT ||
      n->type == PQ_DOUBLE)
    return "DECIMAL of a type that cannot hold it";
  return NULL;
}

/* Byte arrays. */
static void
form_bytes(hy_pq_node *n)
{
  n->as = PQ_AS_TEXT;
  if (n->logical == L_BSON || n->converted == C_BSON)
    n->refused = "BSON";
  else if (n->logical == L_UUID)
    n->refused = "UUID";
  else if (n->converted == C_INTERVAL)
    n->refused = "INTERVAL";
  else if (n->logical == L_FLOAT16 && n->type == PQ_FIXED && n->length == 2)
    n->as = PQ_AS_HALF;
  else if (n->logical > L_FLOAT16)
    n->refused = "a logical type that is not known";
}

static const char *
form_leaf(hy_pq_node *n)
{
  if (n->type >= PQ_N_TYPE)
    return "of no known type";
  if (n->type == PQ_FIXED && n->length < 1)
    return "fixed length below 1";
  if (n->logical == L_UNKNOWN) {
    n->as = PQ_AS_NULL;
    return NULL;
  }
  if (n->logical == L_DECIMAL || n->converted == C_DECIMAL)
    return form_decimal(n);
  switch (n->type) {
  case PQ_BOOLEAN:
    n->as = PQ_AS_BOOL;
    break;
  case PQ_INT32:
  case PQ_INT64:
    form_number(n);
    break;
  case PQ_INT96:
    n->refused = "INT96";
    break;
  case PQ_FLOAT:
  case PQ_DOUBLE:
    n->as = PQ_AS_REAL;
    break;
  default:
    form_bytes(n);
  }
  return NULL;
}

static const char *
form_group(hy_parquet *p, int at)
{
  hy_pq_node *n = &p->node[at];
  /* the layer inside a MAP of old writers is annotated too */
  int layer = n->parent >= 0 && p->node[n->parent].as == PQ_AS_MAP;

  if (!names_differ(p, n))
    return "two fields of one name";
  n->as = PQ_AS_STRUCT;
  if (at == 0)
    return NULL;
  if (is_list(n))
    return form_list(p, at);
  if (is_map(n) && !layer)
    return form_map(p, at);
  if (n->logical > L_FLOAT16)
    n->refused = "a logical type that is not known";
  return NULL;
}

/* Place node `at` and its subtree; the number of nodes is given, so that a
 * group cannot claim more. *next: the node behind. */
static int
place(hy_parquet *p, int at, int parent, int depth, int *next)
{
  hy_pq_node *n = &p->node[at];
  int i, err = 0;

  if (!hy_utf8_ok(n->name, strlen(n->name)))
    return hy_fail(HY_EDATA,
                   "%s: footer: a name that is no UTF-8; make the "
                   "file again",
                   p->path);
  n->parent = parent;
  n->leaf = p->n_leaf;
  if (parent >= 0) {
    if (n->repetition < PQ_REQUIRED || n->repetition > PQ_REPEATED)
      return refuse(p, n, "no repetition");
    n->max_def = p->node[parent].max_def + (n->repetition != PQ_REQUIRED);
    n->max_rep = p->node[parent].max_rep + (n->repetition == PQ_REPEATED);
  }
  if (depth > MAX_DEPTH)
    return refuse(p, n, "lies too deep (32 levels)");
  *next = at + 1;
  if (n->type >= 0) {
    if (n->n_child != 0)
      return refuse(p, n, "a value with fields");
    p->leaf = hy_realloc(p->leaf, (size_t)(p->n_leaf + 1) * sizeof *p->leaf);
    p->leaf[p->n_leaf++] = at;
  } else if (n->n_child < 1) {
    return refuse(p, n, "a group without fields");
  }
  for (i = 0; i < n->n_child && !err; i++) {
    if (*next >= p->n_nodes)
      return refuse(p, n, "more fields than the schema has");
    err = place(p, *next, at, depth + 1, next);
  }
  n->after = *next;
  n->n_leaf = p->n_leaf - n->leaf;
  return err;
}

int
hy_pq_schema(hy_parquet *p)
{
  const char *why = NULL;
  int i, next, err;

  if (p->node[0].type >= 0)
    return refuse(p, &p->node[0], "the root of the schema is a value");
  if (p->node[0].n_child == 0 && p->n_nodes == 1)
    return hy_fail(HY_EDATA, "%s: has no columns; make the file again",
                   p->path);
  err = place(p, 0, -1, 0, &next);
  if (err)
    return err;
  if (next != p->n_nodes)
    return refuse(p, &p->node[0], "fields outside the root");
  for (i = 0; i < p->n_nodes && !why; i++)
    why = p->node[i].type >= 0 ? form_leaf(&p->node[i]) : form_group(p, i);
  if (why)
    return refuse(p, &p->node[i - 1], why);
  return HY_OK;
}
