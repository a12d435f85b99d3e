#include "job/inspect.h"
#include "base/err.h"
#include "base/file.h"
#include "data/packed.h"
#include "io/ckpt.h"
#include "io/hf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A weight folder, else a run directory: its newest checkpoint. */
static int
inspect_dir(const char *path)
{
  char *config = hy_path_join(path, "config.json"), *ckpt = NULL;
  int folder = hy_path_exists(config), err;

  free(config);
  if (folder)
    return hy_hf_inspect(path, stdout);
  err = hy_ckpt_find(&ckpt, path, 0);
  if (err == HY_EFILE) {
    hy_err_clear();
    return hy_fail(HY_EFILE,
                   "%s: holds neither config.json nor a checkpoint; give a "
                   "weight folder, a run directory or a file",
                   path);
  }
  if (!err)
    err = hy_ckpt_inspect(ckpt, stdout);
  free(ckpt);
  return err;
}

int
hy_inspect(const char *path)
{
  FILE *f;

  if (hy_path_is_dir(path))
    return inspect_dir(path);
  if (!(f = fopen(path, "rb")))
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  fclose(f);
  if (hy_ckpt_is(path))
    return hy_ckpt_inspect(path, stdout);
  if (hy_packed_is(path))
    return hy_packed_inspect(path, stdout);
  return hy_fail(HY_EFILE,
                 "%s: neither a checkpoint nor a packed data set of hymn; "
                 "give one of these or a weight folder",
                 path);
}
