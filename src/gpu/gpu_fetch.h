/* gpu_fetch.h: a few bytes from the GPU while it goes on. */
#ifndef HYMN_GPU_GPU_FETCH_H
#define HYMN_GPU_GPU_FETCH_H

#include <stddef.h>

/** As hy_mem.fetch and hy_mem.fetched say. */
const void *gpu_fetch(const void *from, size_t bytes);
void gpu_fetched(void);

/** Give back what fetches have needed. */
void gpu_fetch_end(void);

#endif
