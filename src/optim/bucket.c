#include "optim/bucket.h"

static const hy_comm *
comm_of(const hy_spec *s, const hy_grid *grid)
{
  return s->partial & HY_EDP ? &grid->edp : &grid->dp_cp;
}

void
hy_reduce_grads(hy_params *p, const hy_grid *grid, float *scratch)
{
  int i = 0;

  while (i < p->n) { /* specs in order; trained ones lie in this order too */
    const hy_comm *comm;
    size_t from, to;

    if (p->ref[i].spec->kind != HY_WEIGHT) {
      i++;
      continue;
    }
    comm = comm_of(p->ref[i].spec, grid);
    from = to = p->ref[i].at;
    for (; i < p->n && (p->ref[i].spec->kind != HY_WEIGHT ||
                        comm_of(p->ref[i].spec, grid) == comm);
         i++)
      if (p->ref[i].spec->kind == HY_WEIGHT)
        to = p->ref[i].at + (size_t)hy_shard_size(&p->ref[i].shard);
    for (; comm->size > 1 && from < to; from += HY_BUCKET)
      hy_sum_f32(comm, p->g + from, scratch,
                 to - from < HY_BUCKET ? to - from : HY_BUCKET);
  }
}
