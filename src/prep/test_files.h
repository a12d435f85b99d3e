/* test_files.h: files of a unit test, in a folder of its own. */
#ifndef HYMN_PREP_TEST_FILES_H
#define HYMN_PREP_TEST_FILES_H

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char *dir;

static char *
in_dir(const char *name)
{
  return hy_path_join(dir, name);
}

/* Write a file; its path, which the caller frees. */
static char *
put(const char *name, const void *data, size_t n)
{
  char *path = in_dir(name);
  FILE *f = fopen(path, "wb");

  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

static inline char *
put_text(const char *name, const char *text)
{
  return put(name, text, strlen(text));
}

static char *
put_gz(const char *name, const char *text)
{
  char *path = in_dir(name);
  gzFile f = gzopen(path, "wb");

  assert_int_equal(gzwrite(f, text, (unsigned)strlen(text)), strlen(text));
  assert_int_equal(gzclose(f), Z_OK);
  return path;
}

static void
drop(char *path)
{
  unlink(path);
  free(path);
}

/* The folder of a test program, before its tests; and away with it after. */
static void
make_dir(const char *name)
{
  const char *top = getenv("HYMN_TESTDIR");

  dir = hy_asprintf("%s/%s.%d", top ? top : ".", name, (int)getpid());
  assert_int_equal(hy_make_dirs(dir), 0);
}

static int
drop_dir(int failed)
{
  rmdir(dir);
  free(dir);
  return failed;
}

#endif
