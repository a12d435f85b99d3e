/* device.h: what the ranks of a run compute on. */
#ifndef HYMN_GPU_DEVICE_H
#define HYMN_GPU_DEVICE_H

#include "deck/deck.h"
#include "grid/grid.h"

#include <stdio.h>

/** 0, or HY_EDECK: job.device and job.precision do not go together. Not
 *  collective. */
int hy_device_check(const hy_deck *d);

/** Give the grid the backend of job.device and job.precision. 'cuda' loads the
 *  module hymn-cuda.so: $HYMN_CUDA_MODULE, else beside the program.
 *  Collective over grid->world. \return 0, HY_EDECK, HY_ERES (no module, no
 *  driver, no GPU, one that cannot run it), the same on every rank. */
int hy_device_open(hy_grid *grid, const hy_deck *d);
void hy_device_close(hy_grid *grid);

/** A line about it for the start of a job: the GPU, ranks on each, how ranks
 *  talk; "" on CPUs. Valid until hy_device_close. */
const char *hy_device_line(const hy_grid *grid);

/** The same backend for a dry run: nothing is loaded. */
void hy_device_plan(hy_grid *grid, const hy_deck *d);

/** What this machine offers, for hymn --version and --check. */
void hy_device_print(FILE *out);

#endif
