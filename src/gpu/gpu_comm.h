/* gpu_comm.h: how ranks exchange what lies in the memory of their GPUs. */
#ifndef HYMN_GPU_GPU_COMM_H
#define HYMN_GPU_GPU_COMM_H

#include "grid/grid.h"

/** Give the communicators of the grid their way of moving GPU memory: NCCL
 *  where every rank has a GPU of its own, else MPI. Collective over
 *  grid->world. \param own_gpu  this rank shares its GPU with no other
 *  \return 0, HY_ERES (versions of NCCL that do not go together), not agreed
 *  upon */
int gpu_comm_open(hy_grid *grid, int own_gpu);
void gpu_comm_close(hy_grid *grid);

/** "NCCL 2.28.9", "CUDA-aware MPI", "MPI through host memory (more ranks than
 *  GPUs)". */
const char *gpu_comm_name(const hy_grid *grid);

/** What the module was built with, for hymn --version. */
const char *gpu_comm_versions(void);

/** Rank of the world, for messages; 0 before gpu_comm_open. */
int gpu_comm_rank(void);

#endif
