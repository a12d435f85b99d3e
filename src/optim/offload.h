/* offload.h: an update of a master and moments that lie in memory of the host.
 * They pass through the backend in parts, in turn through two sets of buffers:
 * while one part is updated and goes back, the next one comes. */
#ifndef HYMN_OPTIM_OFFLOAD_H
#define HYMN_OPTIM_OFFLOAD_H

#include "model/params.h"

enum { HY_OFFLOAD_SET = 2, HY_OFFLOAD_ARRAY = 3 /* w, m, v */ };

typedef struct {
  const hy_mem *mem;
  const hy_kit *kit;
  size_t n, part;                /* floats of an array and of a part */
  float *host[HY_OFFLOAD_ARRAY]; /* not owned */
  float *room;                   /* sets of parts, in backend memory */
  hy_runs **list;                /* by part */
} hy_offload;

/** \param m, v  moments; laid out as p->w
 *  \param run    what an update walks, as if it were all in one place
 *  0 or HY_ERES. Not collective. */
int hy_offload_new(hy_offload *o, const hy_params *p, float *m, float *v,
                   const hy_run *run, int64_t n_run);
void hy_offload_free(hy_offload *o);

/** Start an update. Copies may go on behind its end: hy_mem.wait. */
void hy_offload_step(hy_offload *o, const hy_adamw_rates *k, int n_threads);

/** Bytes of backend memory that it takes. */
size_t hy_offload_bytes(const hy_params *p);

#endif
