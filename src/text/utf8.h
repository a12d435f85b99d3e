/* utf8.h: finding and replacing what is not UTF-8. */
#ifndef HYMN_TEXT_UTF8_H
#define HYMN_TEXT_UTF8_H

#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>

/** Length of the character at s, or of the maximal invalid part there.
 *  \param n   bytes left, > 0
 *  \param ok  [out] 1: a character, 0: an invalid part
 *  Source: The Unicode Standard, table 3-7 and section 3.9, U+FFFD
 *  substitution of maximal subparts. */
size_t hy_utf8_next(const char *s, size_t n, int *ok);

/** 1 if all of s is UTF-8. */
int hy_utf8_ok(const char *s, size_t n);

/** Append s to out with one U+FFFD for each maximal invalid part.
 *  \return the number of these parts. */
int64_t hy_utf8_repair(const char *s, size_t n, hy_buf *out);

/** Code point of the valid character at s. */
uint32_t hy_utf8_code(const char *s);

/** Write code point c (< 0x110000) to s; the number of bytes, 1..4. */
size_t hy_utf8_put(uint32_t c, char s[4]);

#endif
