#include "config.h"
#include "gpu/gpu_comm.h"
#include "gpu/gpu_coll.h"
#include "base/err.h"
#include "grid/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One GPU a process, as there is one MPI. */
static struct {
  int rank;
  const hy_coll *coll;
  int shared; /* some rank shares its GPU with another */
  hy_meter *meter;
  double since; /* the wait for the GPU under way */
  int nested;   /* it is part of a call of comm.h */
} comm;

/* The communicators of what lies in the memory of the backend. World, stage and
 * dp are those of the host's arrays. */
static hy_comm *
comm_at(hy_grid *grid, int i)
{
  hy_comm *c[] = {&grid->tp,    &grid->cp,  &grid->pp, &grid->seq,
                  &grid->dp_cp, &grid->edp, &grid->ep, &grid->embed};
  int n = sizeof c / sizeof *c;

  return i < n ? c[i] : i < n + grid->n_near ? &grid->near[i - n] : NULL;
}

static int
not_there(const char *way, const char *why)
{
  return hy_fail(HY_ERES, "HYMN_GPU_COMM=%s: %s; leave it out, or use %s", way,
                 why, strcmp(way, "host") ? "host" : "nccl");
}

/* What the environment asks for. */
static int
choose_asked(const char *way, const hy_coll **coll)
{
  if (!strcmp(way, "host")) {
    *coll = &gpu_coll_host;
    return HY_OK;
  }
  if (!strcmp(way, "aware")) {
    *coll = &gpu_coll_aware;
    return HY_OK;
  }
  if (strcmp(way, "nccl"))
    return hy_fail(HY_ERES,
                   "HYMN_GPU_COMM=%s: unknown; use nccl, aware or host", way);
  if (!GPU_NCCL)
    return not_there(way, "hymn was built without NCCL");
  if (comm.shared)
    return not_there(way, "NCCL needs a GPU for each rank, some share one");
#if GPU_NCCL
  *coll = &gpu_coll_nccl;
#endif
  return HY_OK;
}

static int
choose(const hy_coll **coll)
{
  const char *way = getenv("HYMN_GPU_COMM");

  if (way && *way)
    return choose_asked(way, coll);
  *coll = gpu_mpi_is_aware() ? &gpu_coll_aware : &gpu_coll_host;
#if GPU_NCCL
  if (!comm.shared)
    *coll = &gpu_coll_nccl;
#endif
  return HY_OK;
}

/* Ranks may have other libraries or another environment: the way that all of
 * them have. */
static int
way_number(const hy_coll *c)
{
  return c == &gpu_coll_host ? 2 : c == &gpu_coll_aware ? 1 : 0;
}

static int
open_nccl(hy_grid *grid)
{
#if GPU_NCCL
  int err = hy_agree(&grid->world, gpu_nccl_check());

  if (!err)
    gpu_nccl_open(grid);
  return err;
#else
  (void)grid;
  return HY_OK;
#endif
}

int
gpu_comm_open(hy_grid *grid, int own_gpu)
{
  const hy_coll *coll = NULL;
  int way, err;
  hy_comm *c;

  comm.rank = grid->world.rank;
  comm.shared = (int)hy_max_i64(&grid->world, !own_gpu);
  err = hy_agree(&grid->world, choose(&coll));
  if (err)
    return err;
  way = (int)hy_max_i64(&grid->world, way_number(coll));
  comm.coll = way == 2 ? &gpu_coll_host : way == 1 ? &gpu_coll_aware : coll;
  comm.meter = grid->meter;
  for (int i = 0; (c = comm_at(grid, i)) != NULL; i++) {
    c->coll = comm.coll;
    c->net = NULL;
  }
  return way == 0 && grid->world.size > 1 ? open_nccl(grid) : HY_OK;
}

void
gpu_comm_close(hy_grid *grid)
{
  hy_comm *c;

#if GPU_NCCL
  if (comm.coll == &gpu_coll_nccl && grid->world.size > 1)
    gpu_nccl_close(grid);
#endif
  gpu_coll_mpi_free();
  for (int i = 0; (c = comm_at(grid, i)) != NULL; i++)
    c->coll = NULL;
  memset(&comm, 0, sizeof comm);
}

const char *
gpu_comm_name(const hy_grid *grid)
{
  (void)grid;
#if GPU_NCCL
  if (comm.coll == &gpu_coll_nccl)
    return gpu_nccl_name();
#endif
  if (comm.coll == &gpu_coll_host && comm.shared)
    return "MPI through memory of the host (more ranks than GPUs)";
  return comm.coll ? comm.coll->name : "nothing";
}

const char *
gpu_comm_versions(void)
{
  static char text[128];
  const char *mpi =
      gpu_mpi_is_aware() ? "CUDA-aware MPI" : "MPI not CUDA-aware";

#if GPU_NCCL
  snprintf(text, sizeof text, "%s, %s", gpu_nccl_name(), mpi);
#else
  snprintf(text, sizeof text, "no NCCL, %s", mpi);
#endif
  return text;
}

int
gpu_comm_rank(void)
{
  return comm.rank;
}

/* Not counted as time of messages: the GPU computes in it as well. */
void
gpu_comm_enter(void)
{
  hy_meter *m = comm.meter;

  if (!m)
    return;
  comm.since = hy_now();
  comm.nested = m->inside;
  if (comm.nested)
    return;
  HY_TELL(m->axis, HY_AXIS_OTHER);
  HY_TELL(m->since, comm.since);
  HY_TELL(m->what, "wait for the GPU");
  HY_TELL(m->inside, 1);
}

void
gpu_comm_leave(void)
{
  hy_meter *m = comm.meter;
  double now = hy_now();

  if (!m)
    return;
  if (comm.nested) {
    HY_TELL(m->since, m->since + (now - comm.since));
    return;
  }
  HY_TELL(m->inside, 0);
  HY_TELL(m->since, now);
}
