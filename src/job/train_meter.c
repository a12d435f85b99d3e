#include "job/train_meter.h"
#include "op/backend.h"
#include "grid/meter.h"
#include "io/history.h"

#include <stdio.h>

void
hy_step_meter_begin(hy_step_meter *m, const hy_grid *grid)
{
  m->mark = *grid->meter;
}

void
hy_step_meter_end(hy_step_meter *m, const hy_grid *grid)
{
  for (int a = 0; a < HY_N_AXES; a++) {
    m->sent[a] += grid->meter->sent[a] - m->mark.sent[a];
    m->waited[a] += grid->meter->seconds[a] - m->mark.seconds[a];
  }
  m->n_step++;
}

void
hy_step_meter_print_sent(const hy_step_meter *m, const hy_grid *grid)
{
  double most[HY_N_AXES];

  if (grid->world.size == 1 || m->n_step == 0)
    return;
  hy_meter_enter(&grid->world, "max");
  MPI_Allreduce(m->sent, most, HY_N_AXES, MPI_DOUBLE, MPI_MAX, grid->world.mpi);
  hy_meter_leave(&grid->world);
  if (grid->world.rank != 0)
    return;
  printf("sent in a step, bytes by axis (the rank that sends most):");
  for (int a = 0; a < HY_N_AXES; a++)
    if (most[a] > 0)
      printf("  %s %.0f", hy_axis_name(a), most[a] / (double)m->n_step);
  printf("\n");
}

void
hy_step_meter_print_waited(const hy_step_meter *m, const hy_grid *grid)
{
  if (grid->world.rank != 0 || grid->world.size == 1 || m->n_step == 0)
    return;
  printf("in collectives, seconds of a step by axis (rank 0):");
  for (int a = 0; a < HY_N_AXES; a++)
    if (m->sent[a] > 0)
      printf("  %s %.4f", hy_axis_name(a), m->waited[a] / (double)m->n_step);
  printf("\n");
}

void
hy_print_taken(size_t base, const hy_grid *grid)
{
  double mine = (double)(hy_backend_of(grid)->mem->used() - base), most;

  hy_meter_enter(&grid->world, "max");
  MPI_Allreduce(&mine, &most, 1, MPI_DOUBLE, MPI_MAX, grid->world.mpi);
  hy_meter_leave(&grid->world);
  if (grid->world.rank == 0)
    printf("memory taken since the libraries' own: %.1f MiB on rank 0, at most "
           "%.1f MiB on a rank\n",
           mine / (1 << 20), most / (1 << 20));
}
