/* gpu_module.h: what the module hymn-cuda.so gives to the program that loads
 * it (gpu/device.c). */
#ifndef HYMN_GPU_GPU_MODULE_H
#define HYMN_GPU_GPU_MODULE_H

#include "grid/grid.h"
#include "op/backend.h"

#include <stdio.h>

typedef struct {
  const char *version; /* hy_version() of its build: that of the program */
  /** The GPU of this rank: grid->backend and how its communicators move what
   *  lies there. Collective over grid->world; 0 or HY_ERES (no driver, no GPU,
   *  one that is too old), not agreed upon. */
  int (*open)(hy_grid *grid, hy_fmt act);
  void (*close)(hy_grid *grid);
  /** A line on what the ranks compute on and how they talk, after open. */
  void (*describe)(char *line, size_t size, const hy_grid *grid);
  /** Lines on driver, GPUs and libraries of this node. Not collective. */
  void (*print)(FILE *out);
} hy_gpu_module;

/** The one symbol of the module. */
const hy_gpu_module *hy_gpu_module_get(void);

#endif
