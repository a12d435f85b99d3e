/* stream.h: what a library brings into the shim's streams (nccl.c): work that
 * ends when something outside of this process has happened. */
#ifndef HYMN_SHIM_STREAM_H
#define HYMN_SHIM_STREAM_H

#include "include/cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Work for a stream. When all before it has ended, poll(arg) is called again
 *  and again until it returns 1. */
void shim_post(cudaStream_t s, int (*poll)(void *), void *arg);

/** Let every stream go on as far as it can now. */
void shim_progress(void);

/** As HYMN_SHIM_LAZY: streams run nothing until somebody waits for them. */
void shim_lazy(int on);

/** Called before the process ends because a stream that somebody waits for has
 *  not moved for HYMN_SHIM_PATIENCE seconds (100): say on stderr what is being
 *  waited for. */
void shim_on_stuck(void (*tell)(void));

#ifdef __cplusplus
}
#endif

#endif
