#include "layer/plan.h"

#include <string.h>

int64_t
hy_spec_size(const hy_spec *spec)
{
  return spec->dim[0] * spec->dim[1] * spec->dim[2] * spec->dim[3];
}

static int
is_here(const hy_spec *spec, const hy_grid *grid)
{
  return grid->pp.size == 1 || spec->stage[0] == grid->pp.rank ||
         spec->stage[1] == grid->pp.rank;
}

/* Rows of part i that rank `rank` of n holds, in units that stay together. */
static void
cut_part(hy_shard *s, const hy_spec *spec, int i, const hy_comm *comm)
{
  int64_t unit = spec->uneven ? 1 : spec->unit[i], n = spec->part[i] / unit;
  int64_t rank = comm->rank, size = comm->size;

  if (spec->shared[i] && n < size && size % n == 0) {
    s->copies[i] = (int)(size / n);
    rank /= s->copies[i];
    size = n;
  }
  s->global[i] = n * rank / size * unit;
  s->count[i] = n * (rank + 1) / size * unit - s->global[i];
}

void
hy_shard_of(hy_shard *s, const hy_spec *spec, const hy_grid *grid)
{
  const hy_comm *comm = spec->axis == HY_EP ? &grid->ep : &grid->tp;
  int64_t from = 0, to = 0;

  *s = (hy_shard){.n = 1, .here = is_here(spec, grid)};
  for (int i = 0; i < HY_MAX_PART; i++)
    s->copies[i] = 1;
  memcpy(s->dim, spec->dim, sizeof s->dim);
  if (!s->here) {
    s->dim[0] = 0;
    return;
  }
  if (spec->split < 0) {
    s->count[0] = spec->dim[0];
    return;
  }
  s->n = spec->n_part;
  for (int i = 0; i < s->n; i++) {
    cut_part(s, spec, i, comm);
    s->global[i] += from;
    s->local[i] = to;
    from += spec->part[i];
    to += s->count[i];
  }
  s->dim[spec->split] = to;
}

int64_t
hy_shard_size(const hy_shard *s)
{
  return s->dim[0] * s->dim[1] * s->dim[2] * s->dim[3];
}
