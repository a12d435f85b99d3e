/* gpu_nccl.h: the two halves of NCCL: links between ranks (gpu_nccl_open.c) and
 * what goes over them (gpu_nccl.c). */
#ifndef HYMN_GPU_GPU_NCCL_H
#define HYMN_GPU_GPU_NCCL_H

#include "gpu/gpu_coll.h"

#if GPU_NCCL
#include <nccl.h>

typedef struct {
  ncclComm_t comm;
  cudaStream_t stream;
  int kind;     /* of its stream */
  MPI_Comm mpi; /* whose ranks it links; MPI_COMM_NULL: a channel, from its
                   rank 0 to its rank 1 */
  int rank, size;
} gpu_link;

/* What links the ranks of a hy_comm (its net): one link for all, or channels to
 * and from the ranks beside this one. */
typedef struct {
  gpu_link *all;
  gpu_link *to[2], *from[2]; /* [0] rank - 1, [1] rank + 1 */
} gpu_links;

/** Ends the run if e is an error of `what`. */
void gpu_nccl_ok(ncclResult_t e, const char *what);

/** Before the first group and behind the last, when all have arrived. */
void gpu_nccl_table_open(hy_meter *meter);
void gpu_nccl_table_close(void);
#endif

#endif
