/* memory.cpp: allocations of the device and of pinned host memory. Device
 * memory is full of NaN until something is written. */
#include "memory.h"
#include "queue.h"

#include <cstdlib>
#include <map>

namespace shim
{

struct Block_of_memory {
  size_t bytes;
  Kind kind;
};
static std::map<char *, Block_of_memory> known;
static size_t used[64]; /* of each device */

/* What lies at p; known.end(): nothing of the shim. */
static std::map<char *, Block_of_memory>::iterator
find(const void *p)
{
  auto it = known.upper_bound((char *)p);

  if (it == known.begin())
    return known.end();
  --it;
  return (char *)p < it->first + it->second.bytes ? it : known.end();
}

Kind
kind_of(const void *p)
{
  auto it = find(p);

  return it == known.end() ? PAGEABLE : it->second.kind;
}

/* Pieces that were mapped one behind the other are one range. */
bool
is_device(const void *p, size_t bytes)
{
  const char *at = (const char *)p, *end = at + bytes;

  do {
    auto it = find(at);

    if (it == known.end() || it->second.kind != DEVICE)
      return false;
    at = it->first + it->second.bytes;
  } while (at < end);
  return true;
}

void
memory_add(void *p, size_t bytes, Kind kind)
{
  known[(char *)p] = {bytes, kind};
}

size_t
memory_remove(void *p, Kind kind)
{
  auto it = known.find((char *)p);
  size_t bytes;

  if (it == known.end() || it->second.kind != kind)
    return 0;
  bytes = it->second.bytes;
  known.erase(it);
  return bytes;
}

bool
memory_take(size_t bytes)
{
  size_t &u = used[device_now()];

  if (bytes > settings().memory - u)
    return false;
  u += bytes;
  return true;
}

void
memory_give(size_t bytes)
{
  used[device_now()] -= bytes;
}

/* Aligned as CUDA does it. Protected memory ends near the end of its pages,
 * behind which is nothing. */
static void *
get(size_t bytes)
{
  size_t rounded = (bytes + 255) / 256 * 256;
  void *p = nullptr;
  char *base;

  if (!arena_used()) {
    if (posix_memalign(&p, 256, bytes))
      return nullptr;
    memset(p, 0xff, bytes);
    return p;
  }
  base = (char *)arena_reserve(rounded + 4096, 0);
  if (!base || !arena_commit(base, rounded))
    return nullptr;
  return base + (4096 - rounded % 4096) % 4096;
}

static void
put(char *p, size_t bytes)
{
  size_t rounded = (bytes + 255) / 256 * 256;

  if (!arena_used())
    free(p);
  else
    arena_free(p - (uintptr_t)p % 4096, rounded + 4096);
}

static cudaError_t
device_malloc(void **p, size_t bytes)
{
  cudaError_t e = not_captured(nullptr);

  *p = nullptr;
  if (e != cudaSuccess || bytes == 0)
    return fail(e);
  if (!memory_take(bytes))
    return fail(cudaErrorMemoryAllocation);
  *p = get(bytes);
  if (!*p) {
    memory_give(bytes);
    return fail(cudaErrorMemoryAllocation);
  }
  memory_add(*p, bytes, DEVICE);
  return cudaSuccess;
}

static cudaError_t
device_free(void *p)
{
  size_t bytes;

  if (!p)
    return status();
  cudaDeviceSynchronize();
  bytes = memory_remove(p, DEVICE);
  if (!bytes)
    return fail(cudaErrorInvalidValue);
  memory_give(bytes);
  put((char *)p, bytes);
  return status();
}

static cudaError_t
host_malloc(void **p, size_t bytes)
{
  *p = malloc(bytes ? bytes : 1);
  if (!*p)
    return fail(cudaErrorMemoryAllocation);
  memory_add(*p, bytes ? bytes : 1, PINNED);
  return status();
}

static cudaError_t
host_free(void *p)
{
  if (!p)
    return status();
  cudaDeviceSynchronize();
  if (!memory_remove(p, PINNED))
    return fail(cudaErrorInvalidValue);
  free(p);
  return status();
}

} // namespace shim

using namespace shim;

cudaError_t
cudaMalloc(void **p, size_t bytes)
{
  return device_malloc(p, bytes);
}

/* The host reads and writes all memory of the shim. */
cudaError_t
cudaMallocManaged(void **p, size_t bytes, unsigned)
{
  return device_malloc(p, bytes);
}

cudaError_t
cudaFree(void *p)
{
  return device_free(p);
}

cudaError_t
cudaMallocAsync(void **p, size_t bytes, cudaStream_t)
{
  return device_malloc(p, bytes);
}

cudaError_t
cudaFreeAsync(void *p, cudaStream_t)
{
  return device_free(p);
}

cudaError_t
cudaMallocHost(void **p, size_t bytes)
{
  return host_malloc(p, bytes);
}

cudaError_t
cudaHostAlloc(void **p, size_t bytes, unsigned)
{
  return host_malloc(p, bytes);
}

cudaError_t
cudaFreeHost(void *p)
{
  return host_free(p);
}

cudaError_t
cudaHostRegister(void *p, size_t bytes, unsigned)
{
  if (kind_of(p) != PAGEABLE || !bytes)
    return fail(cudaErrorHostMemoryAlreadyRegistered);
  memory_add(p, bytes, PINNED);
  return status();
}

cudaError_t
cudaHostUnregister(void *p)
{
  cudaDeviceSynchronize();
  if (!memory_remove(p, PINNED))
    return fail(cudaErrorHostMemoryNotRegistered);
  return status();
}

cudaError_t
cudaMemGetInfo(size_t *free_, size_t *total)
{
  *total = settings().memory;
  *free_ = settings().memory - used[device_now()];
  return status();
}

cudaError_t
cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
  Kind k = kind_of(p);

  a->type = k == DEVICE   ? cudaMemoryTypeDevice
            : k == PINNED ? cudaMemoryTypeHost
                          : cudaMemoryTypeUnregistered;
  a->device = device_now();
  a->devicePointer = k == PAGEABLE ? nullptr : (void *)p;
  a->hostPointer = k == DEVICE ? nullptr : (void *)p;
  return status();
}
