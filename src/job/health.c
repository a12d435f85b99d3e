#include "job/health.h"
#include "base/err.h"
#include "base/file.h"
#include "base/version.h"
#include "gpu/device.h"
#include "op/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
  HOST = 64,        /* bytes of a name */
  N_SUM = 1 << 20,  /* numbers of the test sum */
  N_FILE = 1 << 24, /* bytes that a rank writes */
  N_REPEAT = 3
};

/* One line of the report; returns whether it is a failure. */
static int
say(const hy_grid *grid, int bad, const char *what, const char *text)
{
  if (grid->world.rank == 0)
    printf("%-7s %s%s\n", bad ? "FAILED" : "ok", what, text);
  return bad;
}

/* ---- nodes ----------------------------------------------------------------
 */

static int
check_nodes(const hy_grid *grid)
{
  const hy_comm *w = &grid->world;
  char mine[HOST] = "", *all = hy_calloc((size_t)w->size, HOST), line[256];
  int n_node = 0, most = 0;

  gethostname(mine, sizeof mine - 1);
  MPI_Allgather(mine, HOST, MPI_CHAR, all, HOST, MPI_CHAR, w->mpi);
  for (int i = 0; i < w->size; i++) {
    int n = 0, first = 1;

    for (int j = 0; j < w->size; j++) {
      int same = !strcmp(all + (size_t)i * HOST, all + (size_t)j * HOST);

      n += same;
      first &= !(same && j < i);
    }
    n_node += first;
    most = n > most ? n : most;
  }
  snprintf(line, sizeof line,
           "%d ranks on %d node(s), at most %d on one; %.1f GiB of memory on "
           "that of rank 0",
           w->size, n_node, most, (double)hy_mem_physical() / (1 << 30));
  free(all);
  return say(grid, 0, "nodes: ", line);
}

/* All ranks are the same program. */
static int
check_version(const hy_grid *grid)
{
  const hy_comm *w = &grid->world;
  char first[128], line[256];
  int bad;

  snprintf(first, sizeof first, "%s", hy_version());
  hy_bcast(w, first, sizeof first, 0);
  bad = (int)hy_max_i64(w, strcmp(first, hy_version()) != 0);
  snprintf(line, sizeof line, "%s%s", first,
           bad ? "; another one on some ranks: install it on all nodes" : "");
  return say(grid, bad, "hymn ", line);
}

/* ---- sums -----------------------------------------------------------------
 */

/* Rank r gives r + i % 7: the sum is known. */
static int
sum_is_right(const hy_comm *w, const float *x)
{
  double ranks = 0.5 * w->size * (w->size - 1);

  for (int64_t i = 0; i < N_SUM; i++)
    if (x[i] != (float)(ranks + (double)w->size * (double)(i % 7)))
      return 0;
  return 1;
}

/* The sum over all ranks of numbers where the tensors of this grid lie: over
 * dp_cp, which moves them (grid.world is for arrays of the host). */
static int
check_sum(const hy_grid *grid, const char *what)
{
  const hy_mem *mem = hy_backend_of(grid)->mem;
  const hy_comm *w = &grid->dp_cp;
  float *x = hy_malloc(N_SUM * sizeof *x);
  float *there = mem->get(N_SUM * sizeof *x);
  float *scratch = mem->get(sizeof *x * hy_sum_room(w, N_SUM));
  double best = 1e30;
  char line[128];
  int bad = !there || !scratch;

  for (int k = 0; k < N_REPEAT && !bad; k++) {
    double t;

    for (int64_t i = 0; i < N_SUM; i++)
      x[i] = (float)(w->rank + i % 7);
    mem->load(there, x, N_SUM * sizeof *x);
    hy_agree(w, HY_OK);
    t = MPI_Wtime();
    hy_sum_f32(w, there, scratch, N_SUM);
    mem->wait();
    t = MPI_Wtime() - t;
    best = t < best ? t : best;
    mem->read(x, there, N_SUM * sizeof *x);
    bad = !sum_is_right(w, x);
  }
  bad = (int)hy_max_i64(w, bad);
  snprintf(line, sizeof line, "sum of 4 MiB over %d ranks %s, %.2f ms", w->size,
           bad ? "is wrong" : "is right", 1e3 * best);
  if (there)
    mem->put(there);
  if (scratch)
    mem->put(scratch);
  free(x);
  return say(grid, bad, what, line);
}

/* ---- device ---------------------------------------------------------------
 */

static int
check_device(const hy_deck *d, hy_grid *grid)
{
  char line[HY_ERR_LEN];
  int err = hy_device_open(grid, d), bad;

  if (err) {
    snprintf(line, sizeof line, "%s", hy_err_text());
    hy_err_clear();
    return say(grid, 1, "device: ", line);
  }
  if (!grid->backend) {
    if (grid->world.rank == 0)
      hy_device_print(stdout);
    return say(grid, 0, "device: ", "CPU, as job.device says");
  }
  snprintf(line, sizeof line, "%s; %.1f GiB free for rank 0",
           hy_device_line(grid),
           (double)hy_backend_of(grid)->mem->room() / (1 << 30));
  bad = say(grid, 0, "device: ", line);
  bad |= check_sum(grid, "device: ");
  hy_device_close(grid);
  return bad;
}

/* ---- files ----------------------------------------------------------------
 */

/* Write, read back, compare, remove. */
static int
try_file(const char *path, int rank)
{
  char *data = hy_malloc(N_FILE);
  hy_buf back = {0};
  int err;

  for (int64_t i = 0; i < N_FILE; i++)
    data[i] = (char)(i * 31 + i / 4096 + rank);
  err = hy_file_write(path, data, N_FILE);
  if (!err)
    err = hy_file_read(path, &back);
  if (!err && (back.len != N_FILE || memcmp(back.data, data, N_FILE)))
    err = hy_fail(HY_EFILE, "%s: what was read is not what was written", path);
  unlink(path);
  free(back.data);
  free(data);
  return err;
}

static int
check_files(const hy_deck *d, const hy_grid *grid)
{
  const hy_comm *w = &grid->world;
  char *path, line[HY_ERR_LEN + 64];
  struct statvfs fs;
  double t;
  int made = !hy_path_is_dir(d->job.dir), err;

  hy_bcast(w, &made, sizeof made, 0);
  err = hy_agree(w, w->rank == 0 ? hy_make_dirs(d->job.dir) : HY_OK);
  t = MPI_Wtime();
  path = hy_asprintf("%s/.check.%d", d->job.dir, w->rank);
  if (!err)
    err = hy_agree(w, try_file(path, w->rank));
  t = MPI_Wtime() - t;
  if (err)
    snprintf(line, sizeof line, "%s", hy_err_text());
  else if (statvfs(d->job.dir, &fs) == 0)
    snprintf(line, sizeof line,
             "%s: %d ranks wrote and read %d MiB each in %.2f s, %.1f GiB free",
             d->job.dir, w->size, N_FILE >> 20, t,
             (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30));
  if (made && w->rank == 0)
    rmdir(d->job.dir);
  hy_err_clear();
  free(path);
  return say(grid, err != HY_OK, "files: ", line);
}

int
hy_health(const hy_deck *d, hy_grid *grid)
{
  int bad = check_nodes(grid);

  bad |= check_version(grid);
  bad |= check_sum(grid, "MPI: ");
  bad |= check_device(d, grid);
  bad |= check_files(d, grid);
  fflush(stdout);
  if (bad)
    return hy_fail(HY_ERES, "check: something failed; see the lines above");
  return HY_OK;
}
