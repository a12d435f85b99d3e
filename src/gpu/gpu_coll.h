/* gpu_coll.h: the ways of gpu_comm.h, one file each. */
#ifndef HYMN_GPU_GPU_COLL_H
#define HYMN_GPU_GPU_COLL_H

#include "gpu/gpu.h"

#if defined HAVE_NCCL || defined HYMN_CUDA_SHIM
#define GPU_NCCL 1
#else
#define GPU_NCCL 0
#endif

/** MPI through memory of the host; MPI with addresses of the GPU. */
extern const hy_coll gpu_coll_host, gpu_coll_aware;
/** Give back what they keep. */
void gpu_coll_mpi_free(void);

/** Whether the MPI library says that it takes addresses of GPUs. */
int gpu_mpi_is_aware(void);

/* The body of both ends of every table. */
void gpu_coll_copy(void *to, const void *from, size_t bytes);
void gpu_coll_sum(void *out, const void *part, hy_fmt fmt, int64_t n,
                  int n_part, int more);

#if GPU_NCCL
extern const hy_coll gpu_coll_nccl;

/** Communicators and streams for the grid; sets coll and net of its
 *  communicators. Collective over grid->world; errors of NCCL end the run. */
void gpu_nccl_open(hy_grid *grid);
void gpu_nccl_close(hy_grid *grid);

/** HY_OK, or HY_ERES when the library is of another major version than the one
 *  that hymn was built with. */
int gpu_nccl_check(void);
/** "NCCL 2.28.9". */
const char *gpu_nccl_name(void);
#endif

#endif
