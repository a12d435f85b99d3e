/* test_mpi.h: the main function of a test program that runs on several
 * ranks. */
#ifndef HYMN_GRID_TEST_MPI_H
#define HYMN_GRID_TEST_MPI_H

#include "grid/comm.h"

/** main: start MPI, set `world` (a hy_comm of the file), run the array of
 *  tests `group`; a failure ends all ranks, which may wait for each other. */
#define TEST_MPI_MAIN(group)                                                   \
  int main(int argc, char **argv)                                              \
  {                                                                            \
    MPI_Init(&argc, &argv);                                                    \
    world = hy_comm_of(MPI_COMM_WORLD);                                        \
    if (cmocka_run_group_tests(group, NULL, NULL))                             \
      MPI_Abort(MPI_COMM_WORLD, 1);                                            \
    MPI_Finalize();                                                            \
    return 0;                                                                  \
  }

#endif
