#include "layer/plan.h"

#include <string.h>

int64_t
hy_spec_size(const hy_spec *spec)
{
  return spec->dim[0] * spec->dim[1] * spec->dim[2] * spec->dim[3];
}

void
hy_shard_of(hy_shard *s, const hy_spec *spec, const hy_grid *grid)
{
  const hy_comm *comm = spec->axis == HY_EP ? &grid->ep : &grid->tp;
  int64_t from = 0, to = 0;

  *s = (hy_shard){.n = 1};
  memcpy(s->dim, spec->dim, sizeof s->dim);
  if (spec->split < 0) {
    s->count[0] = spec->dim[0];
    return;
  }
  s->n = spec->n_part;
  for (int i = 0; i < s->n; i++) {
    int64_t n = spec->part[i] / comm->size;

    s->global[i] = from + n * comm->rank;
    s->local[i] = to;
    s->count[i] = n;
    from += spec->part[i];
    to += n;
  }
  s->dim[spec->split] = to;
}

int64_t
hy_shard_size(const hy_shard *s)
{
  return s->dim[0] * s->dim[1] * s->dim[2] * s->dim[3];
}
