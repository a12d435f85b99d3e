/* driver.cpp: address space and memory apart from each other, as the driver's
 * functions give them. A piece of memory counts from cuMemCreate on, and can be
 * used from cuMemSetAccess on. */
#include "include/cuda.h"
#include "memory.h"
#include "queue.h"

#include <cstring>
#include <map>

namespace shim
{

/* Of a GPU: 2 MiB; small ones test more. */
static const size_t granule = 64 << 10;

/* A piece is held by its handle and by its mapping. */
struct Piece {
  size_t bytes;
  int holders;
};
static std::map<CUmemGenericAllocationHandle, Piece> pieces;
static std::map<CUdeviceptr, CUmemGenericAllocationHandle> mapped;
static std::map<CUdeviceptr, size_t> reserved;

static bool
is_granular(size_t bytes)
{
  return bytes > 0 && bytes % granule == 0;
}

static void
let_go(CUmemGenericAllocationHandle handle)
{
  Piece &p = pieces[handle];

  if (--p.holders > 0)
    return;
  memory_give(p.bytes);
  pieces.erase(handle);
}

/* Inside of what was reserved, at a granule, and over no other mapping. */
static bool
is_free(CUdeviceptr p, size_t bytes)
{
  auto r = reserved.upper_bound(p);
  auto m = mapped.upper_bound(p);

  if (r == reserved.begin())
    return false;
  --r;
  if (p + bytes > r->first + r->second || (p - r->first) % granule)
    return false;
  if (m != mapped.end() && p + bytes > m->first)
    return false;
  return m == mapped.begin() || (--m, p >= m->first + pieces[m->second].bytes);
}

/* One mapping at a time, as it was made. */
static bool
unmap_one(CUdeviceptr at, size_t *bytes)
{
  auto m = mapped.find(at);

  if (m == mapped.end())
    return false;
  *bytes = pieces[m->second].bytes;
  if (memory_remove((void *)at, DEVICE))
    arena_release((void *)at, *bytes);
  let_go(m->second);
  mapped.erase(m);
  return true;
}

} // namespace shim

using namespace shim;

CUresult
cuDeviceGetAttribute(int *value, CUdevice_attribute, CUdevice)
{
  *value = 1;
  return CUDA_SUCCESS;
}

CUresult
cuMemGetAllocationGranularity(size_t *bytes, const CUmemAllocationProp *,
                              CUmemAllocationGranularity_flags)
{
  *bytes = granule;
  return CUDA_SUCCESS;
}

CUresult
cuMemAddressReserve(CUdeviceptr *p, size_t bytes, size_t align, CUdeviceptr,
                    unsigned long long)
{
  if (!is_granular(bytes))
    return CUDA_ERROR_INVALID_VALUE;
  *p = (CUdeviceptr)arena_reserve(bytes, align > granule ? align : granule);
  if (!*p)
    return CUDA_ERROR_OUT_OF_MEMORY;
  reserved[*p] = bytes;
  return CUDA_SUCCESS;
}

CUresult
cuMemAddressFree(CUdeviceptr p, size_t bytes)
{
  auto r = reserved.find(p);
  auto m = mapped.lower_bound(p);

  if (r == reserved.end() || r->second != bytes ||
      (m != mapped.end() && m->first < p + bytes))
    return CUDA_ERROR_INVALID_VALUE;
  reserved.erase(r);
  arena_free((void *)p, bytes);
  return CUDA_SUCCESS;
}

CUresult
cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
            const CUmemAllocationProp *, unsigned long long)
{
  static CUmemGenericAllocationHandle last;

  if (!is_granular(bytes))
    return CUDA_ERROR_INVALID_VALUE;
  if (!memory_take(bytes))
    return CUDA_ERROR_OUT_OF_MEMORY;
  *handle = ++last;
  pieces[last] = {bytes, 1};
  return CUDA_SUCCESS;
}

CUresult
cuMemRelease(CUmemGenericAllocationHandle handle)
{
  if (!pieces.count(handle))
    return CUDA_ERROR_INVALID_VALUE;
  let_go(handle);
  return CUDA_SUCCESS;
}

CUresult
cuMemMap(CUdeviceptr p, size_t bytes, size_t offset,
         CUmemGenericAllocationHandle handle, unsigned long long)
{
  auto piece = pieces.find(handle);

  if (offset != 0 || piece == pieces.end() || piece->second.bytes != bytes ||
      !is_free(p, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  piece->second.holders++;
  mapped[p] = handle;
  return CUDA_SUCCESS;
}

CUresult
cuMemUnmap(CUdeviceptr p, size_t bytes)
{
  size_t n;

  cudaDeviceSynchronize();
  for (size_t done = 0; done < bytes; done += n)
    if (!unmap_one(p + done, &n))
      return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

CUresult
cuMemSetAccess(CUdeviceptr p, size_t bytes, const CUmemAccessDesc *, size_t)
{
  size_t n;

  for (size_t done = 0; done < bytes; done += n) {
    auto m = mapped.find(p + done);

    if (m == mapped.end())
      return CUDA_ERROR_INVALID_VALUE;
    n = pieces[m->second].bytes;
    if (kind_of((void *)m->first) == DEVICE)
      continue;
    if (!arena_commit((void *)m->first, n))
      return CUDA_ERROR_OUT_OF_MEMORY;
    memory_add((void *)m->first, n, DEVICE);
  }
  return CUDA_SUCCESS;
}

CUresult
cuGetErrorString(CUresult e, const char **text)
{
  *text = cudaGetErrorString((cudaError_t)e);
  return CUDA_SUCCESS;
}

CUresult
cuGetErrorName(CUresult e, const char **name)
{
  *name = cudaGetErrorName((cudaError_t)e);
  return CUDA_SUCCESS;
}

static const struct {
  const char *name;
  void *fn;
} entries[] = {
#define ENTRY(f)                                                               \
  {                                                                            \
#f, (void *)f                                                              \
  }
    ENTRY(cuDeviceGetAttribute),
    ENTRY(cuMemGetAllocationGranularity),
    ENTRY(cuMemAddressReserve),
    ENTRY(cuMemAddressFree),
    ENTRY(cuMemCreate),
    ENTRY(cuMemRelease),
    ENTRY(cuMemMap),
    ENTRY(cuMemUnmap),
    ENTRY(cuMemSetAccess),
    ENTRY(cuGetErrorString),
    ENTRY(cuGetErrorName),
#undef ENTRY
};

cudaError_t
cudaGetDriverEntryPoint(const char *symbol, void **fn, unsigned long long,
                        cudaDriverEntryPointQueryResult *result)
{
  *fn = nullptr;
  for (const auto &e : entries)
    if (!strcmp(e.name, symbol))
      *fn = e.fn;
  if (result)
    *result =
        *fn ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return status();
}

cudaError_t
cudaGetDriverEntryPointByVersion(const char *symbol, void **fn, unsigned,
                                 unsigned long long flags,
                                 cudaDriverEntryPointQueryResult *result)
{
  return cudaGetDriverEntryPoint(symbol, fn, flags, result);
}
