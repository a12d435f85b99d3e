/* parquet_encoding.c: values of a page, one after another. Source:
 * parquet-format/Encodings.md. */
#include "data/parquet_impl.h"

#include <string.h>

/* `width` bits (0 .. 64) from bit `bit` of at on, low bits first; the caller
 * knows that they lie before end. */
static uint64_t
bits(const unsigned char *at, const unsigned char *end, uint64_t bit,
     unsigned width)
{
  const unsigned char *p = at + bit / 8;
  unsigned shift = (unsigned)(bit % 8), have = 0;
  size_t n = (size_t)(end - p);
  uint64_t x = 0;

  if (width == 0)
    return 0;
  for (; have < 8 && have < n && 8 * have < shift + width; have++)
    x |= (uint64_t)p[have] << 8 * have;
  x >>= shift;
  if (shift + width > 64)
    x |= (uint64_t)p[8] << (64 - shift);
  return width == 64 ? x : x & (((uint64_t)1 << width) - 1);
}

static uint64_t
little(const unsigned char *p, int n)
{
  uint64_t x = 0;
  int i;

  for (i = 0; i < n; i++)
    x |= (uint64_t)p[i] << 8 * i;
  return x;
}

/* ---- run lengths and bit-packed groups ---- */

void
hy_pq_rle_start(hy_pq_rle *r, const unsigned char *at, const unsigned char *end,
                int width)
{
  memset(r, 0, sizeof *r);
  r->at = at;
  r->end = end;
  r->width = width;
}

static int
next_run(hy_pq_rle *r)
{
  hy_thrift t = {r->at, r->end, 0};
  uint64_t head = hy_thrift_varint(&t), size;
  int n = (r->width + 7) / 8;

  if (t.bad || head > UINT32_MAX)
    return 1;
  r->packed = head & 1;
  r->left = head >> 1;
  r->at = t.at;
  r->bit = 0;
  if (!r->packed) {
    if (r->end - r->at < n)
      return 1;
    r->value = (uint32_t)little(r->at, n);
    r->at += n;
    return r->width < 32 && r->value >> r->width;
  }
  /* groups of 8 values; the last run may end early with its bytes */
  size = r->left * (uint64_t)r->width;
  r->left *= 8;
  if (size > (uint64_t)(r->end - r->at) && r->width > 0)
    r->left = (uint64_t)(r->end - r->at) * 8 / (uint64_t)r->width;
  return 0;
}

int
hy_pq_rle_next(hy_pq_rle *r, uint32_t *x)
{
  while (r->left == 0) {
    if (r->packed) {
      r->at += (r->bit + 7) / 8;
      r->packed = 0;
    }
    if (next_run(r))
      return 1;
  }
  r->left--;
  if (r->packed) {
    *x = (uint32_t)bits(r->at, r->end, r->bit, (unsigned)r->width);
    r->bit += (uint64_t)r->width;
  } else {
    *x = r->value;
  }
  return 0;
}

/* ---- deltas ---- */

int
hy_pq_delta_start(hy_pq_delta *d, const unsigned char *at,
                  const unsigned char *end)
{
  uint64_t block;

  memset(d, 0, sizeof *d);
  d->in.at = at;
  d->in.end = end;
  block = hy_thrift_varint(&d->in);
  d->n_mini = hy_thrift_varint(&d->in);
  d->left = hy_thrift_varint(&d->in);
  d->value = (uint64_t)hy_thrift_zigzag(&d->in);
  d->first = 1;
  /* blocks of a multiple of 128 values, miniblocks of a multiple of 32 */
  if (d->in.bad || block == 0 || block > 1u << 24 || block % 128 ||
      d->n_mini == 0 || block % d->n_mini || block / d->n_mini % 32)
    return 1;
  d->per_mini = block / d->n_mini;
  d->mini = d->n_mini;
  d->used = d->per_mini;
  return 0;
}

/* The next miniblock, if need be the next block. */
static int
next_mini(hy_pq_delta *d)
{
  uint64_t size;

  if (++d->mini >= d->n_mini) {
    d->least = (uint64_t)hy_thrift_zigzag(&d->in);
    if (d->in.bad || (uint64_t)(d->in.end - d->in.at) < d->n_mini)
      return 1;
    d->width = d->in.at;
    d->in.at += d->n_mini;
    d->mini = 0;
  }
  size = d->per_mini / 8 * d->width[d->mini];
  if (d->width[d->mini] > 64 || size > (uint64_t)(d->in.end - d->in.at))
    return 1;
  d->bits = d->in.at;
  d->in.at += size;
  d->bits_end = d->in.at;
  d->used = 0;
  return 0;
}

int
hy_pq_delta_next(hy_pq_delta *d, int64_t *x)
{
  unsigned width;

  if (d->left == 0)
    return 1;
  if (!d->first) {
    if (d->used == d->per_mini && next_mini(d))
      return 1;
    width = d->width[d->mini];
    d->value += d->least + bits(d->bits, d->bits_end, d->used * width, width);
    d->used++;
  }
  d->first = 0;
  d->left--;
  *x = (int64_t)d->value; /* differences wrap around */
  return 0;
}

const unsigned char *
hy_pq_delta_end(const hy_pq_delta *d)
{
  hy_pq_delta e = *d;
  uint64_t n = e.left > 0 ? e.left - 1 : 0; /* the first is in the header */

  for (; n > 0; n -= n < e.per_mini ? n : e.per_mini)
    if (next_mini(&e))
      return NULL;
  return e.in.at;
}

/* ---- values ---- */

static const int type_size[PQ_N_TYPE] = {0, 4, 8, 12, 4, 8, 0, 0};

/* Bytes of a value; 0: each has its own number. */
static size_t
value_size(const hy_pq_values *v)
{
  return v->type == PQ_FIXED ? (size_t)v->length : (size_t)type_size[v->type];
}

/* n bytes of a number to a value. */
static void
number(int type, const unsigned char *p, hy_pq_value *x)
{
  uint32_t w;
  uint64_t d;
  float f;

  switch (type) {
  case PQ_INT32:
    x->v.i = (int32_t)little(p, 4);
    break;
  case PQ_FLOAT:
    w = (uint32_t)little(p, 4);
    memcpy(&f, &w, sizeof f);
    x->v.f = f;
    break;
  case PQ_DOUBLE:
    d = little(p, 8);
    memcpy(&x->v.f, &d, sizeof d);
    break;
  default:
    x->v.i = (int64_t)little(p, 8);
  }
}

static const char *
plain(hy_pq_values *v, hy_pq_value *x)
{
  size_t left = (size_t)(v->end - v->at), n = value_size(v);

  if (v->type == PQ_BOOLEAN) {
    if (v->bit / 8 >= left)
      return "values end early";
    x->v.i = v->at[v->bit / 8] >> v->bit % 8 & 1;
    v->bit++;
    return NULL;
  }
  if (v->type == PQ_BYTES) {
    n = left < 4 ? 4 : little(v->at, 4);
    if (left >= 4) {
      v->at += 4;
      left -= 4;
    }
  }
  if (n > left)
    return "values end early";
  if (v->type >= PQ_BYTES) {
    x->p = v->at;
    x->n = n;
  } else {
    number(v->type, v->at, x);
  }
  v->at += n;
  return NULL;
}

static const char *
indexed(hy_pq_values *v, hy_pq_value *x)
{
  uint32_t k;

  if (hy_pq_rle_next(&v->rle, &k))
    return "indices end early";
  if (k >= (uint64_t)v->n_dictionary)
    return "an index beyond the dictionary";
  *x = v->dictionary[k];
  return NULL;
}

static const char *
delta_number(hy_pq_values *v, hy_pq_value *x)
{
  int64_t i;

  if (hy_pq_delta_next(&v->delta, &i))
    return "deltas end early";
  x->v.i = v->type == PQ_INT32 ? (int32_t)(uint32_t)(uint64_t)i : i;
  return NULL;
}

static const char *
delta_length(hy_pq_values *v, hy_pq_value *x)
{
  int64_t n;

  if (hy_pq_delta_next(&v->delta, &n) || n < 0 || n > v->end - v->at)
    return "texts end early";
  x->p = v->at;
  x->n = (size_t)n;
  v->at += n;
  return NULL;
}

/* A text is some bytes of the one before and a rest. */
static const char *
delta_bytes(hy_pq_values *v, hy_pq_value *x)
{
  int64_t same;
  const char *why;

  if (hy_pq_delta_next(&v->prefix, &same) || same < 0 ||
      (uint64_t)same > v->text.len)
    return "a text longer in common than the one before";
  why = delta_length(v, x);
  if (why)
    return why;
  v->text.len = (size_t)same;
  hy_buf_add(&v->text, x->p, x->n);
  x->p = (const unsigned char *)v->text.data;
  x->n = v->text.len;
  if (v->type == PQ_FIXED && x->n != (size_t)v->length)
    return "a text of another length";
  return NULL;
}

/* Byte k of all values lies together. */
static const char *
byte_split(hy_pq_values *v, hy_pq_value *x)
{
  size_t k, size = value_size(v);

  if (v->bit >= v->n_split)
    return "values end early";
  v->text.len = 0;
  for (k = 0; k < size; k++)
    hy_buf_add(&v->text, v->at + k * v->n_split + v->bit, 1);
  v->bit++;
  x->p = (const unsigned char *)v->text.data;
  x->n = size;
  if (v->type != PQ_FIXED)
    number(v->type, x->p, x);
  return NULL;
}

static const char *
run_boolean(hy_pq_values *v, hy_pq_value *x)
{
  uint32_t k;

  if (hy_pq_rle_next(&v->rle, &k))
    return "values end early";
  x->v.i = k;
  return NULL;
}

static const char *
start_delta(hy_pq_values *v)
{
  const unsigned char *at = v->at;

  if (v->encoding == PQ_DELTA_BYTES) {
    v->text.len = 0;
    if (hy_pq_delta_start(&v->prefix, at, v->end))
      return "a wrong header of deltas";
    at = hy_pq_delta_end(&v->prefix);
  }
  if (!at || hy_pq_delta_start(&v->delta, at, v->end))
    return "a wrong header of deltas";
  if (v->encoding != PQ_DELTA)
    v->at = hy_pq_delta_end(&v->delta);
  return v->at ? NULL : "deltas end early";
}

/* What fits together: a bit for each physical type. */
#define T(x) (1u << PQ_##x)
#define ALL 255u
static const struct {
  unsigned types;
  const char *(*next)(hy_pq_values *, hy_pq_value *);
} encoding_table[] = {
    [PQ_PLAIN] = {ALL, plain},
    [PQ_PLAIN_DICTIONARY] = {ALL - T(BOOLEAN), indexed},
    [PQ_RLE] = {T(BOOLEAN), run_boolean},
    [PQ_DELTA] = {T(INT32) | T(INT64), delta_number},
    [PQ_DELTA_LENGTH] = {T(BYTES), delta_length},
    [PQ_DELTA_BYTES] = {T(BYTES) | T(FIXED), delta_bytes},
    [PQ_RLE_DICTIONARY] = {ALL - T(BOOLEAN), indexed},
    [PQ_BYTE_SPLIT] = {T(INT32) | T(INT64) | T(FLOAT) | T(DOUBLE) | T(FIXED),
                       byte_split},
};

/* A page may be without values: all of its entries are NULL. Decoders then
 * stay empty. */
static const char *
start_none(hy_pq_values *v)
{
  hy_pq_rle_start(&v->rle, v->at, v->end, 0);
  memset(&v->delta, 0, sizeof v->delta);
  memset(&v->prefix, 0, sizeof v->prefix);
  v->n_split = 0;
  return NULL;
}

const char *
hy_pq_values_start(hy_pq_values *v, const unsigned char *at,
                   const unsigned char *end)
{
  int n = (int)(sizeof encoding_table / sizeof *encoding_table);

  v->at = at;
  v->end = end;
  v->bit = 0;
  if (v->encoding < 0 || v->encoding >= n || !encoding_table[v->encoding].next)
    return "an encoding that is not known";
  if (!(encoding_table[v->encoding].types >> v->type & 1))
    return "an encoding that its type cannot have";
  if (at == end)
    return start_none(v);
  switch (v->encoding) {
  case PQ_PLAIN_DICTIONARY:
  case PQ_RLE_DICTIONARY:
    if (v->n_dictionary < 0)
      return "indices without a dictionary";
    if (*at > 32)
      return "indices of more than 32 bits";
    hy_pq_rle_start(&v->rle, at + 1, end, *at);
    break;
  case PQ_RLE:
    if (end - at < 4 || little(at, 4) > (uint64_t)(end - at - 4))
      return "values end early";
    hy_pq_rle_start(&v->rle, at + 4, at + 4 + little(at, 4), 1);
    break;
  case PQ_DELTA:
  case PQ_DELTA_LENGTH:
  case PQ_DELTA_BYTES:
    return start_delta(v);
  case PQ_BYTE_SPLIT:
    v->n_split = (uint64_t)(end - at) / value_size(v);
    break;
  }
  return NULL;
}

const char *
hy_pq_values_next(hy_pq_values *v, hy_pq_value *x)
{
  memset(x, 0, sizeof *x);
  return encoding_table[v->encoding].next(v, x);
}
