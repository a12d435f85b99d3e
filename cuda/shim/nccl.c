/* nccl.c: messages of NCCL between processes without GPUs, over MPI.
 *
 * As in NCCL a group is work in a stream: it starts when all before it in that
 * stream has ended, all its messages at once, and ends when each has met its
 * other half. A send waits for its receive, so that messages which should have
 * been one group never end; then the process names them and ends
 * (HYMN_SHIM_PATIENCE). */
#include "cuda/shim/include/nccl.h"
#include "cuda/shim/stream.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ncclComm {
  MPI_Comm mpi;
  int rank, size;
};

typedef struct {
  ncclComm_t comm;
  cudaStream_t stream;
  void *data;
  int n, peer, send;
} message;

/* The messages of a group that share communicator and stream. */
typedef struct group group;
struct group {
  int n, started;
  message *m;
  MPI_Request *req;
  group *next; /* of those that have not ended */
};

static struct {
  int depth, n, cap;
  message *held; /* of the group that is open */
  group *alive;
  int ids; /* made by this process */
} lib;

/* ---- the work in a stream ------------------------------------------------ */

static void
tell(void)
{
  int rank;

  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (const group *g = lib.alive; g; g = g->next)
    for (int i = 0; i < g->n; i++)
      fprintf(stderr,
              "nccl of the shim: process %d: rank %d of %d: %s %d bytes %s "
              "rank %d, %s\n",
              rank, g->m[i].comm->rank, g->m[i].comm->size,
              g->m[i].send ? "send" : "receive", g->m[i].n,
              g->m[i].send ? "to" : "from", g->m[i].peer,
              g->started ? "started" : "not started: the stream is not there");
}

static void
drop(group *g)
{
  group **at = &lib.alive;

  while (*at != g)
    at = &(*at)->next;
  *at = g->next;
  free(g->m);
  free(g->req);
  free(g);
}

static void
start(group *g)
{
  for (int i = 0; i < g->n; i++) {
    const message *m = &g->m[i];

    if (m->send)
      MPI_Issend(m->data, m->n, MPI_BYTE, m->peer, 0, m->comm->mpi, &g->req[i]);
    else
      MPI_Irecv(m->data, m->n, MPI_BYTE, m->peer, 0, m->comm->mpi, &g->req[i]);
  }
  g->started = 1;
}

/* The lengths of both halves are the same. */
static void
check(const message *m, const MPI_Status *status)
{
  int n;

  if (m->send)
    return;
  MPI_Get_count(status, MPI_BYTE, &n);
  if (n == m->n)
    return;
  fprintf(stderr, "nccl of the shim: %d bytes came for a receive of %d\n", n,
          m->n);
  abort();
}

static int
poll_group(void *arg)
{
  group *g = arg;
  MPI_Status *status;
  int done;

  if (!g->started)
    start(g);
  status = malloc((size_t)g->n * sizeof *status);
  MPI_Testall(g->n, g->req, &done, status);
  for (int i = 0; i < g->n && done; i++)
    check(&g->m[i], &status[i]);
  free(status);
  if (done)
    drop(g);
  return done;
}

/* ---- groups -------------------------------------------------------------- */

static ncclResult_t
hold(message m)
{
  if (m.peer < 0 || m.peer >= m.comm->size || m.peer == m.comm->rank)
    return ncclInvalidArgument;
  if (lib.n == lib.cap) {
    lib.cap = 2 * lib.cap + 16;
    lib.held = realloc(lib.held, (size_t)lib.cap * sizeof *lib.held);
  }
  lib.held[lib.n++] = m;
  return lib.depth ? ncclSuccess : (lib.depth++, ncclGroupEnd());
}

ncclResult_t
ncclSend(const void *data, size_t n, ncclDataType_t type, int to,
         ncclComm_t comm, cudaStream_t s)
{
  (void)type;
  return hold((message){comm, s, (void *)(size_t)data, (int)n, to, 1});
}

ncclResult_t
ncclRecv(void *data, size_t n, ncclDataType_t type, int from, ncclComm_t comm,
         cudaStream_t s)
{
  (void)type;
  return hold((message){comm, s, data, (int)n, from, 0});
}

ncclResult_t
ncclGroupStart(void)
{
  lib.depth++;
  return ncclSuccess;
}

/* Those of the open group that go with its first message. */
static void
post(void)
{
  const message first = lib.held[0];
  group *g = calloc(1, sizeof *g);
  int rest = 0;

  g->m = malloc((size_t)lib.n * sizeof *g->m);
  g->req = malloc((size_t)lib.n * sizeof(MPI_Request));
  for (int i = 0; i < lib.n; i++)
    if (lib.held[i].comm == first.comm && lib.held[i].stream == first.stream)
      g->m[g->n++] = lib.held[i];
    else
      lib.held[rest++] = lib.held[i];
  lib.n = rest;
  g->next = lib.alive;
  lib.alive = g;
  shim_on_stuck(tell);
  shim_post(first.stream, poll_group, g);
}

ncclResult_t
ncclGroupEnd(void)
{
  if (lib.depth == 0)
    return ncclInvalidUsage;
  if (--lib.depth == 0)
    while (lib.n > 0)
      post();
  return ncclSuccess;
}

/* ---- communicators ------------------------------------------------------- */

/* Of an id: the process that made it, and how many it had made before. */
typedef struct {
  int process, number;
} id_text;

ncclResult_t
ncclGetUniqueId(ncclUniqueId *id)
{
  id_text text;

  MPI_Comm_rank(MPI_COMM_WORLD, &text.process);
  text.number = lib.ids++;
  memset(id, 0, sizeof *id);
  memcpy(id->internal, &text, sizeof text);
  return ncclSuccess;
}

/* Who is rank r: told to the maker of the id, who is one of them, and by it to
 * all. */
static void
find_members(const id_text *id, int n, int rank, int *member)
{
  int me, tag = 7000 + id->number % 1000, told[2];

  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  told[0] = rank;
  told[1] = me;
  if (me != id->process) {
    MPI_Send(told, 2, MPI_INT, id->process, tag, MPI_COMM_WORLD);
    MPI_Recv(member, n, MPI_INT, id->process, tag, MPI_COMM_WORLD,
             MPI_STATUS_IGNORE);
    return;
  }
  member[rank] = me;
  for (int i = 1; i < n; i++) {
    MPI_Recv(told, 2, MPI_INT, MPI_ANY_SOURCE, tag, MPI_COMM_WORLD,
             MPI_STATUS_IGNORE);
    member[told[0]] = told[1];
  }
  for (int i = 0; i < n; i++)
    if (member[i] != me)
      MPI_Send(member, n, MPI_INT, member[i], tag, MPI_COMM_WORLD);
}

ncclResult_t
ncclCommInitRankConfig(ncclComm_t *comm, int n, ncclUniqueId id, int rank,
                       ncclConfig_t *config)
{
  struct ncclComm *c = calloc(1, sizeof *c);
  int *member = calloc((size_t)n, sizeof *member);
  MPI_Group world, part;
  id_text text;

  (void)config;
  memcpy(&text, id.internal, sizeof text);
  find_members(&text, n, rank, member);
  MPI_Comm_group(MPI_COMM_WORLD, &world);
  MPI_Group_incl(world, n, member, &part);
  MPI_Comm_create_group(MPI_COMM_WORLD, part, 8000 + text.number % 1000,
                        &c->mpi);
  MPI_Group_free(&world);
  MPI_Group_free(&part);
  free(member);
  c->rank = rank;
  c->size = n;
  *comm = c;
  return ncclSuccess;
}

ncclResult_t
ncclCommDestroy(ncclComm_t comm)
{
  MPI_Comm_free(&comm->mpi);
  free(comm);
  return ncclSuccess;
}

ncclResult_t
ncclCommAbort(ncclComm_t comm)
{
  (void)comm;
  return ncclSuccess;
}

/* ---- what it says of itself ---------------------------------------------- */

ncclResult_t
ncclGetVersion(int *version)
{
  *version = NCCL_MAJOR * 10000 + NCCL_MINOR * 100 + NCCL_PATCH;
  return ncclSuccess;
}

/* HYMN_SHIM_NCCL_ERROR: what a broken connection to another node gives. */
ncclResult_t
ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
  (void)comm;
  *error = getenv("HYMN_SHIM_NCCL_ERROR") ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}

const char *
ncclGetErrorString(ncclResult_t e)
{
  static const char *const text[] = {
      "no error",
      "unhandled cuda error",
      "system error",
      "internal error",
      "invalid argument",
      "invalid usage",
      "remote process exited or there was a network error",
      "in progress"};

  return text[e];
}

const char *
ncclGetLastError(ncclComm_t comm)
{
  (void)comm;
  return "shim";
}
