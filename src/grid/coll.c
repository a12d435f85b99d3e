/* coll.c: data between ranks, as messages from rank to rank: MPI's, or those
 * of a table for the memory of a backend. */
#include "grid/comm.h"
#include "base/clock.h"
#include "base/err.h"
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
void
hy_mpi_send_start(hy_pending *p, const hy_comm *comm, const void *data,
                  size_t n, int to)
{
  const char *from = data;

  for (size_t at = 0; at < n; at += HY_PIECE)
    MPI_Isend(from + at, (int)(n - at < HY_PIECE ? n - at : HY_PIECE), MPI_BYTE,
              to, TAG, comm->mpi, next_request(p));
}

void
hy_mpi_recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n,
                  int from)
{
  char *to = data;

  for (size_t at = 0; at < n; at += HY_PIECE)
    MPI_Irecv(to + at, (int)(n - at < HY_PIECE ? n - at : HY_PIECE), MPI_BYTE,
              from, TAG, comm->mpi, next_request(p));
}

void
hy_mpi_wait(hy_pending *p)
{
  if (p->n > 0)
    MPI_Waitall(p->n, p->req, MPI_STATUSES_IGNORE);
  p->n = 0;
}

static void
send_start(hy_pending *p, const hy_comm *comm, const void *data, size_t n,
           int to)
{
  p->comm = comm;
  if (!comm->coll)
    hy_mpi_send_start(p, comm, data, n, to);
  else if (n > 0)
    comm->coll->send(p, comm, data, n, to);
}

static void
recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n, int from)
{
  p->comm = comm;
  if (!comm->coll)
    hy_mpi_recv_start(p, comm, data, n, from);
  else if (n > 0)
    comm->coll->recv(p, comm, data, n, from);
}

/* Nobody to talk to: calls only count. */
static int
is_dry(const hy_comm *comm)
{
  return comm->mpi == MPI_COMM_NULL;
}

void
hy_group_begin(const hy_comm *comm)
{
  if (comm->coll && comm->size > 1 && !is_dry(comm))
    comm->coll->begin(comm);
}

void
hy_group_end(const hy_comm *comm)
{
  if (comm->coll && comm->size > 1 && !is_dry(comm))
    comm->coll->end(comm);
}

void
hy_send_start(hy_pending *p, const hy_comm *comm, const void *data, size_t n,
              int to)
{
  hy_meter_sent(comm, (double)n);
  if (is_dry(comm))
    return;
  hy_group_begin(comm);
  send_start(p, comm, data, n, to);
  hy_group_end(comm);
}

void
hy_recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n,
              int from)
{
  if (is_dry(comm))
    return;
  hy_group_begin(comm);
  recv_start(p, comm, data, n, from);
  hy_group_end(comm);
}

static void
wait_all(hy_pending *p)
{
  if (p->flight)
    p->comm->coll->wait(p);
  else
    hy_mpi_wait(p);
}

void
hy_wait(hy_pending *p)
{
  if (p->n == 0 && !p->flight)
    return;
  hy_meter_enter(p->comm, "wait");
  wait_all(p);
  hy_meter_leave(p->comm);
}

void
hy_pending_free(hy_pending *p)
{
  if (!p->borrowed)
    free(p->req);
  *p = (hy_pending){0};
}

/* Inside the memory that comm moves. */
static void
copy(const hy_comm *comm, void *to, const void *from, size_t n)
{
  if (comm->coll && n > 0)
    comm->coll->copy(to, from, n);
  else if (n > 0)
    memcpy(to, from, n);
}

/* The i-th partner to send to and to receive from: spread, so that no two
 * ranks begin with the same one. */
static int
partner_to(const hy_comm *comm, int i)
{
  return (comm->rank + i) % comm->size;
}

static int
partner_from(const hy_comm *comm, int i)
{
  return (comm->rank + comm->size - i) % comm->size;
}

/* Elements of rank r. */
static int64_t
range(const int64_t *at, int r)
{
  return at[r + 1] - at[r];
}

static void
gather_parts(hy_pending *p, const hy_comm *comm, void *x, const int64_t *at,
             size_t unit)
{
  char *data = x;
  int me = comm->rank;

  hy_group_begin(comm);
  for (int i = 1; i < comm->size; i++) {
    int to = partner_to(comm, i), from = partner_from(comm, i);

    recv_start(p, comm, data + (size_t)at[from] * unit,
               (size_t)range(at, from) * unit, from);
    send_start(p, comm, data + (size_t)at[me] * unit,
               (size_t)range(at, me) * unit, to);
  }
  hy_group_end(comm);
}

void
hy_all_gather_start(hy_pending *p, const hy_comm *comm, void *x,
                    const int64_t *at, size_t unit)
{
  hy_meter_sent(comm, (double)unit * (double)range(at, comm->rank) *
                          (comm->size - 1));
  if (!is_dry(comm))
    gather_parts(p, comm, x, at, unit);
}

void
hy_all_to_all_start(hy_pending *p, const hy_comm *comm, const void *send,
                    const int64_t *send_at, void *recv, const int64_t *recv_at,
                    size_t unit)
{
  const char *out = send;
  char *in = recv;
  int me = comm->rank;
  size_t own = (size_t)range(send_at, me) * unit;

  hy_meter_sent(comm,
                (double)unit * (double)(send_at[comm->size] - send_at[0]) -
                    (double)own);
  if (comm->size > 1 && is_dry(comm))
    return;
  hy_group_begin(comm);
  for (int i = 1; i < comm->size; i++) {
    int to = partner_to(comm, i), from = partner_from(comm, i);

    recv_start(p, comm, in + (size_t)recv_at[from] * unit,
               (size_t)range(recv_at, from) * unit, from);
    send_start(p, comm, out + (size_t)send_at[to] * unit,
               (size_t)range(send_at, to) * unit, to);
  }
  hy_group_end(comm);
  if (own > 0)
    copy(comm, in + (size_t)recv_at[me] * unit,
         out + (size_t)send_at[me] * unit, own);
}

/* Each rank's range of x to it, those of all ranks for the own range to parts,
 * one after another. */
static void
scatter_parts(hy_pending *p, const hy_comm *comm, const void *x,
              const int64_t *at, hy_fmt fmt, void *parts)
{
  int me = comm->rank;
  int64_t own = range(at, me);

  hy_group_begin(comm);
  for (int i = 1; i < comm->size; i++) {
    int to = partner_to(comm, i), from = partner_from(comm, i);

    recv_start(p, comm, hy_at(parts, fmt, from * own), hy_bytes(fmt, own),
               from);
    send_start(p, comm, hy_at(x, fmt, at[to]), hy_bytes(fmt, range(at, to)),
               to);
  }
  hy_group_end(comm);
  copy(comm, hy_at(parts, fmt, me * own), hy_at(x, fmt, at[me]),
       hy_bytes(fmt, own));
}

/* out = the sum of n_part arrays of n numbers, in their order. */
static void
sum_parts(const hy_comm *comm, void *out, const void *parts, hy_fmt fmt,
          int64_t n)
{
  const float *from = parts;
  float *to = out;

  if (n <= 0)
    return;
  if (comm->coll) {
    comm->coll->sum(out, parts, fmt, n, comm->size, 0);
    return;
  }
  if (fmt != HY_F32)
    hy_die(HY_EBUG, "grid: a sum of %s in memory of the host",
           hy_fmt_name(fmt));
  memcpy(to, from, (size_t)n * sizeof *to);
  for (int r = 1; r < comm->size; r++)
    for (int64_t i = 0; i < n; i++)
      to[i] += from[r * n + i];
}

void
hy_reduce_scatter_start(hy_pending *p, const hy_comm *comm, const void *x,
                        const int64_t *at, hy_fmt fmt, void *scratch)
{
  hy_meter_sent(comm, (double)hy_bytes(fmt, at[comm->size] - at[0] -
                                                range(at, comm->rank)));
  if (comm->size == 1 || !is_dry(comm))
    scatter_parts(p, comm, x, at, fmt, scratch);
}

void
hy_reduce_scatter_finish(const hy_comm *comm, const int64_t *at, void *own,
                         hy_fmt fmt, const void *scratch)
{
  if (comm->size == 1 || !is_dry(comm))
    sum_parts(comm, own, scratch, fmt, range(at, comm->rank));
}

/* ---- sums on every rank: reduce-scatter, then all-gather ----------------- */

#define FEW 1024 /* numbers that need no heap */

/* Sum of size * share floats: each rank gets its share of the elements from
 * all ranks, adds in rank order, and gives the sums to all. */
static void
sum_shares(const hy_comm *comm, float *x, float *scratch, int share)
{
  MPI_Alltoall(x, share, MPI_FLOAT, scratch, share, MPI_FLOAT, comm->mpi);
  for (int r = 1; r < comm->size; r++) {
    const float *from = scratch + (size_t)r * (size_t)share;

    for (int i = 0; i < share; i++)
      scratch[i] += from[i];
  }
  MPI_Allgather(scratch, share, MPI_FLOAT, x, share, MPI_FLOAT, comm->mpi);
}

/* The n < size floats that are left: one an owner, the other owners idle. */
static void
sum_rest(const hy_comm *comm, float *x, int n)
{
  float few[FEW] = {0}, *p = few;

  if (2 * comm->size > FEW)
    p = hy_calloc(2 * (size_t)comm->size, sizeof *p);
  memcpy(p, x, (size_t)n * sizeof *x);
  sum_shares(comm, p, p + comm->size, 1);
  memcpy(x, p, (size_t)n * sizeof *x);
  if (p != few)
    free(p);
}

static void
sum_on_host(const hy_comm *comm, float *x, float *scratch, size_t n)
{
  size_t size = (size_t)comm->size, piece = HY_PIECE / sizeof *x / size, m;

  for (; n >= size; x += m * size, n -= m * size) {
    m = n / size < piece ? n / size : piece;
    sum_shares(comm, x, scratch, (int)m);
  }
  if (n > 0)
    sum_rest(comm, x, (int)n);
}

/* Of n numbers, rank r adds those from r share on. */
static void
sum_ranges(const hy_comm *comm, void *x, void *scratch, hy_fmt fmt, int64_t n,
           int64_t share)
{
  int64_t few[FEW], *at = few;
  int me = comm->rank;
  hy_pending p = {0};

  if (comm->size >= FEW)
    at = hy_malloc(((size_t)comm->size + 1) * sizeof *at);
  for (int r = 0; r <= comm->size; r++)
    at[r] = r * share < n ? r * share : n;
  scatter_parts(&p, comm, x, at, fmt, scratch);
  wait_all(&p);
  sum_parts(comm, hy_at(x, fmt, at[me]), scratch, fmt, range(at, me));
  gather_parts(&p, comm, x, at, hy_bytes(fmt, 1));
  wait_all(&p);
  hy_pending_free(&p);
  if (at != few)
    free(at);
}

/* As many whole lines for each rank as there are, then the rest: the parts of a
 * rank have room in hy_sum_room elements. */
static void
sum_in_backend(const hy_comm *comm, void *x, void *scratch, hy_fmt fmt,
               int64_t n)
{
  int64_t lines = n / ((int64_t)comm->size * HY_SUM_LINE) * HY_SUM_LINE;
  int64_t done = lines * comm->size, rest = n - done;

  if (done > 0)
    sum_ranges(comm, x, scratch, fmt, done, lines);
  if (rest > 0)
    sum_ranges(comm, hy_at(x, fmt, done), scratch, fmt, rest,
               (rest + comm->size - 1) / comm->size);
}

void
hy_sum(const hy_comm *comm, void *x, void *scratch, hy_fmt fmt, size_t n)
{
  double bytes = (double)hy_bytes(fmt, (int64_t)n);

  /* each number goes to its owner and, summed, from there to all */
  if (!hy_meter_begin(comm, "sum",
                      2 * bytes * (double)(comm->size - 1) /
                          (double)comm->size))
    return;
  if (comm->coll)
    sum_in_backend(comm, x, scratch, fmt, (int64_t)n);
  else if (fmt == HY_F32)
    sum_on_host(comm, x, scratch, n);
  else
    hy_die(HY_EBUG, "grid: a sum of %s in memory of the host",
           hy_fmt_name(fmt));
  hy_meter_leave(comm);
}

/* ---- calls that start and wait ------------------------------------------- */

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
  hy_group_begin(comm);
  if (from >= 0)
    hy_recv_start(p, comm, recv, m, from);
  if (to >= 0)
    hy_send_start(p, comm, send, n, to);
  hy_group_end(comm);
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
hy_reduce_scatter(const hy_comm *comm, const void *x, const int64_t *at,
                  void *own, hy_fmt fmt, void *scratch)
{
  NOW(hy_reduce_scatter_start(&p, comm, x, at, fmt, scratch));
  hy_reduce_scatter_finish(comm, at, own, fmt, scratch);
}
