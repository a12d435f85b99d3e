/* meter.h: how the collective layer counts itself. */
#ifndef HYMN_GRID_METER_H
#define HYMN_GRID_METER_H

#include "base/clock.h"
#include "grid/comm.h"

/** Bytes that this rank sends to others over comm. */
static inline void
hy_meter_sent(const hy_comm *comm, double bytes)
{
  if (comm->meter && comm->size > 1)
    comm->meter->sent[comm->axis] += bytes;
}

/** Around each call that waits for other ranks. */
static inline void
hy_meter_enter(const hy_comm *comm, const char *what)
{
  hy_meter *m = comm->meter;

  if (!m)
    return;
  m->seq++;
  m->calls[comm->axis]++;
  m->axis = comm->axis;
  m->since = hy_now();
  m->what = what;
}

static inline void
hy_meter_leave(const hy_comm *comm)
{
  hy_meter *m = comm->meter;

  if (!m)
    return;
  m->what = NULL;
  m->seconds[comm->axis] += hy_now() - m->since;
}

#endif
