/* st_folder.c: which files make up a model, and whether they are complete. */
#include "io/st_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX "model.safetensors.index.json"

static int
has_file(const hy_st *s, const char *path)
{
  for (int i = 0; i < s->n_files; i++)
    if (!strcmp(s->file[i].path, path))
      return 1;
  return 0;
}

/* Every tensor where the index says, and none besides. */
static int
check_index(const hy_st *s, const char *dir, const char *index, json_t *map)
{
  const char *name;
  json_t *v;

  json_object_foreach(map, name, v)
  {
    char *path = hy_path_join(dir, json_string_value(v));
    const hy_st_tensor *t = hy_st_find(s, name);
    int same = t && !strcmp(t->file, path);

    free(path);
    if (!same)
      return hy_fail(HY_EDATA,
                     "%s: says that tensor %s is in %s, which does not have "
                     "it; fetch the folder again",
                     index, name, json_string_value(v));
  }
  for (int64_t i = 0; i < s->n; i++)
    if (!json_object_get(map, s->t[i].name))
      return hy_fail(HY_EDATA, "%s: tensor %s is not named by %s", s->t[i].file,
                     s->t[i].name, index);
  return HY_OK;
}

static int
index_files(hy_st *s, const char *dir, const char *index, json_t *map)
{
  const char *name;
  json_t *v;
  int err = 0;

  json_object_foreach(map, name, v)
  {
    const char *file = json_string_value(v);
    char *path;

    if (!file || !file[0] || strchr(file, '/'))
      return hy_fail(HY_EDATA,
                     "%s: weight_map of %s names no file of this "
                     "folder",
                     index, name);
    path = hy_path_join(dir, file);
    if (!has_file(s, path)) {
      if (!hy_path_exists(path))
        err = hy_fail(HY_EFILE,
                      "%s: names %s, which is missing; fetch the "
                      "folder again",
                      index, path);
      else
        err = hy_st_add_file(s, path);
    }
    free(path);
    if (err)
      return err;
  }
  return HY_OK;
}

static int
open_index(hy_st *s, const char *dir, const char *index)
{
  json_error_t je;
  hy_buf text = {0};
  json_t *root = NULL, *map;
  char *single = hy_path_join(dir, "model.safetensors");
  int err = hy_file_read(index, &text);

  if (!err) {
    root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &je);
    if (!root)
      err = hy_fail(HY_EFILE, "%s: not JSON: line %d: %s", index, je.line,
                    je.text);
  }
  map = json_object_get(root, "weight_map");
  if (!err && !json_is_object(map))
    err = hy_fail(HY_EDATA, "%s: has no weight_map", index);
  if (!err)
    err = index_files(s, dir, index, map);
  if (!err && hy_path_exists(single) && !has_file(s, single))
    err = hy_fail(HY_EDATA,
                  "%s: does not name %s beside it, so there are two models; "
                  "remove one of them",
                  index, single);
  if (!err)
    err = hy_st_sort(s);
  if (!err)
    err = check_index(s, dir, index, map);
  json_decref(root);
  free(text.data);
  free(single);
  return err;
}

static int
is_shard(const struct dirent *d)
{
  size_t n = strlen(d->d_name);

  return n > 12 && !strncmp(d->d_name, "model", 5) &&
         !strcmp(d->d_name + n - 12, ".safetensors");
}

/* Shards without an index: all of model-K-of-N.safetensors have to be there. */
static int
open_shards(hy_st *s, const char *dir)
{
  struct dirent **e = NULL;
  int n = scandir(dir, &e, is_shard, alphasort), err = 0, k, of;

  if (n < 0)
    return hy_fail(HY_EFILE, "%s: cannot read: %s", dir, strerror(errno));
  if (n == 0)
    err = hy_fail(HY_EFILE,
                  "%s: has no model.safetensors, no %s and no "
                  "model-*.safetensors; name a weight folder",
                  dir, INDEX);
  for (int i = 0; i < n; i++) {
    char *path = hy_path_join(dir, e[i]->d_name);

    if (!err && sscanf(e[i]->d_name, "model-%d-of-%d", &k, &of) == 2 && of != n)
      err = hy_fail(HY_EFILE,
                    "%s: one of %d files, but the folder has %d and no %s",
                    path, of, n, INDEX);
    if (!err)
      err = hy_st_add_file(s, path);
    free(path);
    free(e[i]);
  }
  free(e);
  return err ? err : hy_st_sort(s);
}

static int
open_folder(hy_st *s, const char *dir)
{
  char *index = hy_path_join(dir, INDEX);
  char *single = hy_path_join(dir, "model.safetensors");
  int err;

  if (hy_path_exists(index))
    err = open_index(s, dir, index);
  else if (hy_path_exists(single)) {
    err = hy_st_add_file(s, single);
    err = err ? err : hy_st_sort(s);
  } else
    err = open_shards(s, dir);
  free(index);
  free(single);
  return err;
}

int
hy_st_open(hy_st **out, const char *path)
{
  hy_st *s = hy_calloc(1, sizeof *s);
  int err;

  *out = NULL;
  if (hy_path_is_dir(path))
    err = open_folder(s, path);
  else {
    err = hy_st_add_file(s, path);
    err = err ? err : hy_st_sort(s);
  }
  if (err)
    hy_st_close(s);
  else
    *out = s;
  return err;
}
