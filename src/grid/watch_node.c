/* watch_node.c: the ranks of a node and whether they live. */
#include "grid/watch_impl.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  ROUNDS = 8, /* each process is looked up in one round of so many */
  NAME_LEN = 64
};

/* Seconds that a rank which ends on a signal of its own may be missing before
 * it counts as dead: launchers that end the others do so by then. */
static const double patience = 3;

/* State letter and start time of a process; 0 when there is none. */
static char
look_up(int pid, int64_t *born)
{
  char path[NAME_LEN], text[1024], *s;
  char state = 0;
  ssize_t n;
  int fd;

  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  fd = open(path, O_RDONLY);
  n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0)
    close(fd);
  text[n > 0 ? n : 0] = '\0';
  s = strrchr(text, ')'); /* the name may hold anything */
  *born = 0;
  if (s && s[1] == ' ') {
    state = s[2];
    for (int field = 2; s && field < 22; field++) /* born is field 22 */
      s = strchr(s + 1, ' ');
    *born = s ? strtoll(s, NULL, 10) : 0;
  }
  return state;
}

static int
is_gone(const hy_peer *p, int thorough)
{
  int64_t born;
  char state;

  if (kill(p->pid, 0) && errno == ESRCH)
    return 1;
  if (!thorough)
    return 0;
  state = look_up(p->pid, &born);
  return state == 0 || state == 'Z' || state == 'X' || born != p->born;
}

static void
introduce(hy_peer *p, int rank)
{
  struct stat st;

  p->rank = rank;
  p->pid = (int)getpid();
  look_up(p->pid, &p->born);
  p->pids = stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

/* Map the page of this name; made by the first rank. */
static hy_node_page *
map_page(const char *name, int make, size_t bytes)
{
  int fd = shm_open(name, O_RDWR | (make ? O_CREAT | O_EXCL : 0), 0600);
  void *p = MAP_FAILED;

  if (fd < 0)
    return NULL;
  if (!make || !ftruncate(fd, (off_t)bytes))
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return p == MAP_FAILED ? NULL : p;
}

void
hy_node_new(hy_node *node, const hy_comm *world)
{
  char name[NAME_LEN] = "";
  MPI_Comm mpi;
  hy_comm here;

  MPI_Comm_split_type(world->mpi, MPI_COMM_TYPE_SHARED, world->rank,
                      MPI_INFO_NULL, &mpi);
  here = hy_comm_of(mpi);
  node->n = here.size;
  node->me = here.rank;
  node->bytes =
      sizeof *node->page + (size_t)here.size * sizeof *node->page->peer;
  node->missed = hy_calloc((size_t)here.size, sizeof *node->missed);
  snprintf(name, sizeof name, "/hymn-%d-%.0f", (int)getpid(), hy_now() * 1e6);
  hy_bcast(&here, name, sizeof name, 0);
  if (here.rank == 0)
    node->page = map_page(name, 1, node->bytes);
  hy_agree(&here, 0); /* it is there before others look for it */
  if (here.rank != 0)
    node->page = map_page(name, 0, node->bytes);
  if (node->page)
    introduce(&node->page->peer[here.rank], world->rank);
  if (hy_agree(&here, !node->page) && node->page) {
    munmap(node->page, node->bytes);
    node->page = NULL;
  }
  if (here.rank == 0) /* nothing is left of it when all are gone */
    shm_unlink(name);
  MPI_Comm_free(&mpi);
}

void
hy_node_free(hy_node *node)
{
  if (node->page)
    munmap(node->page, node->bytes);
  free(node->missed);
  *node = (hy_node){0};
}

int
hy_node_dead(hy_node *node, int all)
{
  double now = hy_now();
  int found = -1;

  node->turn = (node->turn + 1) % ROUNDS;
  for (int i = 0; node->page && i < node->n; i++) {
    const hy_peer *p = &node->page->peer[i];

    if (i == node->me || p->pids != node->page->peer[node->me].pids)
      continue;
    /* its state after its process: it may end in order in between */
    if (!is_gone(p, all || i % ROUNDS == node->turn) ||
        p->state == HY_PEER_ENDS)
      continue;
    if (node->missed[i] == 0)
      node->missed[i] = now;
    if (found < 0 &&
        (p->state == HY_PEER_RUNS || now - node->missed[i] > patience))
      found = i;
  }
  return found;
}

int
hy_node_speak(hy_node *node)
{
  return !node->page || !atomic_exchange(&node->page->spoken, 1);
}
