/* gpu_conv.c: bodies of conv1d on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
