#include "job/inspect.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The signature of HDF5 stands at 0 or, behind a userblock, at a power of two
 * from 512 on. */
static int
is_hdf5(FILE *f)
{
  static const char magic[8] = "\x89HDF\r\n\x1a\n";
  char head[8];

  for (long at = 0; at <= 1L << 24; at = at ? 2 * at : 512)
    if (fseek(f, at, SEEK_SET) || fread(head, 1, 8, f) != 8)
      return 0;
    else if (!memcmp(head, magic, 8))
      return 1;
  return 0;
}

int
hy_inspect(const char *path)
{
  FILE *f;
  int hdf5;

  if (hy_path_is_dir(path)) {
    char *config = hy_path_join(path, "config.json");
    int found = hy_path_exists(config);

    free(config);
    if (!found)
      return hy_fail(HY_EFILE,
                     "%s: a folder without config.json; give a "
                     "weight folder or a file",
                     path);
    printf("%s: weight folder\n", path);
    return HY_OK;
  }
  if (!(f = fopen(path, "rb")))
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  hdf5 = is_hdf5(f);
  fclose(f);
  if (!hdf5)
    return hy_fail(HY_EFILE,
                   "%s: not an HDF5 file; give a checkpoint, a "
                   "packed data set or a weight folder",
                   path);
  printf("%s: HDF5 file\n", path);
  return HY_OK;
}
