/* parquet_row.c: rows put together from the entries of their leaves.
 *
 * Every function takes the entries of one node and everything below it. The
 * first leaf decides what is there; the others must agree, and the repetition
 * level of each must be the one of the place where it stands. */
#include "data/parquet_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a row may hold: a run of a few bytes can claim 2^31 values. */
#define ROW_BYTES ((size_t)1 << 30)
#define NODE_BYTES 64 /* about what a JSON value takes */

static int read_node(hy_parquet *p, int at, int rep, json_t **out);

/* Look at the next entry of the first leaf of a node; it must be there and
 * stand at this repetition level. */
static int
look(hy_parquet *p, const hy_pq_node *n, int rep, hy_pq_column **column)
{
  hy_pq_column *c = &p->column[n->leaf];
  int end, err = hy_pq_column_peek(c, &end);

  *column = c;
  if (!err && end)
    err = hy_pq_bad(c, "has fewer rows than the row group");
  if (!err && c->entry_rep != rep)
    err = hy_pq_bad(c, "contradicts its sister columns (repetition levels)");
  return err;
}

static int
spend(hy_parquet *p, const hy_pq_node *n, size_t bytes)
{
  if (bytes > p->budget)
    return hy_pq_refuse(&p->column[n->leaf], "a row of more than 1 GiB",
                        "cut it into several rows");
  p->budget -= bytes;
  return HY_OK;
}

/* Take one entry of each leaf below a node that is not there. */
static int
take_nothing(hy_parquet *p, const hy_pq_node *n, int rep, int def)
{
  hy_pq_value x;
  hy_pq_column *c;
  int i, end, err = 0;

  for (i = 0; i < n->n_leaf && !err; i++) {
    c = &p->column[n->leaf + i];
    err = hy_pq_column_peek(c, &end);
    if (!err && (end || c->entry_rep != rep || c->entry_def != def))
      err = hy_pq_bad(c, "contradicts its sister columns");
    if (!err)
      err = hy_pq_column_take(c, &x);
  }
  return err;
}

/* ---- leaves ---- */

/* IEEE 754 binary16, little endian. */
static double
half(const unsigned char *p)
{
  unsigned h = (unsigned)p[0] | (unsigned)p[1] << 8;
  unsigned e = h >> 10 & 31, m = h & 1023;
  double x = e == 31  ? (m ? NAN : INFINITY)
             : e == 0 ? ldexp(m, -24)
                      : ldexp(1024 + m, (int)e - 25);

  return h >> 15 ? -x : x;
}

/* Big endian, two's complement, of any length; *fits is 0 beyond 64 bits. */
static int64_t
big_endian(const unsigned char *p, size_t n, int *fits)
{
  unsigned char sign = n > 0 && p[0] & 128 ? 255 : 0;
  uint64_t x = sign ? UINT64_MAX : 0;
  size_t i;

  *fits = n > 0;
  for (i = 0; i < n; i++) {
    if (n - i > 8)
      *fits &= p[i] == sign;
    x = x << 8 | p[i];
  }
  return (int64_t)x;
}

static json_t *
decimal(const hy_pq_node *n, const hy_pq_value *x)
{
  static const double ten[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                               1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  int fits = 1;
  int64_t i = n->type >= PQ_BYTES ? big_endian(x->p, x->n, &fits) : x->v.i;

  if (!fits || i > 999999999999999 || i < -999999999999999)
    return NULL;
  /* both are exact, so that the quotient is the nearest number */
  return n->scale == 0 ? json_integer(i) : json_real((double)i / ten[n->scale]);
}

/* JSON knows neither NaN nor infinity: null. */
static json_t *
real(double x)
{
  return isfinite(x) ? json_real(x) : json_null();
}

/* NULL: the value has no place in JSON. */
static json_t *
leaf_json(const hy_pq_node *n, const hy_pq_value *x)
{
  switch (n->as) {
  case PQ_AS_BOOL:
    return json_boolean(x->v.i);
  case PQ_AS_INT:
    return json_integer(x->v.i);
  case PQ_AS_UINT32:
    return json_integer((uint32_t)x->v.i);
  case PQ_AS_UINT64:
    return x->v.i < 0 ? NULL : json_integer(x->v.i);
  case PQ_AS_REAL:
    return real(x->v.f);
  case PQ_AS_HALF:
    return real(half(x->p));
  case PQ_AS_DECIMAL:
    return decimal(n, x);
  case PQ_AS_TEXT:
    return json_stringn((const char *)x->p, x->n);
  default:
    return json_null();
  }
}

static int
read_leaf(hy_parquet *p, const hy_pq_node *n, int rep, json_t **out)
{
  hy_pq_column *c;
  hy_pq_value x;
  int err = look(p, n, rep, &c);

  if (!err && c->entry_def != n->max_def)
    err = hy_pq_bad(c, "contradicts its sister columns (definition levels)");
  if (!err)
    err = hy_pq_column_take(c, &x);
  if (!err)
    err = spend(p, n, x.n);
  if (err)
    return err;
  *out = leaf_json(n, &x);
  if (!*out) { /* the rest of the row is read, so that the next one can be */
    *out = json_null();
    p->why = n->as == PQ_AS_TEXT ? "text that is no UTF-8"
                                 : "a number beyond those of JSON";
  }
  return HY_OK;
}

/* ---- groups ---- */

static int
read_struct(hy_parquet *p, int at, int rep, json_t **out)
{
  const hy_pq_node *n = &p->node[at];
  json_t *o = json_object(), *v;
  int i, err = 0;

  for (i = at + 1; i < n->after && !err; i = p->node[i].after) {
    v = NULL;
    err = spend(p, &p->node[i], NODE_BYTES + strlen(p->node[i].name));
    if (!err)
      err = read_node(p, i, rep, &v);
    if (err)
      json_decref(v);
    else
      json_object_set_new_nocheck(o, p->node[i].name, v);
  }
  *out = o;
  return err;
}

/* What is there of a node, its own definition level known to be reached. */
static int read_form(hy_parquet *p, int at, int rep, json_t **out);

/* Keys of JSON objects are C strings. */
static int
key_fits(const json_t *key)
{
  return json_is_string(key) &&
         strlen(json_string_value(key)) == json_string_length(key);
}

/* One element of the repeated node `mid`: a pair of a map goes into the object,
 * anything else to the end of the array. */
static int
read_element(hy_parquet *p, int mid, int rep, int in_map, json_t *to)
{
  const hy_pq_node *n = &p->node[mid];
  json_t *key = NULL, *v = NULL;
  int err;

  if (in_map) {
    err = read_node(p, mid + 1, rep, &key);
    if (!err)
      err = read_node(p, p->node[mid + 1].after, rep, &v);
    if (!err && !key_fits(key))
      p->why = "a key of a map that is no text";
    else if (!err)
      json_object_set_nocheck(to, json_string_value(key), v);
    json_decref(key);
    json_decref(v);
    return err;
  }
  if (p->node[n->parent].as == PQ_AS_LIST && !n->group_is_element)
    err = read_node(p, mid + 1, rep, &v);
  else
    err = read_form(p, mid, rep, &v);
  if (err)
    json_decref(v);
  else
    json_array_append_new(to, v);
  return err;
}

/* Elements of the repeated node `mid`, whose place is there. */
static int
read_repeated(hy_parquet *p, int mid, int rep, int in_map, json_t **out)
{
  const hy_pq_node *n = &p->node[mid];
  hy_pq_column *c;
  int end, err = look(p, n, rep, &c);

  *out = in_map ? json_object() : json_array();
  if (!err && c->entry_def < n->max_def) {
    if (c->entry_def != n->max_def - 1)
      return hy_pq_bad(c, "contradicts its sister columns");
    return take_nothing(p, n, rep, c->entry_def);
  }
  while (!err) {
    err = spend(p, n, NODE_BYTES);
    if (!err)
      err = read_element(p, mid, rep, in_map, *out);
    if (!err)
      err = hy_pq_column_peek(c, &end);
    if (err || end || c->entry_rep < n->max_rep)
      break;
    if (c->entry_rep > n->max_rep || c->entry_def < n->max_def)
      err = hy_pq_bad(c, "levels that cannot follow each other");
    rep = n->max_rep;
  }
  return err;
}

static int
read_form(hy_parquet *p, int at, int rep, json_t **out)
{
  const hy_pq_node *n = &p->node[at];

  if (n->type >= 0)
    return read_leaf(p, n, rep, out);
  if (n->as == PQ_AS_LIST || n->as == PQ_AS_MAP)
    return read_repeated(p, at + 1, rep, n->as == PQ_AS_MAP, out);
  return read_struct(p, at, rep, out);
}

static int
read_node(hy_parquet *p, int at, int rep, json_t **out)
{
  const hy_pq_node *n = &p->node[at];
  hy_pq_column *c;
  int err = 0;

  if (n->repetition == PQ_REPEATED)
    return read_repeated(p, at, rep, 0, out);
  if (n->repetition == PQ_OPTIONAL) {
    err = look(p, n, rep, &c);
    if (!err && c->entry_def < n->max_def) {
      *out = json_null();
      if (c->entry_def != n->max_def - 1)
        return hy_pq_bad(c, "contradicts its sister columns");
      return take_nothing(p, n, rep, c->entry_def);
    }
  }
  return err ? err : read_form(p, at, rep, out);
}

/* After the last row no column may have an entry. */
static int
check_end(hy_parquet *p)
{
  int i, end, err = 0;

  for (i = 0; i < p->n_leaf && !err; i++) {
    err = hy_pq_column_peek(&p->column[i], &end);
    if (!err && !end)
      err = hy_pq_bad(&p->column[i], "has more rows than the row group");
  }
  return err;
}

int
hy_parquet_row(hy_parquet *p, int64_t row, json_t **record, const char **why)
{
  json_t *v;
  int err = 0;

  *record = NULL;
  *why = NULL;
  if (p->loaded < 0 || row < 0 || row >= p->group_rows[p->loaded])
    return hy_fail(HY_EBUG, "%s: row %lld of a row group is not there", p->path,
                   (long long)row);
  if (row < p->row)
    err = hy_parquet_load(p, p->loaded);
  while (!err && p->row <= row) {
    p->budget = ROW_BYTES;
    v = NULL;
    p->why = NULL;
    err = read_struct(p, 0, 0, &v);
    p->row++;
    if (!err && p->row == p->group_rows[p->loaded])
      err = check_end(p);
    if (err || p->why || p->row <= row)
      json_decref(v);
    else
      *record = v;
  }
  *why = p->why;
  if (err)
    p->row = INT64_MAX; /* columns stand anywhere: begin again */
  return err;
}
