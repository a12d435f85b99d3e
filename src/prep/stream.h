/* stream.h: the bytes of a text file, plain or compressed: gzip (the name ends
 * in .gz) or zstd (.zst, where the library is there). */
#ifndef HYMN_PREP_STREAM_H
#define HYMN_PREP_STREAM_H

#include <stddef.h>
#include <stdint.h>

typedef struct hy_stream hy_stream; /* fields in stream.c */

/** Length of the ending that says how the file is compressed (".gz"), 0: it is
 *  plain. */
size_t hy_stream_ending(const char *path);

/** Open a file at its first byte. Not collective.
 *  \return 0, HY_EFILE (missing, a folder, not in the format of its name, zstd
 *  without the library). */
int hy_stream_open(hy_stream **s, const char *path);
void hy_stream_close(hy_stream *s);

/** Up to n bytes of the text; *got is 0 at its end only.
 *  \return 0, HY_EFILE (unreadable, truncated, damaged). */
int hy_stream_read(hy_stream *s, void *to, size_t n, size_t *got);

/** Pass over n bytes; a compressed file is read for that. Errors as above. */
int hy_stream_skip(hy_stream *s, int64_t n);

#endif
