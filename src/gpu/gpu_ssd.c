/* gpu_ssd.c: bodies of ssd, ssd_state on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
