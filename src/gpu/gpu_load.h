/* gpu_load.h: from the host to the GPU without waiting for it. */
#ifndef HYMN_GPU_GPU_LOAD_H
#define HYMN_GPU_GPU_LOAD_H

#include <stddef.h>

/** As hy_mem.load says: the host's memory may be changed after the return. */
void gpu_load(void *to, const void *host, size_t bytes);

/** Give back what loads have needed; they may go on afterwards. */
void gpu_load_end(void);

#endif
