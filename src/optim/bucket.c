#include "optim/bucket.h"

/* Neighbours in memory that travel together. */
typedef struct {
  hy_comm comm;
  size_t from, to;
  float *g, *scratch;
} run;

static void
flush(run *r)
{
  for (size_t at = r->from; r->comm.size > 1 && at < r->to; at += HY_BUCKET)
    hy_sum_f32(&r->comm, r->g + at, r->scratch,
               r->to - at < HY_BUCKET ? r->to - at : HY_BUCKET);
  r->from = r->to = 0;
}

/* Add floats [from, to) to be summed over comm: to the run, if they follow it
 * with nothing but unused room between. A caller that leaves something out
 * has to flush. */
static void
add(run *r, const hy_comm *comm, size_t from, size_t to)
{
  if (comm->size == 1 || from >= to)
    return;
  if (r->from == r->to || r->comm.mpi != comm->mpi ||
      r->comm.size != comm->size || r->comm.axis != comm->axis) {
    flush(r);
    r->comm = *comm;
    r->from = from;
  }
  r->to = to;
}

/* Places [*from, *to) in p->g of local elements [a, b) of parameter i. */
static void
place(const hy_params *p, int i, int what, int64_t a, int64_t b, size_t *from,
      size_t *to)
{
  hy_held h = hy_params_held(p, i, what == HY_SUM_OWN);
  int64_t lo = what == HY_SUM_WHOLE ? 0 : p->ref[i].own_from;
  int64_t hi = what == HY_SUM_WHOLE ? h.to : p->ref[i].own_to;

  lo = lo > a ? lo : a;
  hi = hi < b ? hi : b;
  *from = *to = 0;
  if (lo >= hi)
    return;
  *from = h.at + (size_t)(lo - h.from);
  *to = *from + (size_t)(hi - lo);
}

/* A parameter that each tp rank, or two stages, have a part of. */
static void
add_whole(run *r, const hy_params *p, int i, const hy_grid *grid, int what)
{
  const hy_spec *s = p->ref[i].spec;
  size_t from, to;

  place(p, i, what, 0, hy_shard_size(&p->ref[i].shard), &from, &to);
  if ((s->partial & HY_TP) || (grid->sp && (s->partial & HY_SP)))
    add(r, &grid->tp, from, to);
  else
    flush(r);
  if (s->stage[0] != s->stage[1]) {
    flush(r);
    add(r, &grid->embed, from, to);
    flush(r);
  }
}

/* Parts that neighbouring tp ranks repeat: each has the tokens' share that its
 * own heads gave. */
static void
add_copies(run *r, const hy_params *p, int i, const hy_grid *grid, int what)
{
  const hy_param_ref *ref = &p->ref[i];
  hy_pieces pieces;
  size_t from, to;

  hy_pieces_of(&pieces, ref->spec, &ref->shard);
  for (int64_t k = 0; k < pieces.n; k++) {
    hy_piece x = hy_piece_at(&pieces, k);
    int copies = ref->shard.copies[k % pieces.n_part];
    hy_comm near;

    if (copies < 2) {
      flush(r);
      continue;
    }
    near = hy_grid_near(grid, copies);
    place(p, i, what, x.local, x.local + x.n, &from, &to);
    add(r, &near, from, to);
  }
}

void
hy_reduce_partial(hy_params *p, const hy_grid *grid, int what, float *scratch)
{
  run r = {.g = p->g, .scratch = scratch};

  for (int k = 0; k < p->n_group; k++) {
    for (int i = 0; i < p->n; i++) {
      if (p->ref[i].group != k)
        continue;
      add_whole(&r, p, i, grid, what);
      if (p->group[k].kind == HY_GROUP_SPLIT)
        add_copies(&r, p, i, grid, what);
    }
    flush(&r);
  }
}

void
hy_reduce_grads(hy_params *p, const hy_grid *grid, float *scratch)
{
  for (int k = 0; k < p->n_group; k++) {
    const hy_group *group = &p->group[k];
    run r = {.g = p->g, .scratch = scratch};

    add(&r, group->kind == HY_GROUP_EXPERT ? &grid->edp : &grid->dp_cp,
        group->at, group->at + group->n);
    flush(&r);
  }
  hy_reduce_partial(p, grid, HY_SUM_WHOLE, scratch);
}
