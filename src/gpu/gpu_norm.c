/* gpu_norm.c: bodies of rmsnorm, gated_rmsnorm, sum_squares, scaled_norm on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
