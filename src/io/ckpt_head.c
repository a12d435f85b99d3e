/* ckpt_head.c: the text block in front of a checkpoint.
 *
 *   hymn checkpoint 1
 *   block 4096
 *   size 1234567
 *   sha256 <64 hex digits of all bytes outside the extents, this line 0>
 *   extents 3
 *   4096 80
 *   ...
 *   end
 *
 * and zeros up to its size. */
#include "io/ckpt_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[] = "hymn checkpoint 1\n";

enum { HEX = HY_SHA_HEX - 1, MAX_BLOCK = 1 << 28 };

size_t
hy_ckpt_block(int n)
{
  size_t need = 256 + (size_t)n * 42, block = 4096;

  while (block < need)
    block *= 2;
  return block;
}

/* The text of a block; *hash is where the hex digits are. */
static void
block_text(hy_buf *b, size_t block, uint64_t size, const char *hex,
           const hy_extent *e, int n, size_t *hash)
{
  hy_buf_printf(b, "%sblock %zu\nsize %" PRIu64 "\nsha256 ", magic, block,
                size);
  *hash = b->len;
  hy_buf_printf(b, "%s\nextents %d\n", hex, n);
  for (int i = 0; i < n; i++)
    hy_buf_printf(b, "%" PRIu64 " %" PRIu64 "\n", e[i].at, e[i].n);
  hy_buf_printf(b, "end\n");
}

/* Add [from, to) of the file to the hash. */
static int
hash_range(hy_sha256 *s, int fd, uint64_t from, uint64_t to)
{
  static _Thread_local char buf[1 << 16];

  while (from < to) {
    size_t want = to - from < sizeof buf ? (size_t)(to - from) : sizeof buf;
    ssize_t k = pread(fd, buf, want, (off_t)from);

    if (k == 0 || (k < 0 && errno != EINTR))
      return -1;
    if (k > 0) {
      hy_sha256_add(s, buf, (size_t)k);
      from += (uint64_t)k;
    }
  }
  return 0;
}

/* Hash of the block with blank digits and of the gaps between extents. */
static int
hash_rest(int fd, const hy_buf *text, size_t hash, size_t block, uint64_t size,
          const hy_extent *e, int n, char hex[HY_SHA_HEX])
{
  char *front = hy_calloc(block, 1);
  uint64_t at = block;
  hy_sha256 s;
  int bad = 0;

  memcpy(front, text->data, text->len);
  memset(front + hash, '0', HEX);
  hy_sha256_init(&s);
  hy_sha256_add(&s, front, block);
  for (int i = 0; !bad && i < n; i++) {
    bad = hash_range(&s, fd, at, e[i].at);
    at = e[i].at + e[i].n;
  }
  bad = bad || hash_range(&s, fd, at, size);
  hy_sha256_hex(&s, hex);
  free(front);
  return bad ? -1 : 0;
}

static int
by_place(const void *a, const void *b)
{
  const hy_extent *x = a, *y = b;

  return (x->at > y->at) - (x->at < y->at);
}

int
hy_ckpt_seal(const char *path, size_t block, hy_extent *e, int n)
{
  char zero[HY_SHA_HEX], hex[HY_SHA_HEX], *front = NULL;
  hy_buf text = {0};
  struct stat st;
  size_t hash;
  int fd = open(path, O_RDWR), bad = fd < 0 || fstat(fd, &st), why;

  memset(zero, '0', HEX);
  zero[HEX] = '\0';
  if (!bad) {
    qsort(e, (size_t)n, sizeof *e, by_place);
    block_text(&text, block, (uint64_t)st.st_size, zero, e, n, &hash);
    bad = text.len > block ||
          hash_rest(fd, &text, hash, block, (uint64_t)st.st_size, e, n, hex);
  }
  if (!bad) {
    memcpy(text.data + hash, hex, HEX);
    front = hy_calloc(block, 1);
    memcpy(front, text.data, text.len);
    errno = hy_file_put(fd, front, block, 0);
    bad = errno != 0;
  }
  why = errno;
  free(front);
  free(text.data);
  if (fd >= 0 && close(fd) && !bad) {
    bad = 1;
    why = errno;
  }
  if (bad)
    return hy_fail(why == ENOSPC || why == EDQUOT ? HY_ERES : HY_EFILE,
                   "%s: cannot write: %s", path, strerror(why));
  return HY_OK;
}

/* One decimal number after a word; moves *p behind it and its end mark. */
static int
number(const char **p, const char *word, char mark, uint64_t *x)
{
  size_t n = strlen(word);
  char *end;

  if (strncmp(*p, word, n) || (*p)[n] < '0' || (*p)[n] > '9')
    return -1;
  errno = 0;
  *x = strtoull(*p + n, &end, 10);
  if (errno || *end != mark)
    return -1;
  *p = end + 1;
  return 0;
}

/* Read the block back; -1 when its text is not what block_text writes. */
static int
parse_block(const char *text, size_t block, uint64_t *size,
            char hex[HY_SHA_HEX], hy_extent **e, int *n)
{
  const char *p = text + strlen(magic);
  uint64_t x, at = block;

  if (number(&p, "block ", '\n', &x) || x != block ||
      number(&p, "size ", '\n', size) || strncmp(p, "sha256 ", 7) ||
      strlen(p) < 7 + HEX + 1)
    return -1;
  memcpy(hex, p + 7, HEX);
  hex[HEX] = '\0';
  p += 7 + HEX + 1;
  if (number(&p, "extents ", '\n', &x) || x > block / 4)
    return -1;
  *n = (int)x;
  *e = hy_calloc((size_t)x, sizeof **e);
  for (int i = 0; i < *n; i++) {
    hy_extent *t = *e + i;

    if (number(&p, "", ' ', &t->at) || number(&p, "", '\n', &t->n) ||
        t->at < at || t->n > *size || t->at > *size - t->n)
      return -1;
    at = t->at + t->n;
  }
  return strcmp(p, "end\n") ? -1 : 0;
}

/* The size of the block from its second line, 0 if there is none. */
static size_t
block_size(int fd)
{
  char line[64] = {0};
  const char *p = line + strlen(magic);
  uint64_t x;

  if (pread(fd, line, sizeof line - 1, 0) <= 0 ||
      strncmp(line, magic, strlen(magic)) || number(&p, "block ", '\n', &x) ||
      x < 4096 || x > MAX_BLOCK || (x & (x - 1)))
    return 0;
  return (size_t)x;
}

int
hy_ckpt_is(const char *path)
{
  int fd = open(path, O_RDONLY);
  int is = fd >= 0 && block_size(fd) > 0;

  if (fd >= 0)
    close(fd);
  return is;
}

static int
verify(const char *path, int fd, size_t block, hy_buf *text)
{
  char want[HY_SHA_HEX], have[HY_SHA_HEX];
  hy_extent *e = NULL;
  struct stat st;
  uint64_t size = 0;
  int n = 0, err = HY_OK, bad;

  fstat(fd, &st);
  if ((uint64_t)st.st_size < block ||
      pread(fd, text->data, block, 0) != (ssize_t)block)
    return hy_fail(HY_EFILE,
                   "%s: cut short in its first block; use an earlier "
                   "checkpoint",
                   path);
  bad = parse_block(text->data, block, &size, want, &e, &n);
  if (!bad && (uint64_t)st.st_size != size)
    err = hy_fail(HY_EFILE,
                  "%s: has %lld bytes, was written with %" PRIu64
                  "; copy it again or use an earlier checkpoint",
                  path, (long long)st.st_size, size);
  else {
    text->len = strlen(text->data);
    for (size_t i = text->len; !bad && i < block; i++)
      bad = text->data[i] != 0;
    if (!bad &&
        hash_rest(fd, text,
                  (size_t)(strstr(text->data, "sha256 ") + 7 - text->data),
                  block, size, e, n, have))
      err = hy_fail(HY_EFILE, "%s: read failed: %s", path, strerror(errno));
    else if (bad || strcmp(want, have))
      err = hy_fail(HY_EDATA,
                    "%s: damaged (its header does not match its hash); copy it "
                    "again or use an earlier checkpoint",
                    path);
  }
  free(e);
  return err;
}

int
hy_ckpt_verify(const char *path)
{
  int fd = open(path, O_RDONLY), err;
  hy_buf text = {0};
  size_t block;

  if (fd < 0)
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  block = block_size(fd);
  if (block == 0)
    err = hy_fail(HY_EFILE,
                  "%s: not a checkpoint of hymn, or its first bytes are "
                  "damaged",
                  path);
  else {
    text.data = hy_calloc(block + 1, 1);
    text.len = text.cap = block;
    err = verify(path, fd, block, &text);
    free(text.data);
  }
  close(fd);
  return err;
}
