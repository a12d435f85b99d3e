/* gpu_grouped.c: bodies of grouped_linear on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
