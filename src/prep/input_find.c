#include "prep/input_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char **v;
  int n, cap;
} names;

static void
add(names *l, const char *name)
{
  if (l->n == l->cap) {
    l->cap = l->cap ? 2 * l->cap : 16;
    l->v = hy_realloc(l->v, (size_t)l->cap * sizeof *l->v);
  }
  l->v[l->n++] = hy_strdup(name);
}

static int
by_name(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Files of a folder whose kind is known. */
static int
add_folder(names *l, const char *dir)
{
  DIR *d = opendir(dir);
  const struct dirent *e;
  int first = l->n;

  if (!d)
    return hy_fail(HY_EFILE, "%s: cannot read the folder: %s; check its rights",
                   dir, strerror(errno));
  while ((e = readdir(d))) {
    char *path = hy_path_join(dir, e->d_name);

    if (e->d_name[0] != '.' && !hy_path_is_dir(path) &&
        hy_input_kind_of(path) != HY_INPUT_NONE)
      add(l, path);
    free(path);
  }
  closedir(d);
  if (l->n == first)
    return hy_fail(
        HY_EFILE,
        "%s: holds no file of a kind that hymn reads; " HY_INPUT_KINDS, dir);
  qsort(l->v + first, (size_t)(l->n - first), sizeof *l->v, by_name);
  return HY_OK;
}

static int
add_file(names *l, const char *path)
{
  if (hy_input_kind_of(path) == HY_INPUT_NONE)
    return hy_fail(HY_EFILE,
                   "%s: is of no kind that hymn reads; " HY_INPUT_KINDS, path);
  add(l, path);
  return HY_OK;
}

static int
add_pattern(names *l, const char *pattern)
{
  int first = l->n, err = HY_OK;
  glob_t g;

  if (glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, &g))
    return hy_fail(HY_EFILE, "%s: no such file; check the name", pattern);
  for (size_t i = 0; i < g.gl_pathc && !err; i++)
    if (!hy_path_is_dir(g.gl_pathv[i]))
      err = add_file(l, g.gl_pathv[i]);
  globfree(&g);
  if (!err && l->n == first)
    err = hy_fail(HY_EFILE, "%s: matches folders only; add /*", pattern);
  /* not glob's order, which is that of the locale */
  if (!err)
    qsort(l->v + first, (size_t)(l->n - first), sizeof *l->v, by_name);
  return err;
}

/* NAME.idx when a name means Megatron's indexed data: NAME or NAME.bin. */
static char *
index_of(const char *name)
{
  size_t n = strlen(name), cut = n > 4 && !strcmp(name + n - 4, ".bin") ? 4 : 0;
  char *path = hy_asprintf("%.*s.idx", (int)(n - cut), name);

  if (hy_path_exists(path) && (cut || !hy_path_exists(name)))
    return path;
  free(path);
  return NULL;
}

static int
add_name(names *l, const char *name)
{
  char *index = index_of(name);

  if (index) {
    add(l, index);
    free(index);
    return HY_OK;
  }
  if (hy_path_is_dir(name))
    return add_folder(l, name);
  return hy_path_exists(name) ? add_file(l, name) : add_pattern(l, name);
}

int
hy_inputs_find(char ***path, int *n, char *const *name, int n_names)
{
  names l = {0};
  int err = HY_OK;

  for (int i = 0; i < n_names && !err; i++)
    err = add_name(&l, name[i]);
  if (err) {
    for (int i = 0; i < l.n; i++)
      free(l.v[i]);
    free(l.v);
    l = (names){0};
  }
  *path = l.v;
  *n = l.n;
  return err;
}
