/* json.h: records of JSON, read several times as fast as jansson reads them. */
#ifndef HYMN_PREP_JSON_H
#define HYMN_PREP_JSON_H

#include <jansson.h>
#include <stddef.h>

/** Parse n bytes of UTF-8 that hold one value of JSON and nothing else: what
 *  jansson takes with JSON_DECODE_ANY, JSON_ALLOW_NUL and
 *  JSON_REJECT_DUPLICATES, and integers beyond 64 bits as real numbers.
 *  \param out  [out] a new reference, NULL when it is refused
 *  \return NULL, or a fixed phrase why it is refused
 *  Not collective. Source: RFC 8259. */
const char *hy_json_parse(const char *text, size_t n, json_t **out);

#endif
