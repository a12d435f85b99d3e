/* gated_rmsnorm.cu: RMS norm of y silu(z), by groups. */
#include "gated_rmsnorm.h"
#include "norm_bwd.cuh"

CU_API void
cu_gated_rmsnorm_fwd(cudaStream_t s, const cu_norm *a)
{
  cu_norm_fwd<CU_NORM_GATED>(s, *a);
}

CU_API void
cu_gated_rmsnorm_bwd(cudaStream_t s, const cu_norm *a)
{
  cu_norm_bwd<CU_NORM_GATED>(s, *a);
}
