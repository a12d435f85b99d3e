/* gpu_linear.c: bodies of linear on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
