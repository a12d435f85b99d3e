/* lines.h: text files, plain or compressed (stream.h), whole or by lines from a
 * place inside them. */
#ifndef HYMN_PREP_LINES_H
#define HYMN_PREP_LINES_H

#include "base/mem.h"

#include <stdint.h>

typedef struct hy_lines hy_lines; /* fields in lines.c */

/** 1 if the name without .gz or .zst ends in suffix (".txt"). */
int hy_text_is(const char *path, const char *suffix);

/** Bytes of a byte order mark at the start of a text, 0: there is none. */
size_t hy_text_bom(const char *text, size_t n);

/** Bytes of the text; a compressed file is read to its end for that, and
 *  checked. \return 0, HY_EFILE (missing, wrong format, truncated, damaged). */
int hy_text_size(const char *path, int64_t *n);

/** The whole text, appended; errors as hy_text_size. */
int hy_text_read(const char *path, hy_buf *out);

/** Read lines from the first that begins at byte `at` of the text or after it
 *  (byte 0 begins a line, and each byte after a newline). */
int hy_lines_open(hy_lines **l, const char *path, int64_t at);
void hy_lines_close(hy_lines *l);

/** The next line without its end (newline, and carriage return before it) and
 *  without a byte order mark; it holds until the next call. *line is NULL at
 * the end of the file. \param start  [out] byte of the text where the line
 * begins \return 0, HY_EFILE. */
int hy_lines_next(hy_lines *l, const char **line, size_t *n, int64_t *start);

/** Number of the line that begins at byte `at`, from 1; for messages. */
int64_t hy_lines_number(const char *path, int64_t at);

#endif
