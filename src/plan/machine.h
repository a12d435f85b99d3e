/* machine.h: the machines that grid.machine names, for estimates. */
#ifndef HYMN_PLAN_MACHINE_H
#define HYMN_PLAN_MACHINE_H

#include "deck/deck.h"
#include "grid/comm.h"

/* One rank has one device (cpu: one core for each of its threads). Peaks as
 * the maker states them, dense; a direction of a link. */
typedef struct {
  const char *name;
  double bf16, fp32;              /* FLOP/s of matrix products */
  double memory;                  /* bytes of a device; 0: not known */
  double mem_rate;                /* bytes/s */
  int per_node;                   /* ranks of a node; 0: all ranks are on one */
  double near_rate, near_latency; /* bytes/s, s: to a rank of the same node */
  double far_rate, far_latency;   /* to a rank of another node */
} hy_machine;

/** The row of that name, of a device with n_threads cores where the name is
 *  'cpu'. \return 0 for 'none', else 1 */
int hy_machine_find(hy_machine *m, const char *name, int n_threads);

/** Seconds to send `bytes` in `calls` calls over the ranks of an axis.
 *  \param axis   HY_AXIS_*: says which ranks of the layout talk
 *  \param n_dp   dp of the layout */
double hy_machine_send(const hy_machine *m, const hy_deck_grid *d, int64_t n_dp,
                       int axis, double bytes, double calls);

#endif
