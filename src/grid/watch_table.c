/* watch_table.c: where each rank is, as a file of lines of fixed length. */
#include "grid/watch_impl.h"
#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  LINE = 224,  /* bytes, with the newline; rank r has line r */
  N_NAMED = 4, /* ranks that the last message names */
};

static const char write_form[] =
    "rank %6d  host %-32.32s pid %-8d run %08x  time %-11lld step %-10lld "
    "%-9.9s for %9.1f s  call %-12lld %.48s";
static const char read_form[] =
    "rank %d host %63s pid %d run %x time %lld step %lld %15s for %lf s call "
    "%lld %63[^\n]";

void
hy_table_new(hy_table *t, const hy_comm *world, const char *dir)
{
  t->path = hy_path_join(dir, "ranks.txt");
  t->dir = hy_strdup(dir);
  t->run = (unsigned)time(NULL) * 2654435761U + (unsigned)getpid();
  t->rank = world->rank;
  t->size = world->size;
  t->fd = -1;
  hy_bcast(world, &t->run, sizeof t->run, 0);
}

void
hy_table_free(hy_table *t)
{
  if (t->fd >= 0) {
    close(t->fd);
    if (t->rank == 0)
      unlink(t->path);
  }
  free(t->path);
  free(t->dir);
}

static int
open_table(hy_table *t, int create)
{
  if (create > 1)
    hy_make_dirs(t->dir);
  t->fd = open(t->path, O_WRONLY | (create ? O_CREAT : 0), 0666);
  /* what a larger run has left */
  if (t->fd >= 0 && t->rank == 0 && ftruncate(t->fd, (off_t)LINE * t->size)) {
    close(t->fd);
    t->fd = -1;
  }
  return t->fd < 0;
}

int
hy_table_put(hy_table *t, const hy_seen *s, int create)
{
  char line[LINE + 1];
  int n;

  if (t->fd < 0 && open_table(t, create))
    return -1;
  n = snprintf(line, sizeof line, write_form, t->rank, s->host, s->pid, t->run,
               (long long)time(NULL), s->step, s->state, s->seconds, s->seq,
               s->call);
  if (n >= LINE)
    n = LINE - 1;
  memset(line + n, ' ', (size_t)(LINE - n));
  line[LINE - 1] = '\n';
  return pwrite(t->fd, line, LINE, (off_t)LINE * t->rank) == LINE ? 0 : -1;
}

int
hy_table_read(const hy_table *t, hy_seen *seen)
{
  FILE *f = fopen(t->path, "r"); /* anew: what other nodes wrote is seen */
  char line[LINE + 1];
  int stalled = 0;

  if (!f)
    return -1;
  memset(seen, 0, (size_t)t->size * sizeof *seen);
  while (fread(line, LINE, 1, f) == 1) {
    hy_seen s = {0};

    line[LINE] = '\0';
    if (sscanf(line, read_form, &s.rank, s.host, &s.pid, &s.run, &s.time,
               &s.step, s.state, &s.seconds, &s.seq, s.call) != 10 ||
        s.run != t->run || s.rank < 0 || s.rank >= t->size)
      continue;
    for (size_t n = strlen(s.call); n > 0 && s.call[n - 1] == ' ';)
      s.call[--n] = '\0';
    stalled += !strcmp(s.state, "stalled");
    seen[s.rank] = s;
  }
  fclose(f);
  return stalled;
}

/* One rank that did not come, and where it was last seen. */
static void
describe(hy_buf *b, int rank, const hy_seen *s, double period)
{
  long long ago = (long long)time(NULL) - s->time;

  if (!s->time) {
    hy_buf_printf(b, "rank %d (never seen)", rank);
    return;
  }
  hy_buf_printf(b, "rank %d (pid %d on %s, ", rank, s->pid, s->host);
  if ((double)ago > 3 * period + 2)
    hy_buf_printf(b, "silent for %lld s, then ", ago);
  hy_buf_printf(b, "in step %lld %s for %.0f s %s call %lld, %s)", s->step,
                s->state, s->seconds,
                !strcmp(s->state, "computing") ? "after" : "in", s->seq,
                s->call);
}

/* Of ranks that all wait, those behind: the smallest number of calls. */
static int
is_missing(const hy_table *t, const hy_seen *seen, int n_stalled, int r)
{
  if (n_stalled < t->size)
    return strcmp(seen[r].state, "stalled") != 0;
  for (int i = 0; i < t->size; i++)
    if (seen[i].seq < seen[r].seq)
      return 0;
  return 1;
}

void
hy_table_verdict(const hy_table *t, const hy_seen *seen, const hy_seen *self,
                 double period, char *text, size_t n)
{
  int n_stalled = 0, n_missing = 0;
  hy_buf b = {0};

  for (int r = 0; r < t->size; r++)
    n_stalled += !strcmp(seen[r].state, "stalled");
  hy_buf_printf(&b, "no progress: ");
  for (int r = 0; r < t->size; r++)
    if (is_missing(t, seen, n_stalled, r) && n_missing++ < N_NAMED) {
      if (n_missing > 1)
        hy_buf_printf(&b, ", ");
      describe(&b, r, &seen[r], period);
    }
  if (n_missing > N_NAMED)
    hy_buf_printf(&b, " and %d more", n_missing - N_NAMED);
  hy_buf_printf(&b,
                " missing; %d of %d ranks wait, rank %d for %.0f s in step "
                "%lld, call %lld, %s; see %s, resume with ckpt.load='auto', "
                "raise job.timeout_minutes if a step may take that long",
                n_stalled, t->size, t->rank, self->seconds, self->step,
                self->seq, self->call, t->path);
  snprintf(text, n, "%s", b.data);
  free(b.data);
}
