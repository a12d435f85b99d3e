/* gpu_coll_mpi.c: messages of MPI from and to memory of the GPU: with its
 * addresses, where MPI takes them, or through memory of the host. MPI knows
 * nothing of streams: what is sent leaves when the stream has made it, and what
 * came is there when the host has waited for it. */
#include "config.h"
#include "gpu/gpu_coll.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#ifdef OPEN_MPI
#include <mpi-ext.h>
#endif

int
gpu_mpi_is_aware(void)
{
#if defined MPIX_CUDA_AWARE_SUPPORT
  return MPIX_Query_cuda_support();
#elif defined MPIX_GPU_SUPPORT_CUDA
  int is = 0;

  return MPIX_GPU_query_support(MPIX_GPU_SUPPORT_CUDA, &is) == MPI_SUCCESS &&
         is;
#else
  return 0;
#endif
}

void
gpu_coll_copy(void *to, const void *from, size_t bytes)
{
  gpu_mem.copy(to, from, bytes);
}

void
gpu_coll_sum(void *out, const void *part, hy_fmt fmt, int64_t n, int n_part,
             int more)
{
  gpu_kit.sum_parts(out, part, fmt, n, n_part, more);
}

/* ---- memory of the host that stands for a message ------------------------ */

typedef struct bounce bounce;
struct bounce {
  char *p;
  size_t n;
  cudaEvent_t read; /* the GPU has taken what came in it */
  bounce *next;     /* of those that are free */
};

/* A message: of a group that is not closed yet, or of a hy_pending. */
typedef struct {
  hy_pending *pending;
  const hy_comm *comm;
  void *data; /* on the GPU */
  size_t n;
  int peer, send;
  bounce *via; /* NULL: MPI takes the address itself */
} message;

typedef struct messages messages;
struct messages {
  int n, cap;
  message *m;
  messages *next; /* of those that are free */
};

/* One GPU a process, as there is one MPI. What has been taken stays for later
 * messages: they ask for the same sizes. */
static struct {
  int depth;
  messages held; /* of the open group */
  bounce *free_bounce;
  messages *free_list;
} net;

static void
add(messages *l, const message *m)
{
  if (l->n == l->cap) {
    l->cap = 2 * l->cap + 16;
    l->m = hy_realloc(l->m, (size_t)l->cap * sizeof *l->m);
  }
  l->m[l->n++] = *m;
}

/* The smallest that is free and large enough; a large one is left to what needs
 * it. */
static bounce *
take_bounce(size_t n)
{
  enum { PAGE = 1 << 16 };
  bounce **best = NULL, *b;

  n = (n + PAGE - 1) / PAGE * PAGE;
  for (bounce **at = &net.free_bounce; *at; at = &(*at)->next)
    if ((*at)->n >= n && (*at)->n / 4 <= n && (!best || (*at)->n < (*best)->n))
      best = at;
  if (best) {
    b = *best;
    *best = b->next;
    gpu_check(cudaEventSynchronize(b->read), "waiting for a message's memory");
    return b;
  }
  b = hy_calloc(1, sizeof *b);
  b->n = n;
  gpu_check(cudaMallocHost((void **)&b->p, n), "memory for a message");
  gpu_check(cudaEventCreateWithFlags(&b->read, cudaEventDisableTiming),
            "an event");
  return b;
}

static void
give_bounce(bounce *b)
{
  b->next = net.free_bounce;
  net.free_bounce = b;
}

void
gpu_coll_mpi_free(void)
{
  bounce *b;
  messages *l;

  while ((b = net.free_bounce) != NULL) {
    net.free_bounce = b->next;
    cudaFreeHost(b->p);
    cudaEventDestroy(b->read);
    free(b);
  }
  while ((l = net.free_list) != NULL) {
    net.free_list = l->next;
    free(l->m);
    free(l);
  }
  free(net.held.m);
  memset(&net, 0, sizeof net);
}

/* ---- the table ----------------------------------------------------------- */

static void
begin(const hy_comm *comm)
{
  (void)comm;
  net.depth++;
}

/* Nothing is said to MPI before the group is closed: then one wait for the
 * stream is enough for all of it. */
static void
hold(hy_pending *p, const hy_comm *comm, void *data, size_t n, int peer,
     int send)
{
  message m = {p, comm, data, n, peer, send, NULL};

  if (comm->coll == &gpu_coll_host) {
    m.via = take_bounce(n);
    if (send)
      gpu_check(cudaMemcpyAsync(m.via->p, data, n, cudaMemcpyDeviceToHost,
                                gpu_stream()),
                "copy of a message to the host");
  }
  add(&net.held, &m);
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

static messages *
list_of(hy_pending *p)
{
  messages *l = p->flight;

  if (l)
    return l;
  l = net.free_list;
  if (l)
    net.free_list = l->next;
  else
    l = hy_calloc(1, sizeof *l);
  l->n = 0;
  return p->flight = l;
}

static void
start(const message *m)
{
  void *at = m->via ? m->via->p : m->data;

  if (m->send)
    hy_mpi_send_start(m->pending, m->comm, at, m->n, m->peer);
  else
    hy_mpi_recv_start(m->pending, m->comm, at, m->n, m->peer);
  add(list_of(m->pending), m);
}

/* A message that comes into memory of the host disturbs nobody: only what goes
 * out, and what MPI puts into the GPU itself, waits for the stream. */
static void
end(const hy_comm *comm)
{
  int wait = 0;

  (void)comm;
  if (--net.depth > 0)
    return;
  for (int i = 0; i < net.held.n; i++)
    wait |= net.held.m[i].send || !net.held.m[i].via;
  if (wait)
    gpu_mem.wait();
  for (int i = 0; i < net.held.n; i++)
    start(&net.held.m[i]);
  net.held.n = 0;
}

static void
wait(hy_pending *p)
{
  messages *l = p->flight;

  hy_mpi_wait(p);
  for (int i = 0; i < l->n; i++) {
    const message *m = &l->m[i];

    if (!m->via)
      continue;
    if (!m->send) {
      gpu_check(cudaMemcpyAsync(m->data, m->via->p, m->n,
                                cudaMemcpyHostToDevice, gpu_stream()),
                "copy of a message from the host");
      gpu_check(cudaEventRecord(m->via->read, gpu_stream()), "an event");
    }
    give_bounce(m->via);
  }
  p->flight = NULL;
  l->next = net.free_list;
  net.free_list = l;
}

const hy_coll gpu_coll_host = {.name = "MPI through memory of the host",
                               .begin = begin,
                               .end = end,
                               .send = send,
                               .recv = recv,
                               .wait = wait,
                               .copy = gpu_coll_copy,
                               .sum = gpu_coll_sum};

const hy_coll gpu_coll_aware = {.name = "MPI (CUDA-aware)",
                                .begin = begin,
                                .end = end,
                                .send = send,
                                .recv = recv,
                                .wait = wait,
                                .copy = gpu_coll_copy,
                                .sum = gpu_coll_sum};
