/* tok_nfc.c: NFC, and the way back from it to places in the text.
 *
 * The text is cut before characters that no normalization joins to what stands
 * before them; only parts that hold other characters are looked at. Source:
 * Unicode Standard Annex #15, section 9. */
#include "text/tok.h"
#include "base/err.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* 1 if text may be cut before c: c decomposes to nothing that begins with a
 * mark, and is not the second part of a composition. True of more characters
 * than these; these are frequent. */
static int
is_border(uint32_t c)
{
  static const uint32_t range[][2] = {
      {0x370, 0x482},     {0x48A, 0x58F},   {0x5D0, 0x5EA},   {0x621, 0x64A},
      {0x904, 0x93B},     {0x93D, 0x94C},   {0xE01, 0xE30},   {0xE40, 0xE46},
      {0x1E00, 0x1EFF},   {0x2010, 0x2027}, {0x3000, 0x3029}, {0x3041, 0x3096},
      {0x30A1, 0x30FA},   {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}, {0xFF00, 0xFFEF},
      {0x1F000, 0x1FAFF}, {UINT32_MAX, 0}};
  int i = 0;

  if (c < 0x300)
    return 1;
  while (c > range[i][1] && range[i][0] < UINT32_MAX)
    i++;
  return c >= range[i][0];
}

/* 1 if c, a border, is itself in NFC. */
static int
is_normal(uint32_t c)
{
  return c != 0x374 && c != 0x37E && c != 0x387;
}

static void
bend_add(hy_tok_bends *b, hy_tok_bend bend)
{
  if (b->n == b->cap) {
    b->cap = b->cap ? b->cap + b->cap / 2 : 64;
    b->v = hy_realloc(b->v, b->cap * sizeof *b->v);
  }
  b->v[b->n++] = bend;
}

/* End of the part that begins at `at`, and whether it may change. */
static size_t
part_end(const char *text, size_t n, size_t at, int *may)
{
  int ok;
  uint32_t c = hy_utf8_code(text + at);

  *may = !is_border(c) || !is_normal(c);
  for (at += hy_utf8_next(text + at, n - at, &ok); at < n;
       at += hy_utf8_next(text + at, n - at, &ok)) {
    if (is_border(hy_utf8_code(text + at)))
      break;
    *may = 1;
  }
  return at;
}

typedef struct {
  utf8proc_int32_t *c;
  size_t n, cap;
} codes;

static int
combining(utf8proc_int32_t c)
{
  return utf8proc_get_property(c)->combining_class;
}

/* Marks in the order of their class, those of one class as they stand. */
static void
sort_marks(utf8proc_int32_t *c, size_t n)
{
  size_t from[257] = {0};
  utf8proc_int32_t *sorted = hy_malloc(n * sizeof *sorted);

  for (size_t i = 0; i < n; i++)
    from[combining(c[i]) + 1]++;
  for (int k = 0; k < 256; k++)
    from[k + 1] += from[k];
  for (size_t i = 0; i < n; i++)
    sorted[from[combining(c[i])]++] = c[i];
  memcpy(c, sorted, n * sizeof *c);
  free(sorted);
}

/* Canonical decomposition of n bytes, appended; not yet in order. */
static int
decompose(const char *s, size_t n, codes *v)
{
  int ok;

  for (size_t i = 0; i < n; i += hy_utf8_next(s + i, n - i, &ok)) {
    utf8proc_ssize_t len;

    if (v->n + 16 > v->cap) { /* no character gives more than 4 */
      v->cap = 2 * v->cap + 64;
      v->c = hy_realloc(v->c, v->cap * sizeof *v->c);
    }
    len = utf8proc_decompose_char((utf8proc_int32_t)hy_utf8_code(s + i),
                                  v->c + v->n, 16,
                                  UTF8PROC_STABLE | UTF8PROC_COMPOSE, NULL);
    if (len < 0 || len > 16)
      return hy_fail(HY_EDATA, "tokenizer: NFC of U+%04X: %s; leave it out",
                     (unsigned)hy_utf8_code(s + i), utf8proc_errmsg(len));
    v->n += (size_t)len;
  }
  return HY_OK;
}

/* NFC of a part, appended; in linear time, however many marks there are. */
static int
compose(const char *s, size_t n, hy_buf *out)
{
  codes v = {0};
  utf8proc_ssize_t len = 0;
  int err = decompose(s, n, &v);

  for (size_t i = 0, end; i < v.n && !err; i = end) {
    end = i + 1;
    if (combining(v.c[i]) == 0)
      continue;
    while (end < v.n && combining(v.c[end]))
      end++;
    if (end > i + 1)
      sort_marks(v.c + i, end - i);
  }
  if (!err)
    len = utf8proc_normalize_utf32(v.c, (utf8proc_ssize_t)v.n,
                                   UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (len < 0)
    err = hy_fail(HY_EDATA, "tokenizer: NFC of %zu bytes: %s; cut the text", n,
                  utf8proc_errmsg(len));
  for (utf8proc_ssize_t i = 0; i < len; i++) {
    char one[4];

    hy_buf_add(out, one, hy_utf8_put((uint32_t)v.c[i], one));
  }
  free(v.c);
  return err;
}

int
hy_tok_nfc(const char *text, size_t n, hy_buf *out, hy_tok_bends *bends)
{
  size_t start = out->len, good = 0; /* start of what is not yet copied */
  int may, err = HY_OK;

  for (size_t i = 0, end; i < n && !err; i = end) {
    size_t at;

    /* nothing below U+0300 changes, but by a mark that follows */
    for (end = i; end < n && (unsigned char)text[end] < 0x80; end++)
      ;
    if (end < n && end > i)
      end--;
    if (end > i)
      continue;
    end = part_end(text, n, i, &may);
    if (!may)
      continue;
    hy_buf_add(out, text + good, i - good);
    at = out->len;
    err = compose(text + i, end - i, out);
    good = end;
    if (bends && !err &&
        (out->len - at != end - i || memcmp(out->data + at, text + i, end - i)))
      bend_add(bends,
               (hy_tok_bend){(int64_t)(at - start), (int64_t)(out->len - at),
                             (int64_t)i, (int64_t)(end - i)});
  }
  if (!err)
    hy_buf_add(out, text + good, n - good);
  return err;
}

/* The last change that begins at or before p, -1: none. */
static int64_t
bend_at(const hy_tok_bends *b, int64_t p)
{
  size_t lo = 0, hi = b->n;

  while (lo < hi) {
    size_t mid = (lo + hi) / 2;

    if (b->v[mid].at <= p)
      lo = mid + 1;
    else
      hi = mid;
  }
  return (int64_t)lo - 1;
}

/* Byte p of the normalized text: where it stood, or the start or end of the
 * bytes that became it. */
static int64_t
unbend(const hy_tok_bends *b, int64_t p, int at_end)
{
  int64_t i = bend_at(b, p), past;

  if (i < 0)
    return p + at_end;
  past = p - b->v[i].at - b->v[i].n;
  if (past < 0)
    return b->v[i].from + (at_end ? b->v[i].was : 0);
  return b->v[i].from + b->v[i].was + past + at_end;
}

void
hy_tok_unbend(const hy_tok_bends *bends, hy_tok_place *v, size_t n,
              int64_t base)
{
  for (size_t i = 0; i < n; i++) {
    v[i].from = (int32_t)(base + unbend(bends, v[i].from, 0));
    v[i].to = (int32_t)(base + unbend(bends, v[i].to - 1, 1));
  }
}
