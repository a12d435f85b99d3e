/* gpu_attention.c: bodies of attention, attention_block on the GPU: arguments of the kernels from the records. */
#include "gpu/gpu.h"
