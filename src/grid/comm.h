/* comm.h: a group of ranks, agreement on errors, and the collectives that
 * everything uses. Sums have a fixed order: a run repeats bit for bit.
 *
 * What the small calls take (hy_agree to hy_min_f64) is memory of the host. The
 * calls that move data take memory of the backend (op/backend.h): hy_coll is
 * how its ranks reach it. hy_comm_host gives the same ranks for arrays of the
 * host.
 *
 * Counts are 64 bits wide; calls are cut into messages that MPI can take.
 * Every call adds the bytes this rank sends to other ranks to the meter of
 * its communicator, under the axis the communicator belongs to. A
 * communicator of more than one rank without an MPI handle (MPI_COMM_NULL)
 * is a dry one: calls only count, no data are touched. */
#ifndef HYMN_GRID_COMM_H
#define HYMN_GRID_COMM_H

#include "fmt/fmt.h"

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

/* Rows of the meter. */
enum {
  HY_AXIS_OTHER, /* agreement, small sums over all ranks */
  HY_AXIS_TP,
  HY_AXIS_CP,
  HY_AXIS_DP,
  HY_AXIS_PP,
  HY_AXIS_EP,
  HY_N_AXES
};

/** Name of a row of the meter: "tp", "cp", ... */
const char *hy_axis_name(int axis);

/* What went through the collective layer of this rank, and where it is now.
 * The second half is also read by the thread that watches (grid/watch.h). */
typedef struct {
  double sent[HY_N_AXES];    /* bytes to other ranks */
  double seconds[HY_N_AXES]; /* inside calls */
  int64_t calls[HY_N_AXES];

  _Atomic int64_t seq;      /* calls begun so far, all axes */
  const char *_Atomic what; /* name of the latest; NULL: none yet */
  _Atomic int axis, inside; /* of that call; whether it still lasts */
  _Atomic double since;     /* hy_now() when it began or ended */
  _Atomic int64_t step;     /* optimizer step under way, set by jobs */

  /* what the collectives of the backend fail of meanwhile: NULL, or a text
   * that ends the run; NULL: they tell it themselves */
  const char *(*_Atomic fault)(void);
} hy_meter;

typedef struct hy_coll hy_coll;
typedef struct hy_pending hy_pending;

typedef struct {
  MPI_Comm mpi;
  int rank, size;
  int axis;            /* row of the meter */
  hy_meter *meter;     /* NULL: nobody counts */
  const hy_coll *coll; /* NULL: MPI reads the backend's memory, and the host */
  void *net;           /* of coll: what links these ranks */
} hy_comm;

/* How a backend's memory moves between ranks. Everything else is made of
 * this. */
struct hy_coll {
  const char *name;
  /* Around messages that may wait for each other: none has to leave before
   * the outermost end. They read and write memory as the backend leaves it
   * with what it was asked for before that end. */
  void (*begin)(const hy_comm *comm);
  void (*end)(const hy_comm *comm);
  /* Between begin and end, n > 0 bytes. */
  void (*send)(hy_pending *p, const hy_comm *comm, const void *data, size_t n,
               int to);
  void (*recv)(hy_pending *p, const hy_comm *comm, void *data, size_t n,
               int from);
  /* All on p has come and gone, for what the backend is asked for from now
   * on. */
  void (*wait)(hy_pending *p);
  /* As hy_mem.copy and hy_kit.sum_parts of the backend. */
  void (*copy)(void *to, const void *from, size_t bytes);
  void (*sum)(void *out, const void *part, hy_fmt fmt, int64_t n, int n_part,
              int more);
};

/** For bodies of hy_coll: messages of MPI from and to memory that it reads, and
 *  their wait, which leaves p->flight alone. */
void hy_mpi_send_start(hy_pending *p, const hy_comm *comm, const void *data,
                       size_t n, int to);
void hy_mpi_recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n,
                       int from);
void hy_mpi_wait(hy_pending *p);

/** Wrap an MPI communicator (not duplicated, not freed by hymn). */
hy_comm hy_comm_of(MPI_Comm mpi);

/** The same ranks, for arrays in memory of the host. */
static inline hy_comm
hy_comm_host(const hy_comm *comm)
{
  hy_comm host = *comm;

  host.coll = NULL;
  host.net = NULL;
  return host;
}

/** The code of the first rank that has the largest one, on every rank, with
 *  its error text. Call it after each step that may fail on some ranks; no
 *  return between two collectives. Collective over comm. */
int hy_agree(const hy_comm *comm, int code);

/** n bytes from root to all. Collective. */
void hy_bcast(const hy_comm *comm, void *data, size_t n, int root);

/** Sum of a few doubles (losses, norms, counts) in rank order, the same bits on
 *  every rank. Collective. */
void hy_sum_f64(const hy_comm *comm, double *x, int n);

/** Exact sum of integers. Collective. */
void hy_sum_i64(const hy_comm *comm, int64_t *x, int n);

/** Largest, smallest value over the ranks. Collective. */
int64_t hy_max_i64(const hy_comm *comm, int64_t x);
double hy_min_f64(const hy_comm *comm, double x);

/* ---- moving data: each call has a form that starts and one that waits ---- */

/* Messages under way. Zero-initialise; one may be used again and again, and
 * keeps its memory, so that a step takes none. Several starts may be made on
 * one handle before its wait. Buffers must be left alone until then. */
struct hy_pending {
  int n, cap, borrowed; /* borrowed: req is not from the heap */
  MPI_Request *req;
  const hy_comm *comm;
  void *flight; /* of comm->coll; NULL: nothing */
};

/** Wait for all that was started on p: the backend's next work finds it done.
 *  A backend that works in a stream does not keep the host. Not a barrier. */
void hy_wait(hy_pending *p);
void hy_pending_free(hy_pending *p);

/** Around single starts (hy_send_start, hy_recv_start) that wait for each
 *  other, on one handle or several: none need leave before the end. Each rank
 *  opens the same groups in the same order, and what one group sends another
 *  rank takes in the group of the same turn. No hy_wait inside. The other calls
 *  are such a group each. */
void hy_group_begin(const hy_comm *comm);
void hy_group_end(const hy_comm *comm);

/** Each rank's range to all: the array x has elements at[r] .. at[r+1]-1 from
 *  rank r; on entry the own range is filled, after the wait all are.
 *  \param at    (size + 1) in elements, the same on every rank
 *  \param unit  bytes of an element
 *  Collective. */
void hy_all_gather_start(hy_pending *p, const hy_comm *comm, void *x,
                         const int64_t *at, size_t unit);
void hy_all_gather(const hy_comm *comm, void *x, const int64_t *at,
                   size_t unit);

/** Elements send_at[r] .. send_at[r+1]-1 of send to rank r, and from rank r
 *  into recv_at[r] .. recv_at[r+1]-1 of recv. The own part is copied at once.
 *  Collective. */
void hy_all_to_all_start(hy_pending *p, const hy_comm *comm, const void *send,
                         const int64_t *send_at, void *recv,
                         const int64_t *recv_at, size_t unit);
void hy_all_to_all(const hy_comm *comm, const void *send,
                   const int64_t *send_at, void *recv, const int64_t *recv_at,
                   size_t unit);

/** own[i] = sum over ranks, in rank order, of their x[at[rank] + i]; in fp32,
 *  rounded once.
 *  \param x        at[size] elements of fmt (HY_F32, HY_BF16)
 *  \param at       (size + 1), the same on every rank
 *  \param own      own range; may lie in x at its place, not elsewhere in it
 *  \param scratch  size * (own range) elements, untouched until the wait
 *  start, then hy_wait(p), then finish. Collective. */
void hy_reduce_scatter_start(hy_pending *p, const hy_comm *comm, const void *x,
                             const int64_t *at, hy_fmt fmt, void *scratch);
void hy_reduce_scatter_finish(const hy_comm *comm, const int64_t *at, void *own,
                              hy_fmt fmt, const void *scratch);
void hy_reduce_scatter(const hy_comm *comm, const void *x, const int64_t *at,
                       void *own, hy_fmt fmt, void *scratch);

/** Sum of n numbers over the ranks of comm, for every element in rank order, in
 *  fp32 and rounded once: the same bits on every rank.
 *  \param x        n elements of fmt (HY_F32, HY_BF16)
 *  \param scratch  hy_sum_room elements; may be NULL when size is 1
 *  Collective. */
void hy_sum(const hy_comm *comm, void *x, void *scratch, hy_fmt fmt, size_t n);

enum { HY_SUM_LINE = 32 }; /* elements of a rank that stay together */
static inline size_t
hy_sum_room(const hy_comm *comm, size_t n)
{
  size_t least = (size_t)comm->size * HY_SUM_LINE;

  return n > least ? n : least;
}

static inline void
hy_sum_f32(const hy_comm *comm, float *x, float *scratch, size_t n)
{
  hy_sum(comm, x, scratch, HY_F32, n);
}

/** n bytes to rank `to` and m bytes from rank `from`; -1: nobody. Messages
 *  between two ranks arrive in the order they were started. Collective over
 *  the ranks that take part. */
void hy_send_start(hy_pending *p, const hy_comm *comm, const void *data,
                   size_t n, int to);
void hy_recv_start(hy_pending *p, const hy_comm *comm, void *data, size_t n,
                   int from);
void hy_exchange(const hy_comm *comm, const void *send, size_t n, int to,
                 void *recv, size_t m, int from);

#endif
