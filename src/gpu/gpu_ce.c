/* gpu_ce.c: bodies of ce_stat, ce on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
