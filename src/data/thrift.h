/* thrift.h: reading structs in Thrift's compact protocol, in which Parquet
 * writes its footer and page headers.
 *
 * A cursor over bytes that are not trusted: it never leaves them, and after the
 * first fault every call gives zero, so that a caller asks for `bad` once at
 * the end. Source: Apache Thrift, doc/specs/thrift-compact-protocol.md. */
#ifndef HYMN_DATA_THRIFT_H
#define HYMN_DATA_THRIFT_H

#include <stddef.h>
#include <stdint.h>

/* Types of fields and of elements, as in the protocol. */
enum {
  HY_THRIFT_TRUE = 1, /* of a field: the value; of an element: a boolean */
  HY_THRIFT_FALSE,
  HY_THRIFT_I8,
  HY_THRIFT_I16,
  HY_THRIFT_I32,
  HY_THRIFT_I64,
  HY_THRIFT_DOUBLE,
  HY_THRIFT_BYTES,
  HY_THRIFT_LIST,
  HY_THRIFT_SET,
  HY_THRIFT_MAP,
  HY_THRIFT_STRUCT,
  HY_THRIFT_UUID
};

typedef struct {
  const unsigned char *at, *end;
  int bad; /* no such protocol: what was read since is worth nothing */
} hy_thrift;

/** The next field of a struct. \param id  in: 0, or the field before; out: its
 *  number. \return its type, 0 at the end of the struct. */
int hy_thrift_field(hy_thrift *t, int *id);

/** Value of a field of one of the integer types, or of a boolean; bad for any
 *  other type. */
int64_t hy_thrift_int(hy_thrift *t, int type);

/** Bytes of a field, in place; NULL when bad. */
const unsigned char *hy_thrift_bytes(hy_thrift *t, int type, size_t *n);

/** Begin a list whose elements must be of this type; each of them takes a byte
 *  at least, so no more are told than bytes are left. \return their number */
int64_t hy_thrift_list(hy_thrift *t, int type, int element);

/** Pass over a field. */
void hy_thrift_skip(hy_thrift *t, int type);

/** LEB128, as everywhere in Parquet; and its form with a sign. At most ten
 *  bytes. */
uint64_t hy_thrift_varint(hy_thrift *t);
int64_t hy_thrift_zigzag(hy_thrift *t);

#endif
