/* comm.h: a group of ranks, agreement on errors, and the collectives that
 * everything uses. Sums have a fixed order: a run repeats bit for bit.
 *
 * Counts are 64 bits wide; calls are cut into messages that MPI can take.
 * Every call adds the bytes this rank sends to other ranks to the meter of
 * its communicator, under the axis the communicator belongs to. A
 * communicator of more than one rank without an MPI handle (MPI_COMM_NULL)
 * is a dry one: calls only count, no data are touched. */
#ifndef HYMN_GRID_COMM_H
#define HYMN_GRID_COMM_H

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
} hy_meter;

typedef struct {
  MPI_Comm mpi;
  int rank, size;
  int axis;        /* row of the meter */
  hy_meter *meter; /* NULL: nobody counts */
} hy_comm;

/** Wrap an MPI communicator (not duplicated, not freed by hymn). */
hy_comm hy_comm_of(MPI_Comm mpi);

/** The code of the first rank that has the largest one, on every rank, with
 *  its error text. Call it after each step that may fail on some ranks; no
 *  return between two collectives. Collective over comm. */
int hy_agree(const hy_comm *comm, int code);

/** n bytes from root to all. Collective. */
void hy_bcast(const hy_comm *comm, void *data, size_t n, int root);

/** Sum of n floats over the ranks of comm, in rank order for every element,
 *  the same bits on every rank. x and scratch: n floats each; scratch may be
 *  NULL when size is 1. Collective. */
void hy_sum_f32(const hy_comm *comm, float *x, float *scratch, size_t n);

/** As hy_sum_f32 for a few doubles (losses, norms, counts). Collective. */
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
typedef struct {
  int n, cap, borrowed; /* borrowed: req is not from the heap */
  MPI_Request *req;
  const hy_comm *comm;
} hy_pending;

/** Wait for all that was started on p. Not a barrier. */
void hy_wait(hy_pending *p);
void hy_pending_free(hy_pending *p);

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

/** own[i] = sum over ranks, in rank order, of their x[at[rank] + i].
 *  \param x        at[size] floats
 *  \param at       (size + 1), the same on every rank
 *  \param own      own range; may lie in x at its place, not elsewhere in it
 *  \param scratch  size * (own range) floats, untouched until the wait
 *  start, then hy_wait(p), then finish. Collective. */
void hy_reduce_scatter_start(hy_pending *p, const hy_comm *comm, const float *x,
                             const int64_t *at, float *scratch);
void hy_reduce_scatter_finish(const hy_comm *comm, const int64_t *at,
                              float *own, const float *scratch);
void hy_reduce_scatter(const hy_comm *comm, const float *x, const int64_t *at,
                       float *own, float *scratch);

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
