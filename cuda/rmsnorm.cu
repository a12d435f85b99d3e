/* rmsnorm.cu: x / rms(x) * w. */
#include "rmsnorm.h"
#include "norm_bwd.cuh"

CU_API void
cu_rmsnorm_fwd(cudaStream_t s, const cu_norm *a)
{
  cu_norm_fwd<CU_NORM_PLAIN>(s, *a);
}

CU_API void
cu_rmsnorm_bwd(cudaStream_t s, const cu_norm *a)
{
  cu_norm_bwd<CU_NORM_PLAIN>(s, *a);
}
