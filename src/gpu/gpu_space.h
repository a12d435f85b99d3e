/* gpu_space.h: addresses of the GPU that get memory as it is used. */
#ifndef HYMN_GPU_GPU_SPACE_H
#define HYMN_GPU_GPU_SPACE_H

#include "base/mem.h"

extern const hy_space gpu_space;

#endif
