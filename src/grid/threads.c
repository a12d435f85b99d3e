#include "grid/threads.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Cores that any rank of this node may run on, and the ranks of the node. A
 * launcher that binds gives each rank other cores: the sets are joined. */
static int
node_share(const hy_grid *grid)
{
  enum { MAX_CPUS = 8192 };
  unsigned char mask[MAX_CPUS / 8] = {0};
  cpu_set_t set[MAX_CPUS / CPU_SETSIZE];
  int n_cores = 0, n_ranks;
  MPI_Comm node;

  memset(set, 0, sizeof set);
  sched_getaffinity(0, sizeof set, set);
  for (size_t i = 0; i < MAX_CPUS; i++)
    if (CPU_ISSET_S(i, sizeof set, set))
      mask[i / 8] |= (unsigned char)(1u << i % 8);
  MPI_Comm_split_type(grid->world.mpi, MPI_COMM_TYPE_SHARED, grid->world.rank,
                      MPI_INFO_NULL, &node);
  MPI_Comm_size(node, &n_ranks);
  MPI_Allreduce(MPI_IN_PLACE, mask, sizeof mask, MPI_UNSIGNED_CHAR, MPI_BOR,
                node);
  MPI_Comm_free(&node);
  for (size_t i = 0; i < sizeof mask; i++)
    n_cores += __builtin_popcount(mask[i]);
  return n_cores / n_ranks;
}

int
hy_threads_of(const hy_deck *deck, const hy_grid *grid)
{
  int share = node_share(grid); /* collective: on every path */
  const char *env = getenv("OMP_NUM_THREADS");
  int n = (int)deck->job.n_threads;

  if (n == 0 && env)
    n = atoi(env); /* of a list for nested regions, the first */
  if (n <= 0)
    n = share;
  return n > 0 ? n : 1;
}
