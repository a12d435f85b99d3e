/* gpu_moe.c: bodies of router, permute, combine, seq_count, seq_aux on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
