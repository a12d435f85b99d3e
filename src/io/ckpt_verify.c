/* ckpt_verify.c: all of a checkpoint against the checksums that it was written
 * with, on one process. */
#include "io/ckpt_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  const char *path, *group;
  int fd, err;
  uint32_t *part;
} check;

enum { PART = 1 << 16 }; /* words read at once */

/* Sum of n words that lie at byte `at`; errno or 0. */
static int
sum_words(const check *c, uint64_t at, uint64_t n, uint64_t *sum)
{
  *sum = 0;
  for (uint64_t i = 0; i < n; i += PART) {
    size_t m = n - i < PART ? (size_t)(n - i) : PART;
    int why = hy_file_get(c->fd, c->part, 4 * m, (int64_t)(at + 4 * i));

    if (why)
      return why;
    *sum += hy_checksum(c->part, m, i);
  }
  return 0;
}

/* H5Literate callback: one dataset. */
static herr_t
one_set(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
  check *c = data;
  uint64_t said = 0, found = 0;
  hid_t set = H5Dopen2(group, name, H5P_DEFAULT), space;
  haddr_t at = set < 0 ? HADDR_UNDEF : H5Dget_offset(set);
  hssize_t n = -1;
  int bad = at == HADDR_UNDEF || hy_h5_get_u64(set, "checksum", &said), why;

  (void)info;
  if (set >= 0) {
    space = H5Dget_space(set);
    n = H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    H5Dclose(set);
  }
  if (bad || n < 0)
    c->err = hy_fail(HY_EDATA, "%s: %s/%s: no data or no checksum", c->path,
                     c->group, name);
  else if ((why = sum_words(c, at, (uint64_t)n, &found)))
    c->err = hy_fail(HY_EFILE, "%s: cannot read: %s", c->path, strerror(why));
  else if (said != found)
    c->err = hy_fail(HY_EDATA,
                     "%s: damaged: tensor %s/%s does not have the checksum it "
                     "was saved with; copy the file again or use an earlier "
                     "checkpoint",
                     c->path, c->group, name);
  return c->err ? 1 : 0;
}

int
hy_ckpt_rehash(const char *path)
{
  static const char *const group[] = {"/model", "/optim/m", "/optim/v"};
  check c = {.path = path, .fd = -1};
  hid_t file, g;
  int n, err = hy_ckpt_open(&file, path);

  if (err)
    return err;
  c.part = hy_malloc(PART * sizeof *c.part);
  if ((c.fd = open(path, O_RDONLY)) < 0)
    c.err = hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  n = H5Lexists(file, "/optim", H5P_DEFAULT) > 0 ? 3 : 1;
  for (int k = 0; k < n && !c.err; k++) {
    c.group = group[k];
    g = H5Gopen2(file, group[k], H5P_DEFAULT);
    if (g < 0 ||
        H5Literate(g, H5_INDEX_NAME, H5_ITER_INC, NULL, one_set, &c) < 0) {
      if (!c.err)
        c.err = hy_fail(HY_EDATA, "%s: has no %s", path, group[k]);
    }
    if (g >= 0)
      H5Gclose(g);
  }
  if (c.fd >= 0)
    close(c.fd);
  H5Fclose(file);
  free(c.part);
  return c.err;
}
