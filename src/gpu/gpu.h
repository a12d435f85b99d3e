/* gpu.h: what the host side of the CUDA backend shares.
 *
 * Kernels are in cuda/, a file for each op; here their arguments are taken
 * from records, memory and streams are kept, and libraries are called. A rank
 * has one GPU and one stream for compute, which keeps the order of everything
 * that the program asks for. */
#ifndef HYMN_GPU_GPU_H
#define HYMN_GPU_GPU_H

#include "cuda/cu.h"
#include "op/op.h"

/** The stream in which bodies run. */
cudaStream_t gpu_stream(void);

/** Bytes that this rank may still get, of a shared GPU its part; bytes of the
 *  GPU that are taken since it was opened, by all who share it. */
size_t gpu_room(void);
size_t gpu_used(void);

/** Ranks that compute on the GPU of this one, itself included. */
int gpu_sharers(void);

/** Ends the run (hy_die) if e is an error: `what`, the op under way, the step,
 *  and what the runtime says. */
void gpu_check(cudaError_t e, const char *what);

extern const hy_mem gpu_mem;

/** Give back what gpu_mem keeps for itself. */
void gpu_mem_end(void);

extern const hy_kit gpu_kit;
extern const hy_travel_kit gpu_travel;
extern const hy_record gpu_record;

/** The backends with fp32 and bf16 activations. */
extern const hy_backend gpu_backend_fp32, gpu_backend_bf16;

static inline cu_mat
gpu_mat(const hy_tensor *t)
{
  return (cu_mat){t->data, t->ld, t->fmt == HY_BF16};
}

static inline cu_mat
gpu_grad(const hy_tensor *t)
{
  return (cu_mat){t->grad, t->ld, t->gfmt == HY_BF16};
}

#endif
