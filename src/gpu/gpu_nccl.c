/* gpu_nccl.c: messages of NCCL, each in a stream of its own beside that of
 * compute; the host waits for none.
 *
 * A group starts when the compute stream has come to where the group was
 * closed, and compute waits for it where hy_wait was called. Only sends and
 * receives are used, and sums are ours: every run has the same bits. */
#include "config.h"
#include "gpu/gpu_nccl.h"
#include "gpu/gpu_comm.h"
#include "base/err.h"
#include "base/mem.h"

#if GPU_NCCL
#include <stdlib.h>

/* A group on its way. */
typedef struct trip trip;
struct trip {
  cudaEvent_t begin, done;
  int users; /* hy_pending that have not waited for it */
  int axis;
  trip *next;
};

typedef struct flight flight;
struct flight {
  int n, cap;
  trip **trip;
  flight *next;
};

typedef struct {
  hy_pending *pending;
  gpu_link *link;
  void *data;
  size_t n;
  int peer, send;
} message;

/* One GPU a process, as there is one MPI. */
static struct {
  cudaEvent_t ready;
  hy_meter *meter;
  int depth, n, cap;
  message *held; /* of the open group */
  trip *free_trip, *landed, **last_landed;
  flight *free_flight;
} net;

void
gpu_nccl_ok(ncclResult_t e, const char *what)
{
  if (e != ncclSuccess && e != ncclInProgress)
    hy_die(HY_ERES, "NCCL: rank %d: %s: %s (%s)", gpu_comm_rank(), what,
           ncclGetErrorString(e), ncclGetLastError(NULL));
}

/* ---- groups on their way ------------------------------------------------- */

/* The time of what has landed goes to the meter, its events are free. */
static void
reap(void)
{
  trip *t;

  while ((t = net.landed) != NULL) {
    cudaError_t e = cudaEventQuery(t->done);
    float ms = 0;

    if (e == cudaErrorNotReady)
      return;
    gpu_check(e, "a group of messages");
    gpu_check(cudaEventElapsedTime(&ms, t->begin, t->done), "time of messages");
    if (net.meter)
      net.meter->seconds[t->axis] += 1e-3 * ms;
    net.landed = t->next;
    t->next = net.free_trip;
    net.free_trip = t;
  }
}

static trip *
new_trip(int axis)
{
  trip *t;

  reap();
  t = net.free_trip;
  if (t) {
    net.free_trip = t->next;
  } else {
    t = hy_calloc(1, sizeof *t);
    gpu_check(cudaEventCreate(&t->begin), "an event");
    gpu_check(cudaEventCreate(&t->done), "an event");
  }
  t->users = 0;
  t->axis = axis;
  t->next = NULL;
  return t;
}

static void
land(trip *t)
{
  if (--t->users > 0)
    return;
  if (!net.landed)
    net.last_landed = &net.landed;
  *net.last_landed = t;
  net.last_landed = &t->next;
}

/* p has a message in t; several are one. */
static void
note(hy_pending *p, trip *t)
{
  flight *f = p->flight;

  if (!f) {
    f = net.free_flight;
    if (f)
      net.free_flight = f->next;
    else
      f = hy_calloc(1, sizeof *f);
    f->n = 0;
    p->flight = f;
  }
  if (f->n > 0 && f->trip[f->n - 1] == t)
    return;
  if (f->n == f->cap) {
    f->cap = 2 * f->cap + 4;
    f->trip = hy_realloc(f->trip, (size_t)f->cap * sizeof(trip *));
  }
  f->trip[f->n++] = t;
  t->users++;
}

/* ---- the table ----------------------------------------------------------- */

static void
begin(const hy_comm *comm)
{
  (void)comm;
  net.depth++;
}

static gpu_link *
link_to(const hy_comm *comm, int peer, int send)
{
  const gpu_links *l = comm->net;
  gpu_link *found = NULL;

  if (l && l->all)
    found = l->all;
  else if (l && (peer == comm->rank - 1 || peer == comm->rank + 1))
    found = (send ? l->to : l->from)[peer > comm->rank];
  if (!found)
    hy_die(HY_EBUG, "NCCL: no link from rank %d to rank %d of %d over %s",
           comm->rank, peer, comm->size, hy_axis_name(comm->axis));
  return found;
}

static void
hold(hy_pending *p, const hy_comm *comm, void *data, size_t n, int peer,
     int send)
{
  gpu_link *l = link_to(comm, peer, send);

  if (net.n == net.cap) {
    net.cap = 2 * net.cap + 64;
    net.held = hy_realloc(net.held, (size_t)net.cap * sizeof *net.held);
  }
  /* in a channel the two ranks are 0, who sends, and 1 */
  if (l->mpi == MPI_COMM_NULL)
    peer = send;
  net.held[net.n++] = (message){p, l, data, n, peer, send};
}

static void
send(hy_pending *p, const hy_comm *comm, const void *data, size_t n, int to)
{
  hold(p, comm, (void *)(uintptr_t)data, n, to, 1);
}

static void
recv(hy_pending *p, const hy_comm *comm, void *data, size_t n, int from)
{
  hold(p, comm, data, n, from, 0);
}

/* All messages of the group that go through l. */
static void
start(gpu_link *l, int axis)
{
  trip *t = new_trip(axis);

  gpu_check(cudaStreamWaitEvent(l->stream, net.ready, 0), "a stream's wait");
  gpu_check(cudaEventRecord(t->begin, l->stream), "an event");
  gpu_nccl_ok(ncclGroupStart(), "a group");
  for (int i = 0; i < net.n; i++) {
    const message *m = &net.held[i];

    if (m->link != l)
      continue;
    gpu_nccl_ok(
        m->send
            ? ncclSend(m->data, m->n, ncclChar, m->peer, l->comm, l->stream)
            : ncclRecv(m->data, m->n, ncclChar, m->peer, l->comm, l->stream),
        m->send ? "sending" : "receiving");
    note(m->pending, t);
  }
  gpu_nccl_ok(ncclGroupEnd(), "a group");
  gpu_check(cudaEventRecord(t->done, l->stream), "an event");
}

static void
end(const hy_comm *comm)
{
  if (--net.depth > 0 || net.n == 0)
    return;
  gpu_check(cudaEventRecord(net.ready, gpu_stream()), "an event");
  for (int i = 0; i < net.n; i++) {
    gpu_link *l = net.held[i].link;
    int seen = 0;

    for (int k = 0; k < i && !seen; k++)
      seen = net.held[k].link == l;
    if (!seen)
      start(l, comm->axis);
  }
  net.n = 0;
}

static void
wait(hy_pending *p)
{
  flight *f = p->flight;

  for (int i = 0; i < f->n; i++) {
    gpu_check(cudaStreamWaitEvent(gpu_stream(), f->trip[i]->done, 0),
              "a stream's wait");
    land(f->trip[i]);
  }
  p->flight = NULL;
  f->next = net.free_flight;
  net.free_flight = f;
}

const hy_coll gpu_coll_nccl = {.name = "NCCL",
                               .begin = begin,
                               .end = end,
                               .send = send,
                               .recv = recv,
                               .wait = wait,
                               .copy = gpu_coll_copy,
                               .sum = gpu_coll_sum};

/* ---- life ---------------------------------------------------------------- */

void
gpu_nccl_table_open(hy_meter *meter)
{
  net.meter = meter;
  gpu_check(cudaEventCreateWithFlags(&net.ready, cudaEventDisableTiming),
            "an event");
}

void
gpu_nccl_table_close(void)
{
  trip *t;
  flight *f;

  reap();
  while ((t = net.free_trip) != NULL) {
    net.free_trip = t->next;
    cudaEventDestroy(t->begin);
    cudaEventDestroy(t->done);
    free(t);
  }
  while ((f = net.free_flight) != NULL) {
    net.free_flight = f->next;
    free(f->trip);
    free(f);
  }
  free(net.held);
  net.held = NULL;
  net.n = net.cap = 0;
  cudaEventDestroy(net.ready);
}
#endif
