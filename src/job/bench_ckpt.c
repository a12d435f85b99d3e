/* bench_ckpt: checkpoints against plain writes of the same bytes by the same
 * ranks to the same disk, in turn so that both meet the same machine. */
#include "base/err.h"
#include "base/file.h"
#include "base/median.h"
#include "io/ckpt.h"
#include "job/job.h"
#include "model/count.h"
#include "model/model.h"
#include "optim/adamw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WARM_UP = 1 };

/* n bytes of this rank at byte `at` of the file, down to the disk. */
static int
write_raw(const char *path, const char *data, size_t n, size_t at)
{
  int fd = open(path, O_WRONLY | O_CREAT, 0666), bad = fd < 0;

  while (!bad && n > 0) {
    ssize_t k = pwrite(fd, data, n, (off_t)at);

    if (k > 0) {
      data += k;
      at += (size_t)k;
      n -= (size_t)k;
    } else
      bad = k == 0 || errno != EINTR;
  }
  bad = bad || fsync(fd);
  if (fd >= 0)
    bad = close(fd) || bad;
  if (bad)
    return hy_fail(HY_EFILE, "%s: cannot write: %s", path, strerror(errno));
  return HY_OK;
}

/* Seconds of one plain write; all ranks begin and end together. */
static int
time_raw(const char *path, const float *data, size_t n, const hy_comm *world,
         double *seconds)
{
  int err = HY_OK;

  if (world->rank == 0)
    unlink(path);
  err = hy_agree(world, err);
  *seconds = MPI_Wtime();
  err = write_raw(path, (const char *)data, n, n * (size_t)world->rank);
  err = hy_agree(world, err);
  *seconds = MPI_Wtime() - *seconds;
  if (world->rank == 0)
    unlink(path);
  return err;
}

/* Like the plain file, outside the time. */
static void
remove_ckpt(const char *dir, int64_t step)
{
  char *name = hy_asprintf("step_%07lld.h5", (long long)step);
  char *path = hy_path_join(dir, name);

  unlink(path);
  free(path);
  free(name);
}

/* The same number of bytes either way: three floats a parameter. */
static int
run_times(const hy_deck *d, const hy_model *m, const hy_adamw *a,
          const hy_grid *grid)
{
  const hy_comm *world = &grid->world;
  int64_t n = d->optim.n_steps;
  size_t bytes = 12 * (size_t)hy_plan_n_params(&m->plan);
  size_t each = bytes / (size_t)world->size;
  double *raw = hy_calloc((size_t)n, sizeof *raw), s;
  double *ckpt = hy_calloc((size_t)n, sizeof *ckpt);
  char *path = hy_path_join(d->job.dir, "raw.tmp");
  float *data = hy_malloc(each + 1);
  int err = HY_OK;

  memset(data, 7, each);
  for (int64_t i = -WARM_UP; i < n && !err; i++) {
    hy_ckpt_state st = {.step = i + WARM_UP};

    err = time_raw(path, data, each, world, &s);
    if (err)
      break;
    raw[i < 0 ? 0 : i] = (double)bytes / s;
    s = MPI_Wtime();
    err = hy_ckpt_write(d->job.dir, &m->params, a->m, a->v, &st, d, grid, 0);
    ckpt[i < 0 ? 0 : i] = (double)bytes / (MPI_Wtime() - s);
    if (!err && world->rank == 0)
      remove_ckpt(d->job.dir, st.step);
    if (!err && world->rank == 0 && i >= 0)
      printf("plain %.0f MB/s  checkpoint %.0f MB/s\n", raw[i] / 1e6,
             ckpt[i] / 1e6);
  }
  if (!err && world->rank == 0) {
    double p = hy_median(raw, n), q = hy_median(ckpt, n);

    printf("%d ranks, %.0f MB: median plain %.0f MB/s  checkpoint %.0f MB/s  "
           "ratio %.3f\n",
           world->size, (double)bytes / 1e6, p / 1e6, q / 1e6, q / p);
  }
  free(path);
  free(data);
  free(raw);
  free(ckpt);
  return err;
}

static int
bench_ckpt_run(hy_deck *d, const hy_grid *grid)
{
  hy_model m = {0};
  hy_adamw a = {0};
  int err = HY_OK;

  if (d->optim.n_steps < 1)
    err = hy_fail(HY_EDECK, "optim.n_steps: at least 1 for "
                            "job.kind='bench_ckpt'");
  if (!err && grid->world.rank == 0)
    err = hy_make_dirs(d->job.dir);
  if (!err)
    err = hy_model_new_zero(&m, &d->model, grid, hy_params_how(&d->optim));
  if (!err)
    err = hy_adamw_new(&a, &m.params);
  err = hy_agree(&grid->world, err);
  if (!err) {
    hy_params_init(&m.params, (uint64_t)d->job.seed);
    err = run_times(d, &m, &a, grid);
  }
  hy_adamw_free(&a);
  hy_model_free(&m);
  return err;
}

const hy_job hy_job_bench_ckpt = {
    .name = "bench_ckpt",
    .help = "time checkpoints against plain writes of the same bytes",
    .run = bench_ckpt_run};
