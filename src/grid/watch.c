#include "grid/watch_impl.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct hy_watcher {
  const hy_meter *meter;
  hy_node node;
  hy_table table;
  hy_seen *seen; /* by rank, for reading the table */
  char host[64];
  double limit, grace, period; /* seconds; limit 0: no table, no limit */
  double awake;                /* when the thread last had been stopped */
  double put, stalled;         /* when the line was written; stalled since */
  double quiet;                /* no word on dead ranks before this time */
  _Atomic int stop, signal;
  pthread_t thread;
  int runs, heeds;
};

/* Between two looks. */
static const struct timespec tick = {.tv_nsec = 250000000};

/* A launcher that ends a run sends SIGTERM first and kills after it: deaths in
 * these seconds after a signal are its work and not a reason. */
static const double signal_quiet = 5;

static void
watched_set(sigset_t *set)
{
  sigemptyset(set);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGUSR1);
}

void
hy_watcher_block(void)
{
  sigset_t set;

  signal(SIGTERM, SIG_DFL); /* whoever started this may have ignored them */
  signal(SIGUSR1, SIG_DFL);
  watched_set(&set);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* The last line, NULL: it is told, and the end of all ranks. */
static void
end_run(const char *text)
{
  if (text)
    fprintf(stderr, "hymn: error: %s\n", text);
  alarm(10); /* should MPI not come back */
  MPI_Abort(MPI_COMM_WORLD, HY_ERES);
  _exit(HY_ERES);
}

static void
look_for_dead(hy_watcher *w, int all)
{
  char text[HY_ERR_LEN];
  int i = hy_node_dead(&w->node, all);
  const hy_peer *p;

  if (i < 0 || w->node.page->stalled)
    return;
  if (!hy_node_speak(&w->node)) {
    /* another rank of the node ends the run; if it cannot, this one does */
    if (hy_now() - w->node.missed[i] > 3 * signal_quiet)
      end_run(NULL);
    return;
  }
  p = &w->node.page->peer[i];
  snprintf(text, sizeof text,
           "rank %d (pid %d on %s) has died%s; see the system log for the "
           "reason (memory?), resume with ckpt.load='auto'",
           p->rank, p->pid, w->host,
           p->state == HY_PEER_SIGNALLED ? " of a signal" : "");
  end_run(text);
}

/* What moves data of the backend has failed; nobody may be waiting for it on
 * the host. */
static void
look_for_fault(hy_watcher *w)
{
  const char *(*fault)(void) = w->meter ? w->meter->fault : NULL;
  const char *text = fault ? fault() : NULL;

  if (text && hy_node_speak(&w->node))
    end_run(text);
}

/* Default action: the program ends as one that knows no signals. */
static void
die_of(hy_watcher *w, int sig)
{
  sigset_t set;

  if (w->node.page)
    w->node.page->peer[w->node.me].state = HY_PEER_SIGNALLED;
  signal(sig, SIG_DFL);
  sigemptyset(&set);
  sigaddset(&set, sig);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  raise(sig);
}

static void
take_signal(hy_watcher *w, int sig)
{
  int none = 0;

  look_for_dead(w, 1); /* a launcher may send it because of one */
  if (w->heeds) {
    atomic_compare_exchange_strong(&w->signal, &none, sig);
    w->quiet = hy_now() + signal_quiet;
  } else {
    die_of(w, sig);
  }
}

/* Where this rank is. */
static void
see_self(const hy_watcher *w, hy_seen *s)
{
  const hy_meter *m = w->meter;
  const char *what = m->what;
  double since = m->since, now = hy_now();

  *s = (hy_seen){.pid = (int)getpid(), .step = m->step, .seq = m->seq};
  snprintf(s->host, sizeof s->host, "%s", w->host);
  if (what)
    snprintf(s->call, sizeof s->call, "%s over %s", what,
             hy_axis_name(m->axis));
  else
    snprintf(s->call, sizeof s->call, "none yet");
  /* a machine that slept, or a stopped process, is no wait */
  s->seconds = now - (since > w->awake ? since : w->awake);
  strcpy(s->state, !m->inside                              ? "computing"
                   : w->limit > 0 && s->seconds > w->limit ? "stalled"
                                                           : "waiting");
}

/* Ranks that wait speak one after another, the lowest first: it ends them all
 * before the next one's turn. */
static void
judge(hy_watcher *w, const hy_seen *self)
{
  char text[HY_ERR_LEN];
  int before = 0;

  if (hy_now() - w->stalled < w->grace)
    return;
  if (w->node.page)
    w->node.page->stalled = 1;
  if (hy_table_read(&w->table, w->seen) < 0)
    memset(w->seen, 0, (size_t)w->table.size * sizeof *w->seen);
  for (int r = 0; r < w->table.rank; r++)
    before += !strcmp(w->seen[r].state, "stalled");
  if (hy_now() - w->stalled < w->grace * (1 + before) ||
      !hy_node_speak(&w->node))
    return;
  strcpy(w->seen[w->table.rank].state, "stalled");
  hy_table_verdict(&w->table, w->seen, self, w->period, text, sizeof text);
  end_run(text);
}

static void
look_for_stall(hy_watcher *w)
{
  double now = hy_now();
  int is_stalled;
  hy_seen self;

  if (w->limit == 0)
    return;
  see_self(w, &self);
  is_stalled = !strcmp(self.state, "stalled");
  if (now - w->put > w->period || is_stalled != (w->stalled > 0)) {
    hy_table_put(&w->table, &self, is_stalled ? 2 : w->table.rank == 0);
    w->put = now;
  }
  if (!is_stalled)
    w->stalled = 0;
  else if (w->stalled == 0)
    w->stalled = now;
  else
    judge(w, &self);
}

static void *
watch(void *arg)
{
  hy_watcher *w = arg;
  double before = hy_now(), now;
  sigset_t set;

  watched_set(&set);
  while (!w->stop) {
    int sig = sigtimedwait(&set, NULL, &tick);

    now = hy_now();
    if (now - before > 2)
      w->awake = now;
    before = now;
    if (w->stop)
      break;
    if (sig > 0)
      take_signal(w, sig);
    else if (now > w->quiet)
      look_for_dead(w, 0);
    look_for_stall(w);
    look_for_fault(w);
  }
  return NULL;
}

/* hy_die speaks for its node. */
static void
is_told(void *arg)
{
  hy_watcher *w = arg;

  hy_node_speak(&w->node);
}

static double
within(double x, double lo, double hi)
{
  return x < lo ? lo : x > hi ? hi : x;
}

hy_watcher *
hy_watcher_new(const hy_grid *grid, const char *dir, double minutes, int heeds)
{
  hy_watcher *w = hy_calloc(1, sizeof *w);

  w->meter = grid->meter;
  w->heeds = heeds;
  w->limit = 60 * minutes;
  w->period = within(w->limit / 20, 0.5, 60);
  w->grace = within(w->limit / 10, 1, 60);
  w->awake = hy_now();
  w->put = w->awake - w->period + within(w->period, 0, 2); /* soon, then so */
  if (gethostname(w->host, sizeof w->host - 1))
    strcpy(w->host, "?");
  hy_node_new(&w->node, &grid->world);
  hy_table_new(&w->table, &grid->world, dir);
  w->seen = hy_calloc((size_t)grid->world.size, sizeof *w->seen);
  w->runs = !pthread_create(&w->thread, NULL, watch, w);
  if (w->runs)
    hy_die_tell(is_told, w);
  return w;
}

void
hy_watcher_free(hy_watcher *w)
{
  if (!w)
    return;
  w->stop = 1;
  if (w->node.page)
    w->node.page->peer[w->node.me].state = HY_PEER_ENDS;
  if (w->runs) {
    pthread_kill(w->thread, SIGUSR1); /* wakes it */
    pthread_join(w->thread, NULL);
    hy_die_tell(NULL, NULL);
  }
  hy_table_free(&w->table);
  hy_node_free(&w->node);
  free(w->seen);
  free(w);
}

int
hy_watcher_signal(const hy_watcher *w)
{
  return w ? w->signal : 0;
}
