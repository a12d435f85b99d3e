/* meter.h: how the collective layer counts itself. */
#ifndef HYMN_GRID_METER_H
#define HYMN_GRID_METER_H

#include "base/clock.h"
#include "grid/comm.h"

#include <stdatomic.h>

/** A call in which this rank sends bytes to others over comm. */
static inline void
hy_meter_sent(const hy_comm *comm, double bytes)
{
  if (!comm->meter || comm->size == 1)
    return;
  comm->meter->sent[comm->axis] += bytes;
  comm->meter->calls[comm->axis]++;
}

/* Relaxed: the thread that watches wants a recent value, nothing else. */
#define HY_TELL(place, x)                                                      \
  atomic_store_explicit(&(place), x, memory_order_relaxed)

/** Around each call that waits for other ranks. */
static inline void
hy_meter_enter(const hy_comm *comm, const char *what)
{
  hy_meter *m = comm->meter;

  if (!m)
    return;
  HY_TELL(m->axis, comm->axis);
  HY_TELL(m->since, hy_now());
  HY_TELL(m->what, what);
  HY_TELL(m->inside, 1);
  HY_TELL(m->seq, m->seq + 1);
}

static inline void
hy_meter_leave(const hy_comm *comm)
{
  hy_meter *m = comm->meter;
  double now = hy_now();

  if (!m)
    return;
  m->seconds[comm->axis] += now - m->since;
  HY_TELL(m->inside, 0);
  HY_TELL(m->since, now);
}

/** Whether a call has to do anything: count it, and say if there is someone to
 *  talk to. Then hy_meter_leave has to follow. */
static inline int
hy_meter_begin(const hy_comm *comm, const char *what, double bytes)
{
  if (comm->size == 1)
    return 0;
  hy_meter_sent(comm, bytes);
  if (comm->mpi == MPI_COMM_NULL)
    return 0;
  hy_meter_enter(comm, what);
  return 1;
}

#endif
