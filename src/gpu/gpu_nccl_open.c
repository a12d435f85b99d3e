/* gpu_nccl_open.c: communicators of NCCL and their streams.
 *
 * A kernel of NCCL waits on the GPU until its peers have come. Collectives of
 * the ranks of a stage come in one order on all of them, so they may share
 * streams. The stages of a pipeline do not go in step: each pair of neighbours
 * has a channel for either direction, with a communicator and a stream of its
 * own, or a receive that was started early would hold back what the other side
 * waits for. */
#include "config.h"
#include "gpu/gpu_nccl.h"
#include "gpu/gpu_comm.h"
#include "base/err.h"
#include "base/mem.h"
#include "grid/meter.h"

#if GPU_NCCL
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Streams: collectives that compute waits for at once (layers); those that run
 * beside it (weights, gradients); channels of a pipeline. */
enum { OWN_STREAM = -1, INNER, OUTER, N_STREAMS };

/* Blocks of threads that a channel may take: it holds them while it waits for
 * the stage before. */
enum { CHANNEL_BLOCKS = 4 };

/* One GPU a process, as there is one MPI. */
static struct {
  cudaStream_t stream[N_STREAMS];
  gpu_link *link[128];
  int n_link;
  pthread_mutex_t lock; /* between the watching thread and the end */
  char fault[256];
} net = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- versions ------------------------------------------------------------ */

static int
version(void)
{
  int v = 0;

  gpu_nccl_ok(ncclGetVersion(&v), "version");
  return v;
}

/* 2.28.9 is 22809; before 2.9 it was another number, of no use here. */
static int
major(int v)
{
  return v / 10000;
}

const char *
gpu_nccl_name(void)
{
  static char name[64];
  int v = version();

  snprintf(name, sizeof name, "NCCL %d.%d.%d", major(v), v / 100 % 100,
           v % 100);
  return name;
}

int
gpu_nccl_check(void)
{
  if (major(version()) == NCCL_MAJOR)
    return HY_OK;
  return hy_fail(HY_ERES,
                 "%s was found, hymn was built with NCCL %d.%d.%d; name the "
                 "folder of that one in LD_LIBRARY_PATH, or build hymn again",
                 gpu_nccl_name(), NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH);
}

/* ---- faults -------------------------------------------------------------- */

/* Called by the thread that watches. What has failed on another node leaves
 * kernels here that wait for ever: they are ended with their communicators. */
static const char *
fault(void)
{
  const char *text = NULL;

  pthread_mutex_lock(&net.lock);
  for (int i = 0; i < net.n_link && !text; i++) {
    ncclResult_t e = ncclSuccess;

    if (ncclCommGetAsyncError(net.link[i]->comm, &e) != ncclSuccess ||
        e == ncclSuccess || e == ncclInProgress)
      continue;
    snprintf(net.fault, sizeof net.fault, "NCCL: rank %d: %s (%s)",
             gpu_comm_rank(), ncclGetErrorString(e),
             ncclGetLastError(net.link[i]->comm));
    text = net.fault;
  }
  for (int i = 0; i < net.n_link && text; i++)
    ncclCommAbort(net.link[i]->comm);
  if (text)
    net.n_link = 0;
  pthread_mutex_unlock(&net.lock);
  return text;
}

/* ---- opening ------------------------------------------------------------- */

static gpu_link *
new_link(int rank, int size, const ncclUniqueId *id, int kind, MPI_Comm mpi)
{
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  gpu_link *l = hy_calloc(1, sizeof *l);
  int least, most;

  *l = (gpu_link){.kind = kind, .mpi = mpi, .rank = rank, .size = size};
  config.blocking = 1;
  if (kind == OWN_STREAM) {
    config.maxCTAs = CHANNEL_BLOCKS;
    gpu_check(cudaDeviceGetStreamPriorityRange(&least, &most), "priorities");
    gpu_check(
        cudaStreamCreateWithPriority(&l->stream, cudaStreamNonBlocking, most),
        "a stream");
  } else {
    l->stream = net.stream[kind];
  }
  gpu_nccl_ok(ncclCommInitRankConfig(&l->comm, size, *id, rank, &config),
              "making a communicator");
  if (net.n_link == sizeof net.link / sizeof(gpu_link *))
    hy_die(HY_EBUG, "NCCL: more than %d communicators", net.n_link);
  return net.link[net.n_link++] = l;
}

/* A link that has the same ranks and the same kind of stream. */
static gpu_link *
find_link(const hy_comm *comm, int kind)
{
  for (int i = 0; i < net.n_link; i++) {
    gpu_link *l = net.link[i];
    int same = MPI_UNEQUAL;

    if (l->mpi == MPI_COMM_NULL || l->kind != kind)
      continue;
    MPI_Comm_compare(l->mpi, comm->mpi, &same);
    if (same == MPI_CONGRUENT || same == MPI_IDENT)
      return l;
  }
  return NULL;
}

static void
open_all(gpu_links *n, const hy_comm *comm, int kind)
{
  ncclUniqueId id;

  n->all = find_link(comm, kind);
  if (n->all)
    return;
  if (comm->rank == 0)
    gpu_nccl_ok(ncclGetUniqueId(&id), "an id");
  MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, comm->mpi);
  n->all = new_link(comm->rank, comm->size, &id, kind, comm->mpi);
}

/* The channel from rank `from` to the one beside it, if this one is either:
 * in the order of the pairs, so that nobody waits in a circle. */
static void
open_channel(gpu_links *n, const hy_comm *comm, int from, int to)
{
  enum { TAG = 78 };
  ncclUniqueId id;

  if (comm->rank == from) {
    gpu_nccl_ok(ncclGetUniqueId(&id), "an id");
    MPI_Send(&id, sizeof id, MPI_BYTE, to, TAG, comm->mpi);
    n->to[to > from] = new_link(0, 2, &id, OWN_STREAM, MPI_COMM_NULL);
  } else if (comm->rank == to) {
    MPI_Recv(&id, sizeof id, MPI_BYTE, from, TAG, comm->mpi, MPI_STATUS_IGNORE);
    n->from[from > to] = new_link(1, 2, &id, OWN_STREAM, MPI_COMM_NULL);
  }
}

static void
open_line(gpu_links *n, const hy_comm *comm)
{
  for (int r = 0; r + 1 < comm->size; r++) {
    open_channel(n, comm, r, r + 1);
    open_channel(n, comm, r + 1, r);
  }
}

/* NCCL connects two ranks when the first message between them is started, and
 * keeps the host until both have come. That has to be over before a receive is
 * started early. */
static void
connect(gpu_link *l, char *room)
{
  int channel = l->mpi == MPI_COMM_NULL;

  gpu_nccl_ok(ncclGroupStart(), "connecting");
  for (int r = 0; r < l->size; r++) {
    if (r == l->rank)
      continue;
    if (!channel || l->rank == 0)
      gpu_nccl_ok(ncclSend(room, 1, ncclChar, r, l->comm, l->stream),
                  "connecting");
    if (!channel || l->rank == 1)
      gpu_nccl_ok(ncclRecv(room + 1 + r, 1, ncclChar, r, l->comm, l->stream),
                  "connecting");
  }
  gpu_nccl_ok(ncclGroupEnd(), "connecting");
  gpu_check(cudaStreamSynchronize(l->stream), "connecting");
}

static void
open_comm(hy_comm *comm, int kind)
{
  gpu_links *n;
  int had = net.n_link;
  char *room;

  comm->coll = &gpu_coll_nccl;
  comm->net = NULL;
  if (comm->size == 1)
    return;
  hy_meter_enter(comm, "start of NCCL");
  comm->net = n = hy_calloc(1, sizeof *n);
  if (kind == OWN_STREAM)
    open_line(n, comm);
  else
    open_all(n, comm, kind);
  gpu_check(cudaMalloc((void **)&room, (size_t)comm->size + 2), "memory");
  for (int i = had; i < net.n_link; i++)
    connect(net.link[i], room);
  gpu_check(cudaFree(room), "memory");
  hy_meter_leave(comm);
}

void
gpu_nccl_open(hy_grid *grid)
{
  struct {
    hy_comm *comm;
    int kind;
  } all[] = {{&grid->tp, INNER},    {&grid->cp, INNER},     {&grid->seq, INNER},
             {&grid->ep, INNER},    {&grid->dp_cp, OUTER},  {&grid->edp, OUTER},
             {&grid->embed, OUTER}, {&grid->pp, OWN_STREAM}};
  int least, most;

  gpu_check(cudaDeviceGetStreamPriorityRange(&least, &most), "priorities");
  for (int i = 0; i < N_STREAMS; i++)
    gpu_check(cudaStreamCreateWithPriority(&net.stream[i],
                                           cudaStreamNonBlocking, most),
              "a stream");
  gpu_nccl_table_open(grid->meter);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    open_comm(all[i].comm, all[i].kind);
  for (int i = 0; i < grid->n_near; i++)
    open_comm(&grid->near[i], INNER);
  if (grid->meter)
    grid->meter->fault = fault;
}

void
gpu_nccl_close(hy_grid *grid)
{
  hy_comm *c;
  int n;

  gpu_check(cudaDeviceSynchronize(), "the end of all messages");
  if (grid->meter)
    grid->meter->fault = NULL;
  pthread_mutex_lock(&net.lock);
  n = net.n_link;
  net.n_link = 0;
  pthread_mutex_unlock(&net.lock);
  gpu_nccl_table_close();
  for (int i = 0; i < n; i++) {
    gpu_link *l = net.link[i];

    gpu_nccl_ok(ncclCommDestroy(l->comm), "giving back a communicator");
    if (l->kind == OWN_STREAM)
      cudaStreamDestroy(l->stream);
    free(l);
  }
  for (int i = 0; i < N_STREAMS; i++)
    cudaStreamDestroy(net.stream[i]);
  for (int i = 0; (c = hy_grid_comm(grid, i)) != NULL; i++) {
    if (c->coll == &gpu_coll_nccl)
      free(c->net);
    c->net = NULL;
  }
}
#endif
