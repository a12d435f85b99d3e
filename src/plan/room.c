#include "plan/room.h"
#include "base/err.h"
#include "base/mem.h"
#include "op/backend.h"
#include "plan/forecast.h"

#include <stdlib.h>

#define GIB ((double)(1 << 30))

int
hy_room_check(const hy_deck *d, const hy_grid *grid, int64_t seq_len,
              int n_threads)
{
  const hy_backend *be = hy_backend_of(grid);
  double room = (double)be->mem->room();
  hy_deck *as_run = hy_malloc(sizeof *as_run);
  hy_forecast f;
  int err;

  *as_run = *d;
  as_run->grid.n_ranks = grid->world.size;
  err = hy_forecast_stage(&f, as_run, grid->pp.rank, seq_len, n_threads);
  free(as_run);
  if (err || f.sum <= room)
    return err;
  return hy_fail(HY_ERES,
                 "memory: a rank needs %.2f GiB, its %s has %.2f GiB free: "
                 "%.2f GiB are missing; lower data.micro_batch, set "
                 "optim.recompute='all', optim.offload=.true. (GPUs) or "
                 "optim.zero=3, or use more ranks (hymn --dry-run shows what "
                 "each gives)",
                 f.sum / GIB, be->host_memory ? "machine" : "GPU", room / GIB,
                 (f.sum - room) / GIB);
}
