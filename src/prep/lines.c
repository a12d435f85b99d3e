#include "prep/lines.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define PIECE (1u << 18)

struct hy_lines {
  char *path;
  FILE *plain;
  gzFile gz; /* one of the two */
  hy_buf buf;
  size_t from; /* of buf: first byte not handed out */
  int64_t at;  /* of the text: where buf.data[0] lies */
  int at_end;
};

static int
ends_in(const char *s, size_t n, const char *suffix)
{
  size_t m = strlen(suffix);

  return n >= m && !strncmp(s + n - m, suffix, m);
}

int
hy_text_is(const char *path, const char *suffix)
{
  size_t n = strlen(path);

  if (ends_in(path, n, ".gz"))
    n -= 3;
  return ends_in(path, n, suffix);
}

static int
open_text(hy_lines *l, const char *path)
{
  struct stat st;

  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
    return hy_fail(HY_EFILE, "%s: is a folder; give a file", path);
  l->plain = fopen(path, "rb");
  if (!l->plain)
    return hy_fail(HY_EFILE, "%s: cannot read: %s; check the name", path,
                   strerror(errno));
  if (!ends_in(path, strlen(path), ".gz"))
    return HY_OK;
  fclose(l->plain);
  l->plain = NULL;
  l->gz = gzopen(path, "rb");
  if (!l->gz)
    return hy_fail(HY_EFILE, "%s: cannot read: %s; check the name", path,
                   strerror(errno));
  gzbuffer(l->gz, PIECE);
  if (gzdirect(l->gz))
    return hy_fail(HY_EFILE,
                   "%s: is not in gzip format; rename it without "
                   ".gz or compress it",
                   path);
  return HY_OK;
}

static int
broken_gz(const hy_lines *l, int code)
{
  return hy_fail(HY_EFILE, "%s: %s; make the file again", l->path,
                 code == Z_BUF_ERROR ? "is truncated (gzip stream without end)"
                                     : "is damaged (gzip)");
}

/* Up to n bytes; *got is 0 at the end only. */
static int
read_piece(hy_lines *l, char *to, unsigned n, size_t *got)
{
  int code = Z_OK, m;

  if (l->plain) {
    *got = fread(to, 1, n, l->plain);
    return ferror(l->plain) ? hy_fail(HY_EFILE,
                                      "%s: cannot read: %s; check "
                                      "the disk",
                                      l->path, strerror(errno))
                            : HY_OK;
  }
  m = gzread(l->gz, to, n);
  *got = m > 0 ? (size_t)m : 0;
  if (m <= 0)
    gzerror(l->gz, &code);
  return m < 0 || code != Z_OK ? broken_gz(l, code) : HY_OK;
}

int
hy_lines_open(hy_lines **out, const char *path, int64_t at)
{
  hy_lines *l = hy_calloc(1, sizeof *l);
  int err;

  l->path = hy_strdup(path);
  err = open_text(l, path);
  /* one byte earlier: a newline there makes `at` the start of a line */
  l->at = at > 0 ? at - 1 : 0;
  if (!err && l->at > 0 &&
      (l->plain ? fseeko(l->plain, (off_t)l->at, SEEK_SET) < 0
                : gzseek(l->gz, (z_off_t)l->at, SEEK_SET) < 0))
    err = l->plain ? hy_fail(HY_EFILE, "%s: cannot seek: %s; copy it to a disk",
                             path, strerror(errno))
                   : broken_gz(l, Z_DATA_ERROR);
  if (!err && at > 0) {
    const char *line;
    size_t n;
    int64_t start;

    err = hy_lines_next(l, &line, &n, &start);
  }
  if (err) {
    hy_lines_close(l);
    l = NULL;
  }
  *out = l;
  return err;
}

void
hy_lines_close(hy_lines *l)
{
  if (!l)
    return;
  if (l->plain)
    fclose(l->plain);
  if (l->gz)
    gzclose_r(l->gz);
  free(l->buf.data);
  free(l->path);
  free(l);
}

int
hy_lines_next(hy_lines *l, const char **line, size_t *n, int64_t *start)
{
  size_t seen = 0; /* bytes after `from` that are no newline */
  char *nl = NULL, *piece = NULL;
  int err = HY_OK;

  for (;;) {
    size_t got = 0, have = l->buf.len - l->from;

    if (have > seen)
      nl = memchr(l->buf.data + l->from + seen, '\n', have - seen);
    if (nl || l->at_end)
      break;
    seen = have;
    if (l->from > 0) { /* keep the open line only */
      memmove(l->buf.data, l->buf.data + l->from, have);
      l->buf.len = have;
      l->at += (int64_t)l->from;
      l->from = 0;
    }
    if (!piece)
      piece = hy_malloc(PIECE);
    err = read_piece(l, piece, PIECE, &got);
    if (err)
      break;
    l->at_end = got == 0;
    hy_buf_add(&l->buf, piece, got);
  }
  free(piece);
  *line = NULL;
  *n = 0;
  *start = l->at + (int64_t)l->from;
  if (err || (!nl && l->from == l->buf.len))
    return err;
  *line = l->buf.data + l->from;
  *n = nl ? (size_t)(nl - *line) : l->buf.len - l->from;
  l->from += *n + (nl != NULL);
  if (*n && (*line)[*n - 1] == '\r')
    --*n;
  return HY_OK;
}

int64_t
hy_lines_number(const char *path, int64_t at)
{
  hy_lines *l;
  const char *line = "";
  int64_t number = 0, start = -1;
  size_t n;

  if (hy_lines_open(&l, path, 0))
    return 0;
  while (line && start < at && !hy_lines_next(l, &line, &n, &start))
    number++;
  hy_lines_close(l);
  return number;
}

static int
read_all(const char *path, hy_buf *out, int64_t *n)
{
  hy_lines l = {.path = (char *)path};
  char *piece = hy_malloc(PIECE);
  size_t got = 1;
  int err = open_text(&l, path);

  *n = 0;
  while (!err && got) {
    err = read_piece(&l, piece, PIECE, &got);
    *n += (int64_t)got;
    if (out)
      hy_buf_add(out, piece, got);
  }
  if (l.plain)
    fclose(l.plain);
  if (l.gz && gzclose_r(l.gz) != Z_OK && !err)
    err = broken_gz(&l, Z_BUF_ERROR);
  free(piece);
  return err;
}

int
hy_text_size(const char *path, int64_t *n)
{
  struct stat st;

  if (ends_in(path, strlen(path), ".gz") || stat(path, &st) < 0 ||
      !S_ISREG(st.st_mode))
    return read_all(path, NULL, n);
  *n = (int64_t)st.st_size;
  return HY_OK;
}

int
hy_text_read(const char *path, hy_buf *out)
{
  int64_t n;

  return read_all(path, out, &n);
}
