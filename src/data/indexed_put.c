/* indexed_put.c: what a rank brings to indexed data under way. */
#include "data/indexed_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <string.h>

void
hy_indexed_failed(hy_indexed_out *o, int code)
{
  if (!o->code)
    o->code = code;
}

void
hy_indexed_write_at(hy_indexed_out *o, const hy_indexed_file *f,
                    const void *data, size_t n, int64_t at)
{
  int why = o->code ? 0 : hy_file_put(f->fd, data, n, at);

  if (why)
    hy_indexed_failed(o, hy_file_failed(f->path, why));
}

/* ---- what ranks bring ---- */

/* 1 if first .. first+n-1 lies in 0 .. total-1. */
static int
inside(hy_indexed_out *o, const char *what, int64_t first, int64_t n,
       int64_t total)
{
  if (o->code || n <= 0)
    return 0;
  if (first >= 0 && first <= total - n)
    return 1;
  hy_indexed_failed(o,
                    hy_fail(HY_EBUG, "%s: %s %lld..%lld of %lld; report this",
                            o->idx.path, what, (long long)first,
                            (long long)(first + n - 1), (long long)total));
  return 0;
}

#define PUT(T, most)                                                           \
  for (; i < n; i++) {                                                         \
    T v = (T)id[i];                                                            \
                                                                               \
    if (id[i] < 0 || (int64_t)id[i] > (most))                                  \
      break;                                                                   \
    memcpy(to + (size_t)i * sizeof v, &v, sizeof v);                           \
  }                                                                            \
  return i

/* \return the first that the type cannot hold, n: none */
static int64_t
convert(int type, const int32_t *id, int64_t n, char *to)
{
  int64_t i = 0;

  switch (type) {
  case 1:
    PUT(uint8_t, UINT8_MAX);
  case 2:
    PUT(int8_t, INT8_MAX);
  case 3:
    PUT(int16_t, INT16_MAX);
  case 4:
    PUT(int32_t, INT32_MAX);
  case 5:
    PUT(int64_t, INT32_MAX);
  case 6:
    PUT(double, INT32_MAX);
  case 7:
    PUT(float, 1 << 24); /* whole numbers are exact up to there */
  default:
    PUT(uint16_t, UINT16_MAX);
  }
}

void
hy_indexed_put_ids(hy_indexed_out *o, int64_t first, int64_t n,
                   const int32_t *id)
{
  const hy_indexed_kind *k = &hy_indexed_kinds[o->head.type];

  if (!inside(o, "tokens", first, n, o->head.n_tokens))
    return;
  o->n_ids += n;
  for (int64_t at = 0; at < n && !o->code; at += HY_IDX_BUFFER) {
    int64_t part = n - at < HY_IDX_BUFFER ? n - at : HY_IDX_BUFFER;
    int64_t good = convert(o->head.type, id + at, part, (char *)o->buf);

    if (good < part)
      hy_indexed_failed(
          o, hy_fail(HY_EDATA,
                     "%s: token %lld has id %d, which %s does not hold; use "
                     "another type of ids",
                     o->bin.path, (long long)(first + at + good), id[at + good],
                     k->name));
    hy_indexed_write_at(o, &o->bin, o->buf, (size_t)(part * k->size),
                        (first + at) * k->size);
  }
}

void
hy_indexed_put_lengths(hy_indexed_out *o, int64_t i, int64_t n,
                       const int64_t *start)
{
  int32_t len[HY_IDX_BUFFER];

  for (int64_t at = 0; at < n && !o->code; at += HY_IDX_BUFFER) {
    int64_t part = n - at < HY_IDX_BUFFER ? n - at : HY_IDX_BUFFER;

    for (int64_t k = 0; k < part; k++) {
      int64_t v = start[at + k + 1] - start[at + k];

      if (v < 0 || v > INT32_MAX)
        hy_indexed_failed(
            o, hy_fail(HY_EDATA,
                       "%s: sequence %lld has %lld tokens; the format holds "
                       "0 to 2^31-1, cut it",
                       o->idx.path, (long long)(i + at + k), (long long)v));
      len[k] = (int32_t)v;
    }
    hy_indexed_write_at(o, &o->idx, len, (size_t)part * sizeof *len,
                        HY_IDX_HEAD + 4 * (i + at));
  }
}

/* Numbers unit * v[i] as int64 from byte `at` on. */
static void
put_numbers(hy_indexed_out *o, int64_t at, int64_t n, const int64_t *v,
            int64_t unit)
{
  for (int64_t i = 0; i < n && !o->code; i += HY_IDX_BUFFER) {
    int64_t part = n - i < HY_IDX_BUFFER ? n - i : HY_IDX_BUFFER;

    for (int64_t k = 0; k < part; k++)
      o->buf[k] = unit * v[i + k];
    hy_indexed_write_at(o, &o->idx, o->buf, (size_t)part * 8, at + 8 * i);
  }
}

/* A document is the sequence of its number. */
static void
put_own_borders(hy_indexed_out *o, int64_t first, int64_t n)
{
  for (int64_t i = 0; i < n && !o->code; i += HY_IDX_BUFFER) {
    int64_t part = n - i < HY_IDX_BUFFER ? n - i : HY_IDX_BUFFER;

    for (int64_t k = 0; k < part; k++)
      o->buf[k] = first + i + k;
    hy_indexed_write_at(o, &o->idx, o->buf, (size_t)part * 8,
                        HY_IDX_AT_BORDER(o, first + i));
  }
  o->n_borders += n;
}

/* The sequences given go on the newest run, or begin one. */
static void
add_run(hy_indexed_out *o, int64_t first, int64_t n, const int64_t *start)
{
  hy_indexed_run *r = o->n_runs ? &o->r[o->n_runs - 1] : NULL;

  if (r && r->last + 1 == first)
    hy_indexed_put_lengths(o, r->last, 1, (int64_t[]){r->last_start, start[0]});
  else {
    if (o->n_runs == o->cap_runs) {
      o->cap_runs = 2 * o->cap_runs + 8;
      o->r = hy_realloc(o->r, (size_t)o->cap_runs * sizeof *o->r);
    }
    r = &o->r[o->n_runs++];
    r->first = first;
    r->start = start[0];
  }
  r->last = first + n - 1;
  r->last_start = start[n - 1];
}

void
hy_indexed_put_docs(hy_indexed_out *o, int64_t first, int64_t n,
                    const int64_t *start)
{
  if (!inside(o, "sequences", first, n, o->head.n_seq))
    return;
  for (int64_t i = 0; i < n; i++)
    if (start[i] < 0 || start[i] > o->head.n_tokens) {
      hy_indexed_failed(
          o, hy_fail(HY_EBUG,
                     "%s: sequence %lld at token %lld of %lld; report this",
                     o->idx.path, (long long)(first + i), (long long)start[i],
                     (long long)o->head.n_tokens));
      return;
    }
  put_numbers(o, HY_IDX_AT_OFFSET(o, first), n, start,
              hy_indexed_kinds[o->head.type].size);
  hy_indexed_put_lengths(o, first, n - 1, start);
  add_run(o, first, n, start);
  if (o->one_seq)
    put_own_borders(o, first, n);
}

void
hy_indexed_put_borders(hy_indexed_out *o, int64_t first, int64_t n,
                       const int64_t *seq)
{
  if (!inside(o, "documents", first, n, o->head.n_docs))
    return;
  put_numbers(o, HY_IDX_AT_BORDER(o, first), n, seq, 1);
  o->n_borders += n;
}
