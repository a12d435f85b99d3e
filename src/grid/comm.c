#include "grid/comm.h"
#include "base/err.h"
#include "base/mem.h"
#include "grid/meter.h"

#include <stdlib.h>
#include <string.h>

/* MPI counts are int; no call moves more than this many bytes. The tests are
 * built with a small one. */
#ifndef HY_PIECE
#define HY_PIECE ((size_t)1 << 30)
#endif

const char *
hy_axis_name(int axis)
{
  static const char *const name[HY_N_AXES] = {"other", "tp", "cp",
                                              "dp",    "pp", "ep"};

  return name[axis];
}

/* Whether a call has to do anything: count it, and say if there is someone to
 * talk to. */
static int
begin(const hy_comm *comm, const char *what, double bytes)
{
  if (comm->size == 1)
    return 0;
  hy_meter_sent(comm, bytes);
  if (comm->mpi == MPI_COMM_NULL)
    return 0;
  hy_meter_enter(comm, what);
  return 1;
}

hy_comm
hy_comm_of(MPI_Comm mpi)
{
  hy_comm c = {.mpi = mpi};

  MPI_Comm_rank(mpi, &c.rank);
  MPI_Comm_size(mpi, &c.size);
  return c;
}

int
hy_agree(const hy_comm *comm, int code)
{
  int in[2] = {code, comm->rank}, out[2];

  if (!begin(comm, "agree", sizeof in)) /* also without MPI: --dry-run */
    return code;
  MPI_Allreduce(in, out, 1, MPI_2INT, MPI_MAXLOC, comm->mpi);
  if (out[0] != 0)
    MPI_Bcast(hy_err_text(), HY_ERR_LEN, MPI_CHAR, out[1], comm->mpi);
  hy_meter_leave(comm);
  return out[0];
}

void
hy_bcast(const hy_comm *comm, void *data, size_t n, int root)
{
  char *p = data;

  if (!begin(comm, "bcast", comm->rank == root ? (double)n : 0))
    return;
  for (size_t at = 0; at < n; at += HY_PIECE) {
    size_t m = n - at < HY_PIECE ? n - at : HY_PIECE;

    MPI_Bcast(p + at, (int)m, MPI_BYTE, root, comm->mpi);
  }
  hy_meter_leave(comm);
}

#define FEW 1024 /* floats that need no heap */

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

void
hy_sum_f32(const hy_comm *comm, float *x, float *scratch, size_t n)
{
  size_t size = (size_t)comm->size, piece = HY_PIECE / sizeof *x / size, m;

  /* each float goes to its owner and, summed, from there to all */
  if (!begin(comm, "sum",
             2 * sizeof *x * (double)n * (double)(size - 1) / (double)size))
    return;
  for (; n >= size; x += m * size, n -= m * size) {
    m = n / size < piece ? n / size : piece;
    sum_shares(comm, x, scratch, (int)m);
  }
  if (n > 0)
    sum_rest(comm, x, (int)n);
  hy_meter_leave(comm);
}

void
hy_sum_f64(const hy_comm *comm, double *x, int n)
{
  size_t total = (size_t)comm->size * (size_t)n;
  double few[FEW], *p = few;

  if (n == 0 ||
      !begin(comm, "sum of doubles", 8.0 * n * (double)(comm->size - 1)))
    return;
  if (total > FEW)
    p = hy_malloc(total * sizeof *p);
  MPI_Allgather(x, n, MPI_DOUBLE, p, n, MPI_DOUBLE, comm->mpi);
  memcpy(x, p, (size_t)n * sizeof *x);
  for (int r = 1; r < comm->size; r++)
    for (int i = 0; i < n; i++)
      x[i] += p[r * n + i];
  if (p != few)
    free(p);
  hy_meter_leave(comm);
}

void
hy_sum_i64(const hy_comm *comm, int64_t *x, int n)
{
  if (!begin(comm, "sum of integers", 8.0 * n))
    return;
  MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_INT64_T, MPI_SUM, comm->mpi);
  hy_meter_leave(comm);
}

int64_t
hy_max_i64(const hy_comm *comm, int64_t x)
{
  if (!begin(comm, "max", sizeof x))
    return x;
  MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_INT64_T, MPI_MAX, comm->mpi);
  hy_meter_leave(comm);
  return x;
}

double
hy_min_f64(const hy_comm *comm, double x)
{
  if (!begin(comm, "min", sizeof x))
    return x;
  MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_DOUBLE, MPI_MIN, comm->mpi);
  hy_meter_leave(comm);
  return x;
}
