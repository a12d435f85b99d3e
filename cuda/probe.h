/* probe.h: see probe.cu. */
#ifndef HYMN_CUDA_PROBE_H
#define HYMN_CUDA_PROBE_H

#include "cu.h"

CU_API cudaError_t cu_probe(void);

#endif
