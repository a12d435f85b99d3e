#include "prep/lines.h"
#include "base/err.h"
#include "prep/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE (1u << 18)

struct hy_lines {
  hy_stream *in;
  hy_buf buf;
  size_t from; /* of buf: first byte not handed out */
  int64_t at;  /* of the text: where buf.data[0] lies */
  int at_end;
};

int
hy_text_is(const char *path, const char *suffix)
{
  size_t n = strlen(path) - hy_stream_ending(path), m = strlen(suffix);

  return n >= m && !strncmp(path + n - m, suffix, m);
}

size_t
hy_text_bom(const char *text, size_t n)
{
  return n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;
}

int
hy_lines_open(hy_lines **out, const char *path, int64_t at)
{
  hy_lines *l = hy_calloc(1, sizeof *l);
  const char *line;
  size_t n;
  int64_t start;
  int err = hy_stream_open(&l->in, path);

  /* one byte earlier: a newline there makes `at` the start of a line */
  l->at = at > 0 ? at - 1 : 0;
  if (!err && l->at > 0)
    err = hy_stream_skip(l->in, l->at);
  if (!err && at > 0)
    err = hy_lines_next(l, &line, &n, &start);
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
  hy_stream_close(l->in);
  free(l->buf.data);
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
    err = hy_stream_read(l->in, piece, PIECE, &got);
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
  if (*start == 0) {
    size_t bom = hy_text_bom(*line, *n);

    *line += bom;
    *n -= bom;
  }
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
  hy_stream *in;
  char *piece = hy_malloc(PIECE);
  size_t got = 1;
  int err = hy_stream_open(&in, path);

  *n = 0;
  while (!err && got) {
    err = hy_stream_read(in, piece, PIECE, &got);
    *n += (int64_t)got;
    if (out)
      hy_buf_add(out, piece, got);
  }
  hy_stream_close(in);
  free(piece);
  return err;
}

int
hy_text_size(const char *path, int64_t *n)
{
  struct stat st;

  if (hy_stream_ending(path) || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
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
