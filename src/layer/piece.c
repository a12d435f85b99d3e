#include "layer/piece.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

void
hy_pieces_of(hy_pieces *p, const hy_spec *spec, const hy_shard *shard)
{
  *p = (hy_pieces){.outer = 1, .inner = 1, .n_part = 1};
  if (spec->split < 0) {
    p->count[0] = p->global_len = p->local_len = hy_spec_size(spec);
  } else {
    for (int i = 0; i < spec->split; i++)
      p->outer *= spec->dim[i];
    for (int i = spec->split + 1; i < spec->n_dim; i++)
      p->inner *= spec->dim[i];
    p->global_len = spec->dim[spec->split];
    p->local_len = shard->dim[spec->split];
    p->n_part = shard->n;
    for (int k = 0; k < shard->n; k++) {
      p->global[k] = shard->global[k];
      p->local[k] = shard->local[k];
      p->count[k] = shard->count[k];
    }
  }
  p->n = shard->here ? p->outer * p->n_part : 0;
}

hy_piece
hy_piece_at(const hy_pieces *p, int64_t i)
{
  int64_t o = i / p->n_part;
  int k = (int)(i % p->n_part);

  return (hy_piece){(o * p->global_len + p->global[k]) * p->inner,
                    (o * p->local_len + p->local[k]) * p->inner,
                    p->count[k] * p->inner};
}

/* Why size ranks cannot share out part i of s. */
static int
refuse(const hy_spec *s, int i, int size)
{
  const char *axis = s->axis == HY_EP ? "ep" : "tp";
  int64_t n = s->part[i] / s->unit[i];

  if (s->shared[i])
    return hy_fail(HY_EDECK,
                   "grid.%s=%d: neither divides %s=%lld nor is a multiple of "
                   "it (%s); choose another",
                   axis, size, s->key[i], (long long)n, s->name);
  if (s->key[i])
    return hy_fail(HY_EDECK,
                   "grid.%s=%d: does not divide %s=%lld (%s); choose another",
                   axis, size, s->key[i], (long long)n, s->name);
  return hy_fail(HY_EDECK,
                 "grid.%s=%d: does not divide the %lld rows or columns of %s; "
                 "choose another",
                 axis, size, (long long)n, s->name);
}

int
hy_pieces_check(const hy_plan *plan, const hy_grid *grid)
{
  for (int i = 0; i < plan->n_spec; i++) {
    const hy_spec *s = plan->spec + i;
    int size = s->axis == HY_EP ? grid->ep.size : grid->tp.size;

    for (int k = 0; s->split >= 0 && !s->uneven && k < s->n_part; k++) {
      int64_t n = s->part[k] / s->unit[k];

      if (n % size && !(s->shared[k] && size % n == 0))
        return refuse(s, k, size);
    }
  }
  return HY_OK;
}

hy_own
hy_own_of(const hy_spec *spec, const hy_shard *shard, const hy_grid *grid,
          int64_t from, int64_t to)
{
  hy_own own = {from, to, 0};

  if (grid->pp.rank != spec->stage[0] || (spec->split < 0 && grid->tp.rank > 0))
    own.to = from;
  for (int k = 0; spec->axis == HY_TP && k < shard->n; k++)
    if (shard->copies[k] > 1 && grid->tp.rank % shard->copies[k])
      own.skip |= 1u << k;
  return own;
}

int
hy_own_next(const hy_pieces *p, const hy_own *own, int64_t *i, hy_piece *run)
{
  while (*i < p->n) {
    int64_t k = (*i)++, lo, hi;

    if (own->skip >> (k % p->n_part) & 1)
      continue;
    *run = hy_piece_at(p, k);
    if (run->local >= own->to)
      break;
    lo = run->local > own->from ? run->local : own->from;
    hi = run->local + run->n < own->to ? run->local + run->n : own->to;
    if (lo >= hi)
      continue;
    *run = (hy_piece){run->global + lo - run->local, lo, hi - lo};
    return 1;
  }
  *i = p->n;
  return 0;
}

int
hy_own_next_local(const hy_pieces *p, const hy_own *own, int64_t *i,
                  hy_piece *run)
{
  int64_t ahead;
  hy_piece next;

  if (!own->skip) { /* runs of a shard lie one behind the other */
    *run = (hy_piece){0, own->from, own->to - own->from};
    return (*i)++ == 0 && run->n > 0;
  }
  if (!hy_own_next(p, own, i, run))
    return 0;
  for (ahead = *i;
       hy_own_next(p, own, &ahead, &next) && next.local == run->local + run->n;
       *i = ahead)
    run->n += next.n;
  return 1;
}

int64_t
hy_spec_n_tensor(const hy_spec *spec)
{
  return spec->stacked ? spec->dim[0] : 1;
}

void
hy_spec_tensor_name(char *out, const hy_spec *spec, int64_t e)
{
  const char *mark = spec->stacked ? strstr(spec->name, "%d") : NULL;

  if (mark)
    snprintf(out, HY_NAME_LEN, "%.*s%lld%s", (int)(mark - spec->name),
             spec->name, (long long)e, mark + 2);
  else
    snprintf(out, HY_NAME_LEN, "%s", spec->name);
}

void
hy_spec_stack_name(char *out, const hy_spec *spec)
{
  const char *mark = spec->stacked ? strstr(spec->name, "%d.") : NULL;

  if (mark)
    snprintf(out, HY_NAME_LEN, "%.*s%s", (int)(mark - spec->name), spec->name,
             mark + 3);
  else
    snprintf(out, HY_NAME_LEN, "%s", spec->name);
}
