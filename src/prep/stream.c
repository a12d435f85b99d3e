#include "config.h"

#include "prep/stream.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define PIECE (1u << 18)

struct hy_stream {
  char *path;
  FILE *file; /* plain, and what zstd reads */
  gzFile gz;
#ifdef HAVE_ZSTD
  ZSTD_DStream *zst;
  ZSTD_inBuffer in; /* of `packed`: what is not decompressed yet */
  char *packed;
  size_t open; /* 0: between frames, so the file may end here */
#endif
};

size_t
hy_stream_ending(const char *path)
{
  return hy_path_ends(path, ".gz") ? 3 : hy_path_ends(path, ".zst") ? 4 : 0;
}

static int
cannot_read(const char *path)
{
  return hy_fail(HY_EFILE, "%s: cannot read: %s; check the name", path,
                 strerror(errno));
}

static int
open_gz(hy_stream *s)
{
  s->gz = gzopen(s->path, "rb");
  if (!s->gz)
    return cannot_read(s->path);
  gzbuffer(s->gz, PIECE);
  if (gzdirect(s->gz))
    return hy_fail(HY_EFILE,
                   "%s: is not in gzip format; rename it without "
                   ".gz or compress it",
                   s->path);
  return HY_OK;
}

#ifdef HAVE_ZSTD
static int
broken_zst(const hy_stream *s, size_t code)
{
  return hy_fail(HY_EFILE, "%s: is damaged (zstd: %s); make the file again",
                 s->path, ZSTD_getErrorName(code));
}

static int
open_zst(hy_stream *s)
{
  static const unsigned char magic[4] = {0x28, 0xB5, 0x2F, 0xFD};

  s->zst = ZSTD_createDStream();
  if (!s->zst)
    return hy_fail(HY_ERES, "%s: no memory for zstd; use fewer ranks", s->path);
  s->packed = hy_malloc(PIECE);
  s->in = (ZSTD_inBuffer){s->packed, fread(s->packed, 1, PIECE, s->file), 0};
  if (ferror(s->file))
    return cannot_read(s->path);
  /* a skippable frame may come first: 0x184D2A5? */
  if (s->in.size < 4 ||
      (memcmp(s->packed, magic, 4) && memcmp(s->packed + 1, "\x2A\x4D\x18", 3)))
    return hy_fail(HY_EFILE,
                   "%s: is not in zstd format; rename it without .zst or "
                   "compress it",
                   s->path);
  return HY_OK;
}

static int
read_zst(hy_stream *s, void *to, size_t n, size_t *got)
{
  ZSTD_outBuffer out = {to, n, 0};

  while (out.pos == 0) {
    if (s->in.pos == s->in.size) {
      s->in.size = fread(s->packed, 1, PIECE, s->file);
      s->in.pos = 0;
      if (ferror(s->file))
        return cannot_read(s->path);
    }
    if (s->in.size == 0 && !s->open)
      break;
    /* without input too: what did not fit the last time is given out */
    s->open = ZSTD_decompressStream(s->zst, &out, &s->in);
    if (ZSTD_isError(s->open))
      return broken_zst(s, s->open);
    if (s->in.size == 0 && out.pos == 0)
      return hy_fail(HY_EFILE,
                     "%s: is truncated (zstd frame without end); make the "
                     "file again",
                     s->path);
  }
  *got = out.pos;
  return HY_OK;
}
#else
static int
open_zst(hy_stream *s)
{
  return hy_fail(HY_EFILE,
                 "%s: this hymn was built without zstd; decompress it, or "
                 "install libzstd and build again",
                 s->path);
}
#endif

int
hy_stream_open(hy_stream **out, const char *path)
{
  hy_stream *s = hy_calloc(1, sizeof *s);
  struct stat st;
  int err = HY_OK;

  s->path = hy_strdup(path);
  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
    err = hy_fail(HY_EFILE, "%s: is a folder; give a file", path);
  if (!err)
    s->file = fopen(path, "rb");
  if (!err && !s->file)
    err = cannot_read(path);
  if (!err && hy_path_ends(path, ".gz"))
    err = open_gz(s);
  if (!err && hy_path_ends(path, ".zst"))
    err = open_zst(s);
  if (err) {
    hy_stream_close(s);
    s = NULL;
  }
  *out = s;
  return err;
}

void
hy_stream_close(hy_stream *s)
{
  if (!s)
    return;
  if (s->file)
    fclose(s->file);
  if (s->gz)
    gzclose_r(s->gz);
#ifdef HAVE_ZSTD
  ZSTD_freeDStream(s->zst);
  free(s->packed);
#endif
  free(s->path);
  free(s);
}

static int
read_gz(hy_stream *s, void *to, size_t n, size_t *got)
{
  int code = Z_OK, m = gzread(s->gz, to, n < PIECE ? (unsigned)n : PIECE);

  *got = m > 0 ? (size_t)m : 0;
  if (m <= 0)
    gzerror(s->gz, &code);
  if (m >= 0 && code == Z_OK)
    return HY_OK;
  return hy_fail(HY_EFILE, "%s: %s; make the file again", s->path,
                 code == Z_BUF_ERROR ? "is truncated (gzip stream without end)"
                                     : "is damaged (gzip)");
}

int
hy_stream_read(hy_stream *s, void *to, size_t n, size_t *got)
{
  *got = 0;
  if (s->gz)
    return read_gz(s, to, n, got);
#ifdef HAVE_ZSTD
  if (s->zst)
    return read_zst(s, to, n, got);
#endif
  *got = fread(to, 1, n, s->file);
  return ferror(s->file)
             ? hy_fail(HY_EFILE, "%s: cannot read: %s; check the disk", s->path,
                       strerror(errno))
             : HY_OK;
}

int
hy_stream_skip(hy_stream *s, int64_t n)
{
  char *piece;
  size_t got = 1;
  int err = HY_OK;

  if (hy_stream_ending(s->path) == 0)
    return fseeko(s->file, (off_t)n, SEEK_CUR) < 0
               ? hy_fail(HY_EFILE, "%s: cannot seek: %s; copy it to a disk",
                         s->path, strerror(errno))
               : HY_OK;
  piece = hy_malloc(PIECE);
  while (n > 0 && got > 0 && !err) {
    err =
        hy_stream_read(s, piece, n < (int64_t)PIECE ? (size_t)n : PIECE, &got);
    n -= (int64_t)got;
  }
  free(piece);
  return err;
}
