/* coll.c: data between ranks, as messages from rank to rank. */
#include "grid/comm.h"
#include "base/clock.h"
#include "base/mem.h"
#include "grid/meter.h"

#include <stdlib.h>
#include <string.h>

/* MPI counts are int; no message is larger than this many bytes. The tests
 * are built with a small one. */
#ifndef HY_PIECE
#define HY_PIECE ((size_t)1 << 30)
#endif

enum { TAG = 77 };

static MPI_Request *
next_request(hy_pending *p)
{
  if (p->n == p->cap) { /* the first steps alone */
    MPI_Request *old = p->borrowed ? NULL : p->req;

    p->cap = 2 * p->cap + 16;
    old = hy_realloc(old, (size_t)p->cap * sizeof *p->req);
    if (p->borrowed)
      memcpy(old, p->req, (size_t)p->n * sizeof *p->req);
    p->req = old;
    p->borrowed = 0;
  }
  return &p->req[p->n++];
}

/* Both ends cut at the same places, and MPI keeps the order of messages. */
static void
send_start(hy_pending *p, const hy_comm *comm, const void *data, size_t n,
           int to)
{
  const char *from = data;

  for (size_t at = 0; at < n; at += HY_PIECE)
    MPI_Isend(from + at, (int)(n - at < HY_PIECE ? n - at : HY_PIECE), MPI_BYTE,
              to, TAG, comm->mpi, next_request(p));
}

static void
recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n, int from)
{
  char *to = data;

  for (size_t at = 0; at < n; at += HY_PIECE)
    MPI_Irecv(to + at, (int)(n - at < HY_PIECE ? n - at : HY_PIECE), MPI_BYTE,
              from, TAG, comm->mpi, next_request(p));
}

void
hy_send_start(hy_pending *p, const hy_comm *comm, const void *data, size_t n,
              int to)
{
  p->comm = comm;
  hy_meter_sent(comm, (double)n);
  if (comm->mpi != MPI_COMM_NULL)
    send_start(p, comm, data, n, to);
}

void
hy_recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n,
              int from)
{
  p->comm = comm;
  if (comm->mpi != MPI_COMM_NULL)
    recv_start(p, comm, data, n, from);
}

void
hy_wait(hy_pending *p)
{
  if (p->n == 0)
    return;
  hy_meter_enter(p->comm, "wait");
  MPI_Waitall(p->n, p->req, MPI_STATUSES_IGNORE);
  hy_meter_leave(p->comm);
  p->n = 0;
}

void
hy_pending_free(hy_pending *p)
{
  if (!p->borrowed)
    free(p->req);
  *p = (hy_pending){0};
}

void
hy_all_gather_start(hy_pending *p, const hy_comm *comm, void *x,
                    const int64_t *at, size_t unit)
{
  char *data = x;
  int me = comm->rank;
  size_t own = (size_t)(at[me + 1] - at[me]) * unit;

  p->comm = comm;
  hy_meter_sent(comm, (double)own * (comm->size - 1));
  if (comm->mpi == MPI_COMM_NULL)
    return;
  for (int i = 1; i < comm->size; i++) { /* spread over partners */
    int to = (me + i) % comm->size, from = (me + comm->size - i) % comm->size;

    recv_start(p, comm, data + (size_t)at[from] * unit,
               (size_t)(at[from + 1] - at[from]) * unit, from);
    send_start(p, comm, data + (size_t)at[me] * unit, own, to);
  }
}

void
hy_all_to_all_start(hy_pending *p, const hy_comm *comm, const void *send,
                    const int64_t *send_at, void *recv, const int64_t *recv_at,
                    size_t unit)
{
  const char *out = send;
  char *in = recv;
  int me = comm->rank;
  size_t own = (size_t)(send_at[me + 1] - send_at[me]) * unit;

  p->comm = comm;
  hy_meter_sent(comm,
                (double)unit * (double)(send_at[comm->size] - send_at[0]) -
                    (double)own);
  if (comm->size > 1 && comm->mpi == MPI_COMM_NULL)
    return;
  for (int i = 1; i < comm->size; i++) {
    int to = (me + i) % comm->size, from = (me + comm->size - i) % comm->size;

    recv_start(p, comm, in + (size_t)recv_at[from] * unit,
               (size_t)(recv_at[from + 1] - recv_at[from]) * unit, from);
    send_start(p, comm, out + (size_t)send_at[to] * unit,
               (size_t)(send_at[to + 1] - send_at[to]) * unit, to);
  }
  if (own)
    memcpy(in + (size_t)recv_at[me] * unit, out + (size_t)send_at[me] * unit,
           own);
}

void
hy_reduce_scatter_start(hy_pending *p, const hy_comm *comm, const float *x,
                        const int64_t *at, float *scratch)
{
  int me = comm->rank;
  size_t own = (size_t)(at[me + 1] - at[me]);

  p->comm = comm;
  hy_meter_sent(comm,
                sizeof *x * ((double)(at[comm->size] - at[0]) - (double)own));
  if (comm->size > 1 && comm->mpi == MPI_COMM_NULL)
    return;
  for (int i = 1; i < comm->size; i++) {
    int to = (me + i) % comm->size, from = (me + comm->size - i) % comm->size;

    recv_start(p, comm, scratch + (size_t)from * own, own * sizeof *x, from);
    send_start(p, comm, x + at[to], (size_t)(at[to + 1] - at[to]) * sizeof *x,
               to);
  }
  if (own)
    memcpy(scratch + (size_t)me * own, x + at[me], own * sizeof *x);
}

void
hy_reduce_scatter_finish(const hy_comm *comm, const int64_t *at, float *own,
                         const float *scratch)
{
  int64_t n = at[comm->rank + 1] - at[comm->rank];

  if (comm->size > 1 && comm->mpi == MPI_COMM_NULL)
    return;
  if (n > 0)
    memcpy(own, scratch, (size_t)n * sizeof *own);
  for (int r = 1; r < comm->size; r++)
    for (int64_t i = 0; i < n; i++)
      own[i] += scratch[r * n + i];
}

/* A call that starts and waits, without the heap where messages are few. */
#define NOW(call)                                                              \
  do {                                                                         \
    MPI_Request few[64];                                                       \
    hy_pending p = {.cap = 64, .borrowed = 1, .req = few};                     \
                                                                               \
    call;                                                                      \
    hy_wait(&p);                                                               \
    hy_pending_free(&p);                                                       \
  } while (0)

static void
exchange_start(hy_pending *p, const hy_comm *comm, const void *send, size_t n,
               int to, void *recv, size_t m, int from)
{
  if (from >= 0)
    hy_recv_start(p, comm, recv, m, from);
  if (to >= 0)
    hy_send_start(p, comm, send, n, to);
}

void
hy_exchange(const hy_comm *comm, const void *send, size_t n, int to, void *recv,
            size_t m, int from)
{
  NOW(exchange_start(&p, comm, send, n, to, recv, m, from));
}

void
hy_all_gather(const hy_comm *comm, void *x, const int64_t *at, size_t unit)
{
  NOW(hy_all_gather_start(&p, comm, x, at, unit));
}

void
hy_all_to_all(const hy_comm *comm, const void *send, const int64_t *send_at,
              void *recv, const int64_t *recv_at, size_t unit)
{
  NOW(hy_all_to_all_start(&p, comm, send, send_at, recv, recv_at, unit));
}

void
hy_reduce_scatter(const hy_comm *comm, const float *x, const int64_t *at,
                  float *own, float *scratch)
{
  NOW(hy_reduce_scatter_start(&p, comm, x, at, scratch));
  hy_reduce_scatter_finish(comm, at, own, scratch);
}
