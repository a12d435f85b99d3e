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

  if (!hy_meter_begin(comm, "agree", sizeof in))
    return code; /* also without MPI: --dry-run */
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

  if (!hy_meter_begin(comm, "bcast", comm->rank == root ? (double)n : 0))
    return;
  for (size_t at = 0; at < n; at += HY_PIECE) {
    size_t m = n - at < HY_PIECE ? n - at : HY_PIECE;

    MPI_Bcast(p + at, (int)m, MPI_BYTE, root, comm->mpi);
  }
  hy_meter_leave(comm);
}

#define FEW 1024 /* numbers that need no heap */

void
hy_sum_f64(const hy_comm *comm, double *x, int n)
{
  size_t total = (size_t)comm->size * (size_t)n;
  double few[FEW], *p = few;

  if (n == 0 || !hy_meter_begin(comm, "sum of doubles",
                                8.0 * n * (double)(comm->size - 1)))
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
  if (!hy_meter_begin(comm, "sum of integers", 8.0 * n))
    return;
  MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_INT64_T, MPI_SUM, comm->mpi);
  hy_meter_leave(comm);
}

int64_t
hy_max_i64(const hy_comm *comm, int64_t x)
{
  if (!hy_meter_begin(comm, "max", sizeof x))
    return x;
  MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_INT64_T, MPI_MAX, comm->mpi);
  hy_meter_leave(comm);
  return x;
}

double
hy_min_f64(const hy_comm *comm, double x)
{
  if (!hy_meter_begin(comm, "min", sizeof x))
    return x;
  MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_DOUBLE, MPI_MIN, comm->mpi);
  hy_meter_leave(comm);
  return x;
}
