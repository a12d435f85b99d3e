/* bench_data: the data side, each part against a limit of the same run: prepare
 * on all ranks against one, its memory with ten times the input, how full the
 * rows are, tokenizers, the loader within training steps. */
#include "job/bench_data.h"
#include "base/err.h"
#include "base/file.h"
#include "base/median.h"
#include "base/mem.h"
#include "data/packed.h"
#include "job/job.h"
#include "prep/prepare.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MORE = 10 }; /* times the input, for memory */

/* One prepare from the beginning by the ranks of comm, all of world waiting for
 * its end; its seconds. */
static int
time_prepare(const hy_deck *d, const hy_comm *comm, const hy_comm *world,
             double *seconds)
{
  FILE *quiet = fopen("/dev/null", "w");
  int err = HY_OK;

  if (world->rank == 0)
    unlink(d->prepare.output);
  err = hy_agree(world, err);
  *seconds = MPI_Wtime();
  if (comm)
    err = hy_prepare(d, comm, quiet);
  err = hy_agree(world, err);
  *seconds = MPI_Wtime() - *seconds;
  if (quiet)
    fclose(quiet);
  return err;
}

static double
peak_mib(const hy_comm *world)
{
  return (double)hy_max_i64(world, (int64_t)hy_mem_peak()) / (1 << 20);
}

/* Every input, named ten times. */
static hy_strs
ten_times(const hy_strs *once)
{
  hy_strs more = {once->n * MORE, NULL};

  more.s = hy_malloc((size_t)more.n * sizeof *more.s);
  for (int i = 0; i < more.n; i++)
    more.s[i] = once->s[i % once->n];
  return more;
}

/* The largest process after a prepare of `once`, and after one of the deck's
 * inputs, ten times as much. First of all: a peak does not come down again. */
static int
measure_memory(hy_deck *d, const hy_strs *once, const hy_comm *world)
{
  hy_strs more = d->prepare.input;
  double seconds, peak, large;
  int err;

  d->prepare.input = *once;
  err = time_prepare(d, world, world, &seconds);
  d->prepare.input = more;
  peak = peak_mib(world);
  if (!err)
    err = time_prepare(d, world, world, &seconds);
  large = peak_mib(world);
  if (!err && world->rank == 0)
    printf("memory of prepare: %.1f MiB in the largest rank, %.1f with %d "
           "times the input, ratio %.3f\n",
           peak, large, MORE, large / peak);
  return err;
}

static int
measure_prepare(const hy_deck *d, const hy_comm *world)
{
  int64_t n = d->bench.n_times;
  double *one = hy_calloc((size_t)n, sizeof *one);
  double *all = hy_calloc((size_t)n, sizeof *all);
  hy_comm self = hy_comm_of(MPI_COMM_SELF);
  int err = HY_OK;

  for (int64_t i = 0; i < n && !err; i++) {
    err = time_prepare(d, world->rank == 0 ? &self : NULL, world, &one[i]);
    if (!err)
      err = time_prepare(d, world, world, &all[i]);
  }
  if (!err && world->rank == 0) {
    double a = hy_median(one, n), b = hy_median(all, n);

    printf(
        "prepare of that: median %.3f s on 1 rank, %.3f s on %d, %.2f times as "
        "fast\n",
        a, b, world->size, a / b);
  }
  free(one);
  free(all);
  return err;
}

static int
print_full(const hy_deck *d, const hy_comm *world)
{
  hy_packed *p;
  int err = hy_packed_open(&p, d->prepare.output, world);

  if (!err && world->rank == 0)
    printf("packing %s: %lld tokens in %lld rows of %lld, %.2f %% full\n",
           d->prepare.packing, (long long)hy_packed_n_tokens(p),
           (long long)hy_packed_n_rows(p), (long long)hy_packed_seq_len(p),
           100.0 * (double)hy_packed_n_tokens(p) /
               ((double)hy_packed_n_rows(p) * (double)hy_packed_seq_len(p)));
  hy_packed_free(p);
  return err;
}

static int
check_deck(const hy_deck *d)
{
  if (d->prepare.input.n == 0 || !*d->prepare.tokenizer)
    return hy_fail(HY_EDECK, "prepare.input, prepare.tokenizer: both are "
                             "needed by job.kind='bench_data'; set them");
  if (strcmp(d->prepare.format, "hymn") || *d->prepare.blend ||
      d->prepare.split.n > 1)
    return hy_fail(HY_EDECK, "prepare.format, prepare.blend, prepare.split: "
                             "job.kind='bench_data' makes one packed file; "
                             "leave them out");
  if (d->optim.n_steps < 1)
    return hy_fail(HY_EDECK, "optim.n_steps: at least 1 for "
                             "job.kind='bench_data'");
  return HY_OK;
}

/* In job.dir, whatever the deck says. */
static int
choose_output(hy_deck *d)
{
  char *path = hy_path_join(d->job.dir, "bench_data.h5");
  int n = snprintf(d->prepare.output, sizeof d->prepare.output, "%s", path);

  free(path);
  if (n >= (int)sizeof d->prepare.output)
    return hy_fail(HY_EDECK, "job.dir: is too long; give a shorter one");
  hy_mix_clear(&d->data.train);
  hy_mix_add(&d->data.train, 1, d->prepare.output);
  d->prepare.keep_parts = 0;
  return HY_OK;
}

static int
bench_data_run(hy_deck *d, const hy_grid *grid)
{
  const hy_comm *world = &grid->world;
  hy_strs once = d->prepare.input, more = {0};
  double seconds;
  int err = check_deck(d);

  if (!err)
    err = choose_output(d);
  if (!err && world->rank == 0)
    err = hy_make_dirs(d->job.dir);
  err = hy_agree(world, err);
  if (!err) {
    more = d->prepare.input = ten_times(&once);
    err = measure_memory(d, &once, world);
  }
  if (!err)
    err = measure_prepare(d, world);
  d->prepare.input = once;
  free(more.s);
  if (!err)
    err = time_prepare(d, world, world, &seconds);
  if (!err)
    err = print_full(d, world);
  if (!err && world->rank == 0)
    err = hy_bench_encode(d);
  err = hy_agree(world, err);
  if (!err)
    err = hy_bench_loader(d, grid);
  return err;
}

const hy_job hy_job_bench_data = {
    .name = "bench_data",
    .help = "time prepare, tokenizers and the loader against limits of the run",
    .patient = 1,
    .computes = 1,
    .run = bench_data_run};
