#include "grid/grid.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* dp of n ranks, or HY_EDECK. */
static int
find_dp(const hy_deck_grid *d, int64_t n, int64_t *dp)
{
  int64_t block = d->pp * d->cp * d->tp;

  if (n % block)
    return hy_fail(HY_EDECK,
                   "grid: %lld ranks cannot be cut into pp*cp*tp = "
                   "%lld*%lld*%lld = %lld; start a multiple of %lld ranks or "
                   "change grid.pp, grid.cp or grid.tp",
                   (long long)n, (long long)d->pp, (long long)d->cp,
                   (long long)d->tp, (long long)block, (long long)block);
  *dp = n / block;
  if (*dp * d->cp * d->tp % d->ep)
    return hy_fail(HY_EDECK,
                   "grid.ep=%lld does not divide the dp*cp*tp = "
                   "%lld*%lld*%lld = %lld ranks of a stage; change it",
                   (long long)d->ep, (long long)*dp, (long long)d->cp,
                   (long long)d->tp, (long long)(*dp * d->cp * d->tp));
  return HY_OK;
}

/* Where rank `rank` is: rank = ((pp n_dp + dp) n_cp + cp) n_tp + tp. For each
 * communicator: its axis, its size, the rank in it, and a colour that its
 * members share. */
typedef struct {
  hy_comm *comm;
  int axis, size, rank, colour;
} row;

enum { N_ROWS = 10 };

static void
rows_of(row r[N_ROWS], hy_grid *g, const hy_deck_grid *d, int n_dp, int rank)
{
  int n_tp = (int)d->tp, n_cp = (int)d->cp, n_pp = (int)d->pp, ep = (int)d->ep;
  int stage = n_tp * n_cp * n_dp, in = rank % stage, pp = rank / stage;
  int tp = rank % n_tp, cp = rank / n_tp % n_cp, dp = rank / n_tp / n_cp % n_dp;
  int ends = n_pp > 1 && (pp == 0 || pp == n_pp - 1);
  row table[N_ROWS] = {
      {&g->tp, HY_AXIS_TP, n_tp, tp, rank / n_tp},
      {&g->cp, HY_AXIS_CP, n_cp, cp, (pp * n_dp + dp) * n_tp + tp},
      {&g->dp, HY_AXIS_DP, n_dp, dp, (pp * n_cp + cp) * n_tp + tp},
      {&g->pp, HY_AXIS_PP, n_pp, pp, in},
      {&g->dp_cp, HY_AXIS_DP, n_dp * n_cp, dp * n_cp + cp, pp * n_tp + tp},
      {&g->seq, n_cp > 1 ? HY_AXIS_CP : HY_AXIS_TP, n_cp * n_tp, cp * n_tp + tp,
       pp * n_dp + dp},
      {&g->stage, HY_AXIS_OTHER, stage, in, pp},
      /* experts: neighbours in a stage hold different experts */
      {&g->ep, HY_AXIS_EP, ep, in % ep, pp * stage + in / ep},
      {&g->edp, HY_AXIS_DP, stage / ep, in / ep, pp * stage + in % ep},
      /* a stage between the first and the last is alone with itself */
      {&g->embed, HY_AXIS_PP, ends ? 2 : 1, ends && pp > 0,
       ends ? in : n_pp * stage + rank}};

  memcpy(r, table, sizeof table);
}

static hy_comm
dry_comm(int rank, int size, int axis, hy_meter *meter)
{
  return (hy_comm){.mpi = MPI_COMM_NULL,
                   .rank = rank,
                   .size = size,
                   .axis = axis,
                   .meter = meter};
}

static hy_comm
split(const hy_grid *g, int axis, int colour)
{
  hy_comm c;
  MPI_Comm mpi;

  MPI_Comm_split(g->world.mpi, colour, g->world.rank, &mpi);
  c = hy_comm_of(mpi);
  c.axis = axis;
  c.meter = g->meter;
  return c;
}

int
hy_grid_new(hy_grid *g, MPI_Comm parent, const hy_deck_grid *d)
{
  int64_t n_dp = 0;
  hy_comm all = hy_comm_of(parent);
  int err = hy_agree(&all, find_dp(d, all.size, &n_dp));
  row r[N_ROWS];
  MPI_Comm own;

  memset(g, 0, sizeof *g);
  if (err)
    return err;
  MPI_Comm_dup(parent, &own);
  g->pp_cut = d->pp_cut;
  g->meter = hy_calloc(1, sizeof *g->meter);
  g->world = hy_comm_of(own);
  g->world.meter = g->meter;
  g->sp = d->sp && d->tp > 1;
  g->owned = 1;
  rows_of(r, g, d, (int)n_dp, g->world.rank);
  for (int i = 0; i < N_ROWS; i++)
    *r[i].comm = split(g, r[i].axis, r[i].colour);
  for (int f = 2; f <= g->tp.size && g->n_near < HY_MAX_DIVISOR; f++)
    if (g->tp.size % f == 0)
      g->near[g->n_near++] = split(g, HY_AXIS_TP, g->world.rank / f);
  return HY_OK;
}

hy_comm *
hy_grid_comm(hy_grid *g, int i)
{
  hy_comm *c[] = {&g->tp,    &g->cp, &g->dp,  &g->pp,    &g->dp_cp, &g->seq,
                  &g->stage, &g->ep, &g->edp, &g->embed, &g->world};
  int n = sizeof c / sizeof *c;

  return i < n ? c[i] : i < n + g->n_near ? &g->near[i - n] : NULL;
}

void
hy_grid_free(hy_grid *g)
{
  hy_comm *c;

  for (int i = 0; g->owned && (c = hy_grid_comm(g, i)) != NULL; i++)
    MPI_Comm_free(&c->mpi);
  if (g->owned)
    free(g->meter);
  memset(g, 0, sizeof *g);
}

void
hy_grid_dry(hy_grid *copy, const hy_grid *g, hy_meter *meter)
{
  hy_comm *c;

  *copy = *g;
  copy->meter = meter;
  copy->owned = 0;
  for (int i = 0; (c = hy_grid_comm(copy, i)) != NULL; i++) {
    *c = hy_comm_host(c);
    c->mpi = MPI_COMM_NULL;
    c->meter = meter;
  }
}

void
hy_grid_host(hy_grid *copy, const hy_grid *g)
{
  hy_comm *c;

  *copy = *g;
  copy->owned = 0;
  copy->backend = NULL;
  for (int i = 0; (c = hy_grid_comm(copy, i)) != NULL; i++)
    *c = hy_comm_host(c);
}

int
hy_grid_plan_cp(hy_grid *g, const hy_deck_grid *d, int stage, int cp,
                hy_meter *meter)
{
  int64_t n = d->n_ranks ? d->n_ranks : 1, dp = 0;
  int err = find_dp(d, n, &dp);
  row r[N_ROWS];

  memset(g, 0, sizeof *g);
  if (err)
    return err;
  g->sp = d->sp && d->tp > 1;
  g->pp_cut = d->pp_cut;
  g->meter = meter;
  g->world = dry_comm(stage * (int)(n / d->pp) + cp * (int)d->tp, (int)n,
                      HY_AXIS_OTHER, meter);
  rows_of(r, g, d, (int)dp, g->world.rank);
  for (int i = 0; i < N_ROWS; i++)
    *r[i].comm = dry_comm(r[i].rank, r[i].size, r[i].axis, meter);
  for (int f = 2; f <= g->tp.size && g->n_near < HY_MAX_DIVISOR; f++)
    if (g->tp.size % f == 0)
      g->near[g->n_near++] = dry_comm(g->tp.rank % f, f, HY_AXIS_TP, meter);
  return HY_OK;
}

int
hy_grid_plan(hy_grid *g, const hy_deck_grid *d, int stage, hy_meter *meter)
{
  return hy_grid_plan_cp(g, d, stage, 0, meter);
}

hy_comm
hy_grid_near(const hy_grid *g, int f)
{
  for (int i = 0; i < g->n_near; i++)
    if (g->near[i].size == f)
      return g->near[i];
  return dry_comm(0, 1, HY_AXIS_TP, g->meter);
}
