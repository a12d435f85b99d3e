/* replay.c: run kept files once more, with any compiler.
 *
 *   replay FOLDER [TARGET]   folders named as targets, with files in each
 *   replay -l                names of targets
 *
 * Prints each target and the number of its files; a fault ends it. */
#include "fuzz.h"
#include "base/err.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files of a target; their number, -1: no folder. */
static int
replay(const hy_fuzz_target *t, const char *top)
{
  char *folder = hy_path_join(top, t->name), *path;
  DIR *d = opendir(folder);
  const struct dirent *e;
  hy_buf b = {0};
  int n = 0, err = 0;

  while (d && !err && (e = readdir(d)) != NULL) {
    if (e->d_name[0] == '.')
      continue;
    path = hy_path_join(folder, e->d_name);
    b.len = 0;
    err = hy_file_read(path, &b);
    if (!err)
      t->run((const uint8_t *)(b.data ? b.data : ""), b.len);
    free(path);
    n++;
  }
  if (d)
    closedir(d);
  free(folder);
  free(b.data);
  return d && !err ? n : -1;
}

int
main(int argc, char **argv)
{
  const hy_fuzz_target *t;
  int n, list = argc == 2 && !strcmp(argv[1], "-l");

  if (argc < 2 || argc > 3 || (argc == 3 && !hy_fuzz_find(argv[2]))) {
    fprintf(stderr, "usage: replay FOLDER [TARGET] | -l\n");
    return HY_EUSAGE;
  }
  for (t = hy_fuzz_targets; t->name; t++) {
    if (list)
      printf("%s\n", t->name);
    if (list || (argc == 3 && strcmp(t->name, argv[2])))
      continue;
    n = replay(t, argv[1]);
    if (n < 0) {
      fprintf(stderr, "%s/%s: cannot read; give the folder of kept files\n",
              argv[1], t->name);
      return HY_EFILE;
    }
    printf("%s: %d files\n", t->name, n);
  }
  return 0;
}
