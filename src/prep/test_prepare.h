/* test_prepare.h: runs of the job prepare in test programs, and their files. */
#ifndef HYMN_PREP_TEST_PREPARE_H
#define HYMN_PREP_TEST_PREPARE_H

#include "base/err.h"
#include "base/file.h"
#include "data/packed.h"
#include "grid/test_mpi.h"
#include "prep/prepare.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static hy_comm world;

/* ---- files and runs ---- */

static inline char *
scratch(const char *name)
{
  const char *dir = getenv("HYMN_TESTDIR");

  return hy_asprintf("%s/%s", dir ? dir : ".", name);
}

static inline void
put_file(const char *name, const void *text, size_t n)
{
  char *path = scratch(name);

  MPI_Barrier(world.mpi);
  if (world.rank == 0)
    assert_int_equal(hy_file_write(path, text, n), HY_OK);
  MPI_Barrier(world.mpi);
  free(path);
}

static inline void
set_key(hy_deck *d, const char *fmt, ...)
{
  char text[2048];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  assert_int_equal(hy_deck_set(d, text), HY_OK);
}

static hy_buf said; /* report of the latest run, on rank 0 */

/* Run with input t.NAME, output t.h5 and more keys, words with blanks between;
 * code and a word of the message are as expected. */
static inline void
prepares_on(const hy_comm *comm, const char *in, const char *keys, int code,
            const char *word)
{
  char *input = scratch(in), *output = scratch("t_prep.h5");
  char *list = hy_strdup(keys), *more = NULL;
  hy_deck d;
  FILE *out = tmpfile();
  int c;

  hy_deck_init(&d);
  set_key(&d, "prepare.input=%s", input);
  set_key(&d, "prepare.output=%s", output);
  for (char *k = strtok_r(list, " ", &more); k; k = strtok_r(NULL, " ", &more))
    set_key(&d, "%s", k);
  hy_err_clear();
  assert_int_equal(hy_prepare(&d, comm, out), code);
  if (!strstr(hy_err_text(), word))
    fail_msg("no '%s' in: %s", word, hy_err_text());
  rewind(out);
  said.len = 0;
  while ((c = getc(out)) != EOF)
    hy_buf_add(&said, &(char){(char)c}, 1);
  fclose(out);
  MPI_Barrier(comm->mpi);
  hy_deck_free(&d);
  free(list);
  free(input);
  free(output);
}

static inline void
prepares(const char *in, const char *keys, int code, const char *word)
{
  prepares_on(&world, in, keys, code, word);
}

static inline hy_packed *
opened(const char *name)
{
  char *path = scratch(name);
  hy_packed *p;

  assert_int_equal(hy_packed_open(&p, path, &world), HY_OK);
  free(path);
  return p;
}

/* Is there a file, or a part of the run? */
static inline int
there(const char *name)
{
  char *path = scratch(name);
  int yes = hy_path_exists(path);

  free(path);
  return yes;
}

static inline void
remove_all(void)
{
  static const char *const name[] = {"t_prep.h5", "t_prep_train.h5",
                                     "t_prep_valid.h5", "t_prep_test.h5",
                                     "t_prep.jsonl"};
  char *dir = scratch("t_prep.h5.parts");
  DIR *d;
  const struct dirent *e;

  MPI_Barrier(world.mpi);
  if (world.rank == 0) {
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
      char *path = scratch(name[i]);

      unlink(path);
      free(path);
    }
    d = opendir(dir);
    while (d && (e = readdir(d))) {
      char *path = hy_path_join(dir, e->d_name);

      unlink(path);
      free(path);
    }
    if (d)
      closedir(d);
    rmdir(dir);
  }
  MPI_Barrier(world.mpi);
  free(dir);
}

#endif
