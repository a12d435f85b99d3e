/* ckpt_find.c: which file, and the texts in it. */
#include "io/ckpt_impl.h"
#include "layer/piece.h"
#include "base/err.h"
#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

char *
hy_ckpt_name(const char *dir, int64_t step)
{
  char *name = hy_asprintf("step_%07lld.h5", (long long)step);
  char *path = hy_path_join(dir, name);

  free(name);
  return path;
}

/* The step of "step_NNNNNNN.h5", -1 for another name. */
static int64_t
step_of(const char *name)
{
  char *end;
  int64_t step;

  if (strncmp(name, "step_", 5) || !isdigit((unsigned char)name[5]))
    return -1;
  step = strtoll(name + 5, &end, 10);
  return strcmp(end, ".h5") ? -1 : step;
}

static int
by_value(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

  return (x > y) - (x < y);
}

int
hy_ckpt_list(const char *dir, int64_t **step)
{
  DIR *d = opendir(dir);
  struct dirent *e;
  int n = 0;

  *step = NULL;
  while (d && (e = readdir(d))) {
    int64_t s = step_of(e->d_name);

    if (s < 0)
      continue;
    *step = hy_realloc(*step, (size_t)(n + 1) * sizeof **step);
    (*step)[n++] = s;
  }
  if (d)
    closedir(d);
  if (n)
    qsort(*step, (size_t)n, sizeof **step, by_value);
  return n;
}

/* What `latest` names, if that file is whole. */
static char *
from_latest(const char *dir)
{
  char *file = hy_path_join(dir, "latest"), *path = NULL;
  hy_buf text = {0};

  if (hy_path_exists(file) && !hy_file_read(file, &text)) {
    text.data[strcspn(text.data, "\n")] = '\0';
    if (text.data[0] && !strchr(text.data, '/'))
      path = hy_path_join(dir, text.data);
    if (path && hy_ckpt_verify(path)) {
      if (!hy_path_exists(path)) /* else find_newest says what it has */
        fprintf(stderr, "hymn: note: %s names %s, which is missing\n", file,
                text.data);
      free(path);
      path = NULL;
    }
  }
  hy_err_clear();
  free(text.data);
  free(file);
  return path;
}

static int
find_newest(char **path, const char *dir)
{
  int64_t *step = NULL;
  int n;

  if ((*path = from_latest(dir)))
    return HY_OK;
  n = hy_ckpt_list(dir, &step);
  for (int i = n - 1; i >= 0 && !*path; i--) {
    *path = hy_ckpt_name(dir, step[i]);
    if (hy_ckpt_verify(*path)) {
      fprintf(stderr, "hymn: note: %s\n", hy_err_text());
      hy_err_clear();
      free(*path);
      *path = NULL;
    }
  }
  free(step);
  if (*path) {
    fprintf(stderr, "hymn: note: %s: taking the newest whole checkpoint, %s\n",
            dir, *path);
    return HY_OK;
  }
  if (n)
    return hy_fail(HY_EDATA, "%s: none of its %d checkpoints is whole", dir, n);
  return hy_fail(HY_EFILE, "%s: holds no checkpoint (step_NNNNNNN.h5)", dir);
}

static int
find_step(char **path, const char *dir, int64_t step)
{
  int64_t *have = NULL;
  hy_buf list = {0};
  int n, err = 0;

  *path = hy_ckpt_name(dir, step);
  if (hy_path_exists(*path))
    return HY_OK;
  n = hy_ckpt_list(dir, &have);
  for (int i = 0; i < n; i++)
    hy_buf_printf(&list, "%s%lld", i ? ", " : "", (long long)have[i]);
  err = hy_fail(HY_EFILE, "%s: no checkpoint of step %lld; there are: %.200s",
                dir, (long long)step, n ? list.data : "none");
  free(list.data);
  free(have);
  free(*path);
  *path = NULL;
  return err;
}

int
hy_ckpt_find(char **path, const char *dir_or_file, int64_t step)
{
  int64_t have = 0;
  hid_t file, g;
  int err;

  *path = NULL;
  if (hy_path_is_dir(dir_or_file))
    return step > 0 ? find_step(path, dir_or_file, step)
                    : find_newest(path, dir_or_file);
  if (step > 0) {
    if ((err = hy_ckpt_open(&file, dir_or_file)))
      return err;
    g = H5Gopen2(file, "/state", H5P_DEFAULT);
    if (g >= 0) {
      hy_h5_get_i64(g, "step", &have);
      H5Gclose(g);
    }
    H5Fclose(file);
    if (have != step)
      return hy_fail(HY_EFILE, "%s: is of step %lld, not %lld", dir_or_file,
                     (long long)have, (long long)step);
  } else if (!hy_path_exists(dir_or_file))
    return hy_fail(HY_EFILE, "%s: does not exist", dir_or_file);
  *path = hy_strdup(dir_or_file);
  return HY_OK;
}

int
hy_ckpt_find_shared(char **path, const char *dir_or_file, int64_t step,
                    const hy_comm *comm)
{
  size_t n = 0;
  int err = HY_OK;

  *path = NULL;
  if (comm->rank == 0)
    err = hy_ckpt_find(path, dir_or_file, step);
  err = hy_agree(comm, err);
  if (err)
    return err;
  n = comm->rank == 0 ? strlen(*path) + 1 : 0;
  hy_bcast(comm, &n, sizeof n, 0);
  if (comm->rank != 0)
    *path = hy_malloc(n);
  hy_bcast(comm, *path, n, 0);
  return HY_OK;
}

int
hy_ckpt_open(hid_t *file, const char *path)
{
  int err = hy_ckpt_verify(path);
  hid_t access;

  *file = -1;
  if (err)
    return err;
  hy_h5_quiet();
  access = hy_h5_access();
  *file = H5Fopen(path, H5F_ACC_RDONLY, access);
  H5Pclose(access);
  if (*file < 0)
    return hy_fail(HY_EFILE, "%s: HDF5 cannot open this file", path);
  return HY_OK;
}

int
hy_ckpt_text(hy_buf *out, const char *path, const char *name)
{
  hid_t file;
  int err = hy_ckpt_open(&file, path);

  if (err)
    return err;
  if (hy_h5_get_text(file, name, out))
    err = hy_fail(HY_EDATA, "%s: has no attribute %s", path, name);
  H5Fclose(file);
  return err;
}

int
hy_ckpt_deck(hy_buf *text, const char *path)
{
  return hy_ckpt_text(text, path, "deck");
}

int
hy_ckpt_formats(hy_fmt *fmt, const hy_plan *plan, const char *path)
{
  hid_t file;
  int err = hy_ckpt_open(&file, path);

  if (err)
    return err;
  for (int i = 0; i < plan->n_spec; i++) {
    char name[HY_NAME_LEN], *full;
    hy_buf text = {0};
    hid_t set;

    hy_spec_stack_name(name, plan->spec + i);
    full = hy_asprintf("/model/%s", name);
    set = H5Dopen2(file, full, H5P_DEFAULT);
    fmt[i] = HY_F32;
    if (set >= 0 && hy_h5_has(set, "source_dtype") &&
        !hy_h5_get_text(set, "source_dtype", &text) &&
        !strcmp(text.data, hy_fmt_name(HY_BF16)))
      fmt[i] = HY_BF16;
    if (set >= 0)
      H5Dclose(set);
    free(text.data);
    free(full);
  }
  H5Fclose(file);
  return HY_OK;
}
