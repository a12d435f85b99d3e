/* gate.h: see gate.cu. */
#ifndef HYMN_CUDA_GATE_H
#define HYMN_CUDA_GATE_H

#include "cu.h"

CU_API void cu_gate_fwd(cudaStream_t s, cu_mat u, cu_mat y, cu_mat z,
                        int64_t rows, int64_t n);
/** dy = beta_y dy + its gradient, dz likewise; NULL: not wanted. */
CU_API void cu_gate_bwd(cudaStream_t s, cu_mat dy, float beta_y, cu_mat dz,
                        float beta_z, cu_mat y, cu_mat z, cu_mat du,
                        int64_t rows, int64_t n);

#endif
