/* gpu_kit.c: array functions of the CUDA backend (op/backend.h). */
#include "gpu/gpu.h"

const hy_kit gpu_kit = {0};
