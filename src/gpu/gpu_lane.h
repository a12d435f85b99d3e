/* gpu_lane.h: copies beside the work, the lanes of hy_mem. */
#ifndef HYMN_GPU_GPU_LANE_H
#define HYMN_GPU_GPU_LANE_H

#include <stddef.h>

void gpu_load_start(void *to, const void *host, size_t bytes);
void gpu_read_start(void *host, const void *from, size_t bytes);
void gpu_follow(int a, int b);

/** All lanes. */
void gpu_wait(void);

/** Give back their streams, where any were used. */
void gpu_lane_close(void);

#endif
