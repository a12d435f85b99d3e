#include "data/thrift.h"

#include <string.h>

/* Structs in structs that nobody reads here: more are an attack. */
#define MAX_DEPTH 32

static unsigned
byte(hy_thrift *t)
{
  if (t->bad || t->at == t->end) {
    t->bad = 1;
    return 0;
  }
  return *t->at++;
}

uint64_t
hy_thrift_varint(hy_thrift *t)
{
  uint64_t x = 0;
  unsigned b, shift;

  for (shift = 0; shift < 70; shift += 7) {
    b = byte(t);
    if (shift == 63 && b > 1)
      break;
    x |= (uint64_t)(b & 127) << shift;
    if (!(b & 128))
      return t->bad ? 0 : x;
  }
  t->bad = 1;
  return 0;
}

int64_t
hy_thrift_zigzag(hy_thrift *t)
{
  uint64_t x = hy_thrift_varint(t);

  return (int64_t)(x >> 1 ^ (~(x & 1) + 1));
}

int
hy_thrift_field(hy_thrift *t, int *id)
{
  unsigned b = byte(t);
  int64_t n;

  if (t->bad || (b & 15) == 0)
    return 0;
  n = b >> 4 ? *id + (int)(b >> 4) : hy_thrift_zigzag(t);
  if ((b & 15) > HY_THRIFT_UUID || n < 0 || n > INT16_MAX)
    t->bad = 1;
  if (t->bad)
    return 0;
  *id = (int)n;
  return (int)(b & 15);
}

int64_t
hy_thrift_int(hy_thrift *t, int type)
{
  int64_t x = 0;

  switch (type) {
  case HY_THRIFT_TRUE:
    return 1;
  case HY_THRIFT_FALSE:
    return 0;
  case HY_THRIFT_I8:
    return (int8_t)byte(t);
  case HY_THRIFT_I16:
    x = hy_thrift_zigzag(t);
    t->bad |= x < INT16_MIN || x > INT16_MAX;
    break;
  case HY_THRIFT_I32:
    x = hy_thrift_zigzag(t);
    t->bad |= x < INT32_MIN || x > INT32_MAX;
    break;
  case HY_THRIFT_I64:
    x = hy_thrift_zigzag(t);
    break;
  default:
    t->bad = 1;
  }
  return t->bad ? 0 : x;
}

const unsigned char *
hy_thrift_bytes(hy_thrift *t, int type, size_t *n)
{
  uint64_t len;
  const unsigned char *p;

  *n = 0;
  if (type != HY_THRIFT_BYTES)
    t->bad = 1;
  len = hy_thrift_varint(t);
  if (t->bad || len > (size_t)(t->end - t->at)) {
    t->bad = 1;
    return NULL;
  }
  p = t->at;
  t->at += len;
  *n = len;
  return p;
}

/* Number and type of the elements of a list or a set. */
static int64_t
elements(hy_thrift *t, int *type)
{
  unsigned b = byte(t);
  uint64_t n = b >> 4;

  if (n == 15)
    n = hy_thrift_varint(t);
  *type = (int)(b & 15);
  if (n > (size_t)(t->end - t->at) || *type > HY_THRIFT_UUID ||
      (n > 0 && *type == 0))
    t->bad = 1;
  return t->bad ? 0 : (int64_t)n;
}

int64_t
hy_thrift_list(hy_thrift *t, int type, int element)
{
  int found = 0;
  int64_t n;

  if (type != HY_THRIFT_LIST)
    t->bad = 1;
  n = elements(t, &found);
  /* writers of old give an empty list any type */
  if (n > 0 && found != element)
    t->bad = 1;
  return t->bad ? 0 : n;
}

static void pass(hy_thrift *t, int type, int in_list, int depth);

static void
pass_bytes(hy_thrift *t, size_t n)
{
  if (t->bad || n > (size_t)(t->end - t->at))
    t->bad = 1;
  else
    t->at += n;
}

static void
pass_struct(hy_thrift *t, int depth)
{
  int id = 0, type;

  while ((type = hy_thrift_field(t, &id)) != 0)
    pass(t, type, 0, depth);
}

static void
pass_map(hy_thrift *t, int depth)
{
  uint64_t n = hy_thrift_varint(t), i;
  unsigned types = n > 0 ? byte(t) : 0;

  for (i = 0; i < n && !t->bad; i++) {
    pass(t, (int)(types >> 4), 1, depth);
    pass(t, (int)(types & 15), 1, depth);
  }
}

static void
pass(hy_thrift *t, int type, int in_list, int depth)
{
  int64_t i, n;
  size_t len;
  int of = 0;

  if (depth == MAX_DEPTH)
    t->bad = 1;
  if (t->bad)
    return;
  switch (type) {
  case HY_THRIFT_TRUE:
  case HY_THRIFT_FALSE:
    pass_bytes(t, (size_t)in_list);
    break;
  case HY_THRIFT_I8:
    pass_bytes(t, 1);
    break;
  case HY_THRIFT_I16:
  case HY_THRIFT_I32:
  case HY_THRIFT_I64:
    hy_thrift_varint(t);
    break;
  case HY_THRIFT_DOUBLE:
    pass_bytes(t, 8);
    break;
  case HY_THRIFT_BYTES:
    hy_thrift_bytes(t, type, &len);
    break;
  case HY_THRIFT_LIST:
  case HY_THRIFT_SET:
    n = elements(t, &of);
    for (i = 0; i < n && !t->bad; i++)
      pass(t, of, 1, depth + 1);
    break;
  case HY_THRIFT_MAP:
    pass_map(t, depth + 1);
    break;
  case HY_THRIFT_STRUCT:
    pass_struct(t, depth + 1);
    break;
  case HY_THRIFT_UUID:
    pass_bytes(t, 16);
    break;
  default:
    t->bad = 1;
  }
}

void
hy_thrift_skip(hy_thrift *t, int type)
{
  pass(t, type, 0, 0);
}
