/* gpu_comm.h: how ranks exchange what lies in the memory of their GPUs. */
#ifndef HYMN_GPU_GPU_COMM_H
#define HYMN_GPU_GPU_COMM_H

#include "grid/grid.h"

/** Give the communicators of the grid their way of moving GPU memory: NCCL
 *  where every rank has a GPU of its own, else MPI with addresses of the GPU
 *  where it takes them, else MPI through memory of the host. HYMN_GPU_COMM =
 *  nccl, aware or host asks for one of them. Collective over grid->world.
 *  \param own_gpu  this rank shares its GPU with no other
 *  \return 0, HY_ERES (versions of NCCL that do not go together, a way that is
 *  not there), not agreed upon */
int gpu_comm_open(hy_grid *grid, int own_gpu);
/** When all messages have been waited for. Collective over grid->world. */
void gpu_comm_close(hy_grid *grid);

/** "NCCL 2.28.9", "MPI (CUDA-aware)", "MPI through memory of the host (more
 *  ranks than GPUs)". */
const char *gpu_comm_name(const hy_grid *grid);

/** What the module was built with and has found, for hymn --version. */
const char *gpu_comm_versions(void);

/** Rank of the world, for messages; 0 before gpu_comm_open. */
int gpu_comm_rank(void);

/** Around a wait of the host for the GPU, which may in turn wait for other
 *  ranks: the thread that watches sees it. */
void gpu_comm_enter(void);
void gpu_comm_leave(void);

#endif
