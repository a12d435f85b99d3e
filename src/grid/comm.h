/* comm.h: a group of ranks, agreement on errors, and the collectives that
 * everything uses. Sums have a fixed order: a run repeats bit for bit. */
#ifndef HYMN_GRID_COMM_H
#define HYMN_GRID_COMM_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  MPI_Comm mpi;
  int rank, size;
} hy_comm;

/** Wrap an MPI communicator (not duplicated, not freed by hymn). */
hy_comm hy_comm_of(MPI_Comm mpi);

/** The code of the first rank that has the largest one, on every rank, with
 *  its error text. Call it after each step that may fail on some ranks; no
 *  return between two collectives. Collective over comm. */
int hy_agree(const hy_comm *comm, int code);

/** n bytes from root to all; any n (cut into calls that MPI can take).
 *  Collective. */
void hy_bcast(const hy_comm *comm, void *data, size_t n, int root);

/** Sum of n floats over the ranks of comm, in rank order for every element,
 *  the same bits on every rank. x and scratch: n floats each; scratch may be
 *  NULL when size is 1. Collective. */
void hy_sum_f32(const hy_comm *comm, float *x, float *scratch, size_t n);

/** As hy_sum_f32 for a few doubles (losses, norms, counts). Collective. */
void hy_sum_f64(const hy_comm *comm, double *x, int n);

/** Exact sum of integers. Collective. */
void hy_sum_i64(const hy_comm *comm, int64_t *x, int n);

/** Largest value over the ranks. Collective. */
int64_t hy_max_i64(const hy_comm *comm, int64_t x);

#endif
