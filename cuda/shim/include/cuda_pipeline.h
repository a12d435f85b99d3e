/* cuda_pipeline.h of the shim: copies into shared memory that run beside the
 * thread. A copy happens only at the wait, and its target holds NaN until then,
 * so that a missing wait or barrier shows. */
#ifndef HYMN_SHIM_CUDA_PIPELINE_H
#define HYMN_SHIM_CUDA_PIPELINE_H

#include "cuda_runtime.h"

inline void
__pipeline_memcpy_async(void *to, const void *from, size_t bytes,
                        size_t zeros = 0)
{
  shim::cp_async(to, from, bytes, zeros);
}

inline void
__pipeline_commit()
{
  shim::cp_commit();
}

inline void
__pipeline_wait_prior(size_t keep)
{
  shim::cp_wait((int)keep);
}

#endif
