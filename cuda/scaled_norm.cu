/* scaled_norm.cu: x w / sqrt(s / width + eps), s another input. */
#include "scaled_norm.h"
#include "norm_bwd.cuh"

CU_API void
cu_scaled_norm_fwd(cudaStream_t s, const cu_norm *a)
{
  cu_norm_fwd<CU_NORM_SCALED>(s, *a);
}

CU_API void
cu_scaled_norm_bwd(cudaStream_t s, const cu_norm *a)
{
  cu_norm_bwd<CU_NORM_SCALED>(s, *a);
}
