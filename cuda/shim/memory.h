/* memory.h: who owns which addresses, and when the host may not touch them. */
#ifndef HYMN_SHIM_MEMORY_H
#define HYMN_SHIM_MEMORY_H

#include "shim.h"

namespace shim
{

enum Kind { PAGEABLE, PINNED, DEVICE };

/** Whose memory the address is. */
Kind kind_of(const void *p);

/** Whether all of it is device memory that is there. */
bool is_device(const void *p, size_t bytes);

void memory_add(void *p, size_t bytes, Kind kind);
/** \return its bytes; 0: nothing begins there, or it is of another kind */
size_t memory_remove(void *p, Kind kind);

/** Count what the current device has given; false: it has not so much. */
bool memory_take(size_t bytes);
void memory_give(size_t bytes);

/** Whether device memory is protected from the host (arena.cpp); else what
 *  cudaMalloc gives is from malloc, whose red zones the sanitizers know. */
bool arena_used();
/** Addresses without memory; NULL: none left. */
void *arena_reserve(size_t bytes, size_t align);
void arena_free(void *p, size_t bytes);
/** Memory behind them, full of NaN, and away again. false: there is none. */
bool arena_commit(void *p, size_t bytes);
void arena_release(void *p, size_t bytes);

/** Around the work of streams: device memory can be touched. They nest. */
void device_open();
void device_close();

/** The current device. */
int device_now();

} // namespace shim

#endif
