#include "grid/grid.h"
#include "base/err.h"

#include <string.h>

/* What this version runs, one row an axis. */
static int
check_axes(const hy_deck_grid *d)
{
  const struct {
    const char *key, *what;
    int64_t n;
  } axis[] = {{"ep", "expert parallelism", d->ep},
              {"cp", "context parallelism", d->cp},
              {"pp", "pipeline parallelism", d->pp}};

  for (size_t i = 0; i < sizeof axis / sizeof *axis; i++)
    if (axis[i].n > 1)
      return hy_fail(HY_EDECK,
                     "grid.%s=%lld: %s is not in this version; set it to 1",
                     axis[i].key, (long long)axis[i].n, axis[i].what);
  return HY_OK;
}

/* dp of n ranks, or HY_EDECK. */
static int
find_dp(const hy_deck_grid *d, int64_t n, int64_t *dp)
{
  int64_t block = d->pp * d->cp * d->tp;
  int err = check_axes(d);

  if (err)
    return err;
  if (n % block)
    return hy_fail(HY_EDECK,
                   "grid: %lld ranks cannot be cut into pp*cp*tp = "
                   "%lld*%lld*%lld = %lld; start a multiple of %lld ranks or "
                   "change grid.tp",
                   (long long)n, (long long)d->pp, (long long)d->cp,
                   (long long)d->tp, (long long)block, (long long)block);
  *dp = n / block;
  if (*dp * d->cp * d->tp % d->ep)
    return hy_fail(HY_EDECK,
                   "grid.ep=%lld does not divide the dp*cp*tp = %lld ranks of "
                   "a stage; change it",
                   (long long)d->ep, (long long)(*dp * d->cp * d->tp));
  return HY_OK;
}

/* One communicator of those ranks of parent that give the same colour. */
static hy_comm
split(const hy_comm *parent, int colour)
{
  MPI_Comm c;

  MPI_Comm_split(parent->mpi, colour, parent->rank, &c);
  return hy_comm_of(c);
}

int
hy_grid_new(hy_grid *g, MPI_Comm parent, const hy_deck_grid *d)
{
  int64_t n_dp = 0;
  hy_comm all = hy_comm_of(parent);
  int err = hy_agree(&all, find_dp(d, all.size, &n_dp));
  int tp, cp, dp, pp, n_tp, n_cp, stage, in_stage, rank;
  MPI_Comm own;

  memset(g, 0, sizeof *g);
  if (err)
    return err;
  MPI_Comm_dup(parent, &own);
  g->world = hy_comm_of(own);
  rank = g->world.rank;
  n_tp = (int)d->tp;
  n_cp = (int)d->cp;
  /* rank = ((pp n_dp + dp) n_cp + cp) n_tp + tp */
  tp = rank % n_tp;
  cp = rank / n_tp % n_cp;
  dp = rank / n_tp / n_cp % (int)n_dp;
  stage = n_tp * n_cp * (int)n_dp;
  pp = rank / stage;
  in_stage = rank % stage;
  g->tp = split(&g->world, rank / n_tp);
  g->cp = split(&g->world, (pp * (int)n_dp + dp) * n_tp + tp);
  g->dp = split(&g->world, (pp * n_cp + cp) * n_tp + tp);
  g->pp = split(&g->world, in_stage);
  g->dp_cp = split(&g->world, pp * n_tp + tp);
  g->replica = split(&g->world, pp * n_tp + tp);
  /* experts: neighbours in a stage hold different experts */
  g->ep = split(&g->world, pp * stage + in_stage / (int)d->ep);
  g->edp = split(&g->world, pp * stage + in_stage % (int)d->ep);
  /* only the first and last stage share the embedding; a stage between is
   * alone with itself */
  g->embed =
      split(&g->world,
            pp == 0 || pp == (int)d->pp - 1 ? in_stage : g->world.size + rank);
  g->owned = 1;
  return HY_OK;
}

void
hy_grid_free(hy_grid *g)
{
  hy_comm *c[] = {&g->tp,      &g->cp, &g->dp,  &g->pp,    &g->dp_cp,
                  &g->replica, &g->ep, &g->edp, &g->embed, &g->world};

  if (g->owned)
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
      MPI_Comm_free(&c[i]->mpi);
  memset(g, 0, sizeof *g);
}

static hy_comm
planned(int64_t size)
{
  return (hy_comm){.mpi = MPI_COMM_NULL, .rank = 0, .size = (int)size};
}

int
hy_grid_plan(hy_grid *g, const hy_deck_grid *d)
{
  int64_t n = d->n_ranks ? d->n_ranks : 1, dp = 0;
  int err = find_dp(d, n, &dp);

  memset(g, 0, sizeof *g);
  if (err)
    return err;
  g->world = planned(n);
  g->tp = planned(d->tp);
  g->cp = planned(d->cp);
  g->dp = planned(dp);
  g->pp = planned(d->pp);
  g->dp_cp = g->replica = planned(dp * d->cp);
  g->ep = planned(d->ep);
  g->edp = planned(dp * d->cp * d->tp / d->ep);
  g->embed = planned(d->pp > 1 ? 2 : 1);
  return HY_OK;
}
