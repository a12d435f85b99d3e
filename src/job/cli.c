#include "job/cli.h"
#include "gpu/device.h"
#include "job/dry_run.h"
#include "job/health.h"
#include "job/inspect.h"
#include "job/job.h"
#include "job/jobs.h"
#include "base/version.h"
#include "base/err.h"
#include "grid/share.h"
#include "grid/watch.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage_text[] =
    "usage: hymn DECK [group.key=value ...]   run a deck (mpirun, srun, "
    "alone)\n"
    "       hymn --dry-run DECK [...]         check it and show what it needs\n"
    "       hymn --keys [group]               every key of a deck\n"
    "       hymn --jobs                       what job.kind can be\n"
    "       hymn --inspect FILE               what a file of hymn holds\n"
    "       hymn --inspect --verify FILE [INPUT ...]\n"
    "                                         hash it again; was it made from\n"
    "                                         INPUT (data, tokenizer, weights)\n"
    "       hymn --check [DECK] [...]         nodes, MPI, GPUs, files (under "
    "mpirun)\n"
    "       hymn --version, hymn --help\n";

static const char help_text[] =
    "\n"
    "A deck is Fortran-namelist text, one group per concern:\n"
    "\n"
    "  &job   kind='pretrain', dir='runs/a' /   ! comment\n"
    "  &optim lr=1e-3, betas=0.9,0.95 /\n"
    "\n"
    "Paths in a deck are relative to the deck, on the command line to the\n"
    "current directory. What the command line gives wins over the deck, the\n"
    "deck over config.json of model.from, that over the defaults.\n"
    "\n"
    "exit codes: 0 good, 1 usage, 2 deck, 3 file, 4 data, 5 resources,\n"
    "6 diverged, 7 bug, 8 saved on a signal (start it again)\n";

/* An integer that launchers put into the environment, -1 without one. */
static int
launcher_int(const char *const *name)
{
  for (; *name; name++) {
    const char *s = getenv(*name);

    if (s && *s)
      return atoi(s);
  }
  return -1;
}

static int
launcher_rank(void)
{
  static const char *const name[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK",
                                     "PMI_RANK", "SLURM_PROCID", NULL};

  return launcher_int(name);
}

static int
launcher_size(void)
{
  static const char *const name[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", NULL};
  int n = launcher_int(name);

  return n > 0 ? n : 1;
}

/* One line on stderr, whatever the text holds. */
static int
report(int err)
{
  char *text = hy_err_text();

  if (!err || (err == HY_ESIGNAL && !*text))
    return err;
  if (!*text)
    snprintf(
        text, HY_ERR_LEN,
        "internal: a failure without a message (code %d); please report it",
        err);
  for (char *s = text; *s; s++)
    if ((unsigned char)*s < ' ')
      *s = ' ';
  fflush(stdout);
  fprintf(stderr, "hymn: error: %s\n", text);
  return err;
}

/* Deck and overrides. Not collective. */
static int
read_deck(hy_deck *deck, int n, char **arg)
{
  int err = hy_deck_read(deck, arg[0]);

  for (int i = 1; !err && i < n; i++)
    if (arg[i][0] == '-')
      err = hy_fail(HY_EUSAGE,
                    "command line: '%.64s' after the deck; options come first "
                    "(hymn --help)",
                    arg[i]);
    else
      err = hy_deck_set(deck, arg[i]);
  return err;
}

static int
cmd_version(int n, char **arg)
{
  (void)n;
  (void)arg;
  hy_version_print(stdout);
  hy_device_print(stdout);
  return HY_OK;
}

static int
cmd_help(int n, char **arg)
{
  (void)n;
  (void)arg;
  printf("%s%s", usage_text, help_text);
  return HY_OK;
}

static int
cmd_jobs(int n, char **arg)
{
  (void)n;
  (void)arg;
  hy_job_list(stdout);
  return HY_OK;
}

static int
cmd_keys(int n, char **arg)
{
  return hy_deck_keys(stdout, n ? arg[0] : NULL);
}

static int
cmd_inspect(int n, char **arg)
{
  if (!strcmp(arg[0], "--verify") && n > 1)
    return hy_inspect_verify(arg[1], arg + 2, n - 2);
  if (n > 1 || arg[0][0] == '-')
    return hy_fail(HY_EUSAGE, "command line: usage is hymn --inspect FILE, or "
                              "hymn --inspect --verify FILE [INPUT ...]");
  return hy_inspect(arg[0]);
}

static int
cmd_dry_run(int n, char **arg)
{
  hy_deck *deck = hy_malloc(sizeof *deck);
  int err;

  hy_deck_init(deck);
  err = read_deck(deck, n, arg);
  if (!err && !hy_job_find(deck->job.kind))
    err = hy_job_unknown(arg[0], deck->job.kind);
  if (!err)
    err = hy_dry_run(deck, launcher_size());
  hy_deck_free(deck);
  free(deck);
  return err;
}

/* Commands that answer without MPI. */
static const struct {
  const char *name, *args;
  int n_min, n_max;
  int (*run)(int n, char **arg);
} command[] = {
    {"--dry-run", "DECK [group.key=value ...]", 1, 1 << 20, cmd_dry_run},
    {"--keys", "[group]", 0, 1, cmd_keys},
    {"--jobs", "", 0, 0, cmd_jobs},
    {"--inspect", "[--verify] FILE [INPUT ...]", 1, 1 << 20, cmd_inspect},
    {"--version", "", 0, 0, cmd_version},
    {"--help", "", 0, 0, cmd_help},
};

static int
run_command(int n, char **arg)
{
  if (n == 0) {
    fputs(usage_text, stderr);
    return HY_EUSAGE;
  }
  for (size_t i = 0; i < sizeof command / sizeof *command; i++)
    if (!strcmp(arg[0], command[i].name)) {
      if (n - 1 >= command[i].n_min && n - 1 <= command[i].n_max)
        return report(command[i].run(n - 1, arg + 1));
      return report(hy_fail(HY_EUSAGE, "command line: usage is hymn %s %s",
                            command[i].name, command[i].args));
    }
  return report(hy_fail(HY_EUSAGE,
                        "command line: unknown option %.64s; see hymn --help",
                        arg[0]));
}

/* Under a launcher all ranks answer, so that all return the same code, and one
 * of them is heard. */
static int
run_quietly(int n, char **arg)
{
  const struct timespec pause = {.tv_nsec = 300000000};
  int err;

  if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
    return HY_EFILE;
  err = run_command(n, arg);
  /* launchers end all ranks when one fails: the first rank speaks before */
  if (err)
    nanosleep(&pause, NULL);
  return err;
}

/* Read on rank 0, spread. */
static int
share_deck(hy_deck *deck, const hy_comm *world, int n, char **arg)
{
  int err = HY_OK;

  if (world->rank == 0)
    err = read_deck(deck, n, arg);
  err = hy_agree(world, err);
  return err ? err : hy_deck_share(deck, world);
}

/* hymn --check: the ranks as one dp axis, whatever the deck's layout. */
static int
check_ranks(hy_deck *deck, const hy_comm *world, int n, char **arg)
{
  hy_deck_grid flat;
  hy_deck empty;
  hy_grid grid;
  int err = n ? share_deck(deck, world, n, arg) : HY_OK;

  hy_deck_init(&empty);
  flat = empty.grid;
  hy_deck_free(&empty);
  if (!err)
    err = hy_grid_new(&grid, world->mpi, &flat);
  if (err)
    return err;
  err = hy_health(deck, &grid);
  hy_grid_free(&grid);
  return err;
}

/* Lay out and run. */
static int
run_deck(hy_deck *deck, const hy_comm *world, int n, char **arg)
{
  const hy_job *job = NULL;
  hy_grid grid;
  int err = share_deck(deck, world, n, arg);

  if (!err && deck->grid.n_ranks && deck->grid.n_ranks != world->size)
    err = hy_fail(HY_EDECK,
                  "%s: grid.n_ranks=%lld, but the launcher started %d; start "
                  "that many, or set grid.n_ranks=0 (other numbers are for "
                  "--dry-run)",
                  arg[0], (long long)deck->grid.n_ranks, world->size);
  if (!err && !(job = hy_job_find(deck->job.kind)))
    err = hy_job_unknown(arg[0], deck->job.kind);
  if (!err)
    err = hy_grid_new(&grid, world->mpi, &deck->grid);
  if (!err) {
    grid.row_len = deck->data.seq_len;
    grid.watch = hy_watcher_new(&grid, deck->job.dir,
                                job->patient ? 0 : deck->job.timeout_minutes,
                                job->heeds);
    if (job->computes)
      err = hy_device_open(&grid, deck);
    if (!err)
      err = job->run(deck, &grid);
    hy_device_close(&grid);
    hy_watcher_free(grid.watch);
    hy_grid_free(&grid);
  }
  return err;
}

static int
find_pmix(struct dl_phdr_info *lib, size_t size, void *path)
{
  (void)size;
  if (lib->dlpi_name && strstr(lib->dlpi_name, "/mca_pmix_"))
    snprintf(path, HY_ERR_LEN, "%s", lib->dlpi_name);
  return 0;
}

/* Open MPI 4.1 unloads its PMIx component in MPI_Finalize while a thread may
 * still be about to call into it: one good run in some hundred on a busy
 * machine ended with SIGSEGV (open-mpi/ompi#10117). It stays loaded. */
static void
keep_pmix(void)
{
  char path[HY_ERR_LEN] = "";

  dl_iterate_phdr(find_pmix, path);
  if (*path)
    dlopen(path, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

typedef int under_mpi(hy_deck *deck, const hy_comm *world, int n, char **arg);

static int
run_mpi(under_mpi *run, int n, char **arg)
{
  hy_deck *deck = hy_malloc(sizeof *deck);
  hy_comm world;
  int err, level;

  signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write */
  hy_watcher_block();
  /* MPI is called outside of OpenMP regions only */
  MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
  keep_pmix();
  world = hy_comm_of(MPI_COMM_WORLD);
  setvbuf(stdout, NULL, _IOLBF, 0); /* step lines reach a log as they come */
  hy_deck_init(deck);
  err = run(deck, &world, n, arg);
  hy_deck_free(deck);
  free(deck);
  if (world.rank == 0)
    report(err);
  MPI_Finalize();
  return err;
}

int
hy_cli(int argc, char **argv)
{
  if (argc >= 2 && !strcmp(argv[1], "--check"))
    return run_mpi(check_ranks, argc - 2, argv + 2);
  if (argc < 2 || argv[1][0] == '-')
    return launcher_rank() > 0 ? run_quietly(argc - 1, argv + 1)
                               : run_command(argc - 1, argv + 1);
  return run_mpi(run_deck, argc - 1, argv + 1);
}
