/* layout.c: where parameters lie in the flat arrays, and who owns what. */
#include "model/params_impl.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Each tensor starts on a cache line, and ranges end on one. */
enum { LINE = 16 };

static size_t
padded(int64_t n)
{
  return ((size_t)n + LINE - 1) / LINE * LINE;
}

static int
kind_of(const hy_spec *s)
{
  if (s->split < 0)
    return HY_GROUP_WHOLE;
  return s->axis == HY_EP ? HY_GROUP_EXPERT : HY_GROUP_SPLIT;
}

/* The group of a spec; a new one if it is the first. */
static int
group_of(hy_params *p, const hy_spec *s, const hy_grid *grid)
{
  hy_fmt fmt = s->precise ? HY_F32 : p->be->act;
  int kind = kind_of(s);
  hy_group *g;

  for (int i = 0; i < p->n_group; i++)
    if (p->group[i].unit == s->unit_id && p->group[i].kind == kind &&
        p->group[i].fmt == fmt)
      return i;
  p->group = hy_realloc(p->group, (size_t)(p->n_group + 1) * sizeof *p->group);
  g = &p->group[p->n_group];
  *g = (hy_group){.unit = s->unit_id,
                  .kind = kind,
                  .fmt = fmt,
                  .low_at = HY_NO_LOW,
                  .comm = kind == HY_GROUP_EXPERT ? &grid->edp : &grid->dp_cp};
  return p->n_group++;
}

/* Ranges of whole lines, as even as that allows. */
static void
cut_group(hy_params *p, hy_group *g)
{
  int size = g->comm->size;
  int64_t lines = (int64_t)(g->n / LINE);

  g->cut = hy_malloc((size_t)(size + 1) * sizeof *g->cut);
  for (int r = 0; r <= size; r++)
    g->cut[r] = lines * r / size * LINE;
  g->own_at = p->n_own;
  p->n_own += (size_t)hy_group_n_own(g);
}

/* Elements of the largest shard among the ranks of a stage. */
static int64_t
largest(const hy_param_ref *r, const hy_grid *grid)
{
  const hy_spec *s = r->spec;
  int64_t n = grid->tp.size;

  if (!r->shard.here || !s->uneven || s->split < 0)
    return hy_shard_size(&r->shard);
  return hy_spec_size(s) / s->dim[s->split] * ((s->dim[s->split] + n - 1) / n);
}

/* A group's place in what the model reads, if that is not the master. */
static void
place_low(hy_params *p, hy_group *g)
{
  int own = p->zero == 3, gathered = own && g->comm->size > 1;

  if ((p->be->act == HY_F32 && !p->offload) || (gathered && !p->offload))
    return;
  g->low_at = p->n_low;
  p->n_low += hy_bytes(g->fmt, own ? hy_group_n_own(g) : (int64_t)g->n);
  p->n_low = (p->n_low + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
}

/* Where the tensors of group k lie, one behind the other. */
static void
place_group(hy_params *p, int k, const hy_grid *grid)
{
  hy_group *g = &p->group[k];

  g->at = p->n_weight;
  for (int i = 0; i < p->n; i++)
    if (p->ref[i].group == k) {
      p->ref[i].at = p->n_weight;
      p->n_weight += padded(hy_shard_size(&p->ref[i].shard));
      g->room += padded(largest(&p->ref[i], grid));
    }
  g->n = p->n_weight - g->at;
  cut_group(p, g);
  place_low(p, g);
}

static int64_t
clip(int64_t x, int64_t top)
{
  return x < 0 ? 0 : x < top ? x : top;
}

/* What of a tensor lies in the own range of its group. */
static void
own_part(const hy_params *p, hy_param_ref *r)
{
  const hy_group *g = &p->group[r->group];
  int64_t n = hy_shard_size(&r->shard), first = (int64_t)(r->at - g->at);
  int64_t from = hy_group_from(g);

  r->own_from = clip(from - first, n);
  r->own_to = clip(from + hy_group_n_own(g) - first, n);
  r->own_at = g->own_at;
  if (r->own_from < r->own_to)
    r->own_at += (size_t)(first + r->own_from - from);
}

/* The tensor of a spec on this rank, without numbers. */
static void
shape(hy_params *p, hy_param_ref *r, const hy_grid *grid)
{
  hy_shard_of(&r->shard, r->spec, grid);
  r->t = (hy_tensor){.fmt = HY_F32, .gfmt = HY_F32, .n_dim = r->spec->n_dim};
  memcpy(r->t.dim, r->shard.dim, sizeof r->t.dim);
  r->t.ld = hy_cols(&r->t);
  r->group = r->spec->kind == HY_WEIGHT ? group_of(p, r->spec, grid) : -1;
  if (r->group >= 0)
    r->t.fmt = p->group[r->group].fmt;
}

/* Who answers for what of a tensor, and where those without a group lie. */
static void
place(hy_params *p, hy_param_ref *r, const hy_grid *grid)
{
  int first = grid->dp_cp.rank == 0 && grid->tp.rank == 0;
  int64_t n = hy_shard_size(&r->shard);

  if (r->group >= 0)
    own_part(p, r);
  else { /* whole on all replicas */
    r->at = r->own_at = p->n_total;
    r->own_to = n;
    p->n_total += padded(n);
  }
  r->own = hy_own_of(r->spec, &r->shard, grid, r->own_from,
                     r->group >= 0 || first ? r->own_to : 0);
}

void
hy_params_lay_out(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                  int how)
{
  const hy_backend *be = hy_backend_of(grid);
  int zero = how & ~HY_OFFLOAD;

  if (grid->dp_cp.size == 1 && grid->edp.size == 1)
    zero = 0; /* no replicas */
  *p = (hy_params){.plan = plan, .n = plan->n_spec, .zero = zero, .be = be};
  p->offload = (how & HY_OFFLOAD) && !be->host_memory;
  p->ref = hy_calloc((size_t)p->n, sizeof *p->ref);
  for (int i = 0; i < p->n; i++) {
    p->ref[i].spec = &plan->spec[i];
    shape(p, &p->ref[i], grid);
  }
  for (int k = 0; k < p->n_group; k++)
    place_group(p, k, grid);
  p->own_w = zero == 3 || (zero == 1 && (p->offload || be->act != HY_F32));
  p->n_total = p->n_master = p->own_w ? p->n_own : p->n_weight;
  for (int i = 0; i < p->n; i++)
    place(p, &p->ref[i], grid);
}

/* Where the model reads the numbers of a trained tensor. */
static void *
numbers(const hy_params *p, const hy_param_ref *r, size_t at)
{
  const hy_group *g = &p->group[r->group];

  if (g->low_at == HY_NO_LOW)
    return p->w + at;
  return hy_at((char *)p->low + g->low_at, g->fmt, (int64_t)(r->at - g->at));
}

void
hy_params_point(hy_params *p)
{
  for (int i = 0; i < p->n; i++) {
    hy_param_ref *r = &p->ref[i];
    int trained = r->group >= 0, own = p->zero == 3 && trained;
    size_t at = own ? r->own_at : r->at;

    r->t.want = trained && p->g;
    r->t.param = 1;
    if (own && p->group[r->group].comm->size > 1)
      continue;
    r->t.data =
        trained ? numbers(p, r, at) : (void *)(p->rest + (at - p->n_master));
    r->t.has = r->t.want;
    if (r->t.want)
      r->t.grad = p->g + at;
  }
}

hy_held
hy_params_held(const hy_params *p, int i, int own)
{
  const hy_param_ref *r = &p->ref[i];

  if (own)
    return (hy_held){r->own_from, r->own_to, r->own_at};
  return (hy_held){0, hy_shard_size(&r->shard), r->at};
}

hy_held
hy_params_part(const hy_params *p, int part, int i)
{
  switch (part) {
  case HY_PART_W:
    return hy_params_held(p, i, p->own_w);
  case HY_PART_G:
    return hy_params_held(p, i, p->zero == 3);
  default:
    return hy_params_held(p, i, p->zero > 0);
  }
}

hy_held
hy_params_held_w(const hy_params *p, int i)
{
  return hy_params_part(p, HY_PART_W, i);
}

void
hy_params_free(hy_params *p)
{
  for (int k = 0; k < p->n_group; k++)
    free(p->group[k].cut);
  free(p->group);
  free(p->ref);
  hy_params_drop(p);
  *p = (hy_params){0};
}
