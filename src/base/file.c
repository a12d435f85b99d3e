#include "base/file.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

char *
hy_path_join(const char *dir, const char *name)
{
  size_t n;

  if (name[0] == '/' || !dir || !dir[0] || !strcmp(dir, "."))
    return hy_strdup(name);
  n = strlen(dir);
  return hy_asprintf("%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

char *
hy_path_dir(const char *path)
{
  const char *slash = strrchr(path, '/');

  if (!slash)
    return hy_strdup(".");
  return hy_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *
hy_path_name(const char *path)
{
  const char *slash = strrchr(path, '/');

  return slash ? slash + 1 : path;
}

int
hy_path_ends(const char *path, const char *suffix)
{
  size_t n = strlen(path), m = strlen(suffix);

  return n >= m && !strcmp(path + n - m, suffix);
}

int
hy_path_exists(const char *path)
{
  struct stat st;

  return stat(path, &st) == 0;
}

int
hy_path_is_dir(const char *path)
{
  struct stat st;

  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int
hy_make_dirs(const char *path)
{
  char *p = hy_strdup(path);
  int bad = 0;

  for (char *s = p + 1; !bad && *s; s++)
    if (*s == '/') {
      *s = '\0';
      bad = mkdir(p, 0777) && errno != EEXIST;
      *s = '/';
    }
  bad = bad || (mkdir(p, 0777) && errno != EEXIST);
  free(p);
  if (bad || !hy_path_is_dir(path))
    return hy_fail(HY_EFILE, "%s: cannot make this directory: %s", path,
                   strerror(bad ? errno : ENOTDIR));
  return HY_OK;
}

int
hy_file_read(const char *path, hy_buf *out)
{
  char buf[1 << 14];
  FILE *f = fopen(path, "rb");
  size_t n;
  int bad;

  if (!f)
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  hy_buf_add(out, "", 0);
  while ((n = fread(buf, 1, sizeof buf, f)) > 0)
    hy_buf_add(out, buf, n);
  bad = ferror(f) ? errno : 0;
  fclose(f);
  if (bad)
    return hy_fail(HY_EFILE, "%s: read failed: %s", path, strerror(bad));
  return HY_OK;
}

int
hy_file_is_full(int why)
{
  return why == ENOSPC || why == EDQUOT || why == EFBIG;
}

int
hy_file_failed(const char *path, int why)
{
  if (hy_file_is_full(why))
    return hy_fail(HY_ERES, "%s: disk full; free some space and run again",
                   path);
  return hy_fail(HY_EFILE, "%s: cannot write: %s", path, strerror(why));
}

int
hy_file_commit(const char *tmp, const char *path)
{
  char *dir = hy_path_dir(path);
  int fd = open(tmp, O_RDONLY), err = 0, dfd;

  if (fd < 0 || fsync(fd))
    err = errno;
  if (fd >= 0)
    close(fd);
  if (!err && rename(tmp, path))
    err = errno;
  if (!err && (dfd = open(dir, O_RDONLY)) >= 0) {
    fsync(dfd); /* some file systems cannot; the rename has happened */
    close(dfd);
  }
  free(dir);
  if (!err)
    return HY_OK;
  unlink(tmp);
  return hy_file_failed(path, err);
}

/* Linux moves less than 2 GiB in one call whatever is asked. */
#define CALL_MAX ((size_t)512 << 20)

static int
move(int fd, char *p, size_t n, int64_t at, int write)
{
  while (n > 0) {
    size_t m = n < CALL_MAX ? n : CALL_MAX;
    ssize_t k =
        write ? pwrite(fd, p, m, (off_t)at) : pread(fd, p, m, (off_t)at);

    if (k < 0 && errno != EINTR)
      return errno;
    if (k == 0)
      return EIO;
    if (k > 0) {
      p += k;
      n -= (size_t)k;
      at += k;
    }
  }
  return 0;
}

int
hy_file_put(int fd, const void *data, size_t n, int64_t at)
{
  return move(fd, (char *)(uintptr_t)data, n, at, 1);
}

int
hy_file_get(int fd, void *data, size_t n, int64_t at)
{
  return move(fd, data, n, at, 0);
}

int
hy_file_room(const char *path, int64_t *n)
{
  int fresh = *n > 0, why;
  int fd = open(path, fresh ? O_WRONLY | O_CREAT | O_TRUNC : O_WRONLY, 0666);
  struct stat st = {0};
  struct statvfs vfs;

  if (fd < 0)
    return errno;
  if (!fresh && !fstat(fd, &st))
    *n = (int64_t)st.st_size;
  why = fallocate(fd, 0, 0, (off_t)*n) ? errno : 0;
  if (why == EOPNOTSUPP || why == ENOSYS || why == EINVAL)
    why = !fstatvfs(fd, &vfs) && (double)vfs.f_bavail * (double)vfs.f_frsize <
                                     (double)*n - 512. * (double)st.st_blocks
              ? ENOSPC
              : 0;
  if (fresh && ftruncate(fd, 0) && !why)
    why = errno;
  close(fd);
  return why;
}

int
hy_file_write(const char *path, const void *data, size_t n)
{
  char *tmp = hy_asprintf("%s.tmp%ld", path, (long)getpid());
  int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666), err = 0;

  if (fd < 0) {
    err = hy_file_failed(path, errno);
    free(tmp);
    return err;
  }
  err = hy_file_put(fd, data, n, 0);
  if (close(fd) && !err)
    err = errno;
  if (err) {
    unlink(tmp);
    err = hy_file_failed(path, err);
  } else
    err = hy_file_commit(tmp, path);
  free(tmp);
  return err;
}
