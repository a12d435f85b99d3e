// shim_vmm.cpp: the driver's virtual memory: addresses without memory are pages
// that nobody may touch, memory behind them is given page by page and full of
// NaN. What is used wrongly (memory twice, a piece in parts, addresses still in
// use) is refused, as CUDA does.
#include "include/cuda.h"
#include "include/cuda_runtime_api.h"
#include "stream.h"
#include <cstring>
#include <map>
#include <sys/mman.h>

enum : size_t { GRAIN = 64 << 10, ALL = (size_t)16 << 30 };

static std::map<CUdeviceptr, size_t> Reserved, Mapped;
static std::map<CUmemGenericAllocationHandle, size_t> Memory;
static CUmemGenericAllocationHandle Next = 1;
static size_t Used;

static CUresult
attribute(int *v, CUdevice_attribute, CUdevice)
{
  *v = 1;
  return CUDA_SUCCESS;
}

static CUresult
granularity(size_t *n, const CUmemAllocationProp *,
            CUmemAllocationGranularity_flags)
{
  *n = GRAIN;
  return CUDA_SUCCESS;
}

static CUresult
reserve(CUdeviceptr *p, size_t n, size_t, CUdeviceptr, unsigned long long)
{
  void *at;

  if (n == 0 || n % GRAIN)
    return CUDA_ERROR_INVALID_VALUE;
  at = mmap(nullptr, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1, 0);
  if (at == MAP_FAILED)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *p = (CUdeviceptr)at;
  Reserved[*p] = n;
  return CUDA_SUCCESS;
}

static CUresult
unreserve(CUdeviceptr p, size_t n)
{
  auto r = Reserved.find(p);
  auto m = Mapped.lower_bound(p);

  if (r == Reserved.end() || r->second != n ||
      (m != Mapped.end() && m->first < p + n))
    return CUDA_ERROR_INVALID_VALUE;
  Reserved.erase(r);
  munmap((void *)p, n);
  return CUDA_SUCCESS;
}

static CUresult
create(CUmemGenericAllocationHandle *h, size_t n, const CUmemAllocationProp *,
       unsigned long long)
{
  if (n == 0 || n % GRAIN)
    return CUDA_ERROR_INVALID_VALUE;
  if (n > ALL - Used)
    return CUDA_ERROR_OUT_OF_MEMORY;
  Used += n;
  Memory[ *h = Next++] = n;
  return CUDA_SUCCESS;
}

// It lives on where it is mapped.
static CUresult
release(CUmemGenericAllocationHandle h)
{
  return Memory.erase(h) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
map(CUdeviceptr p, size_t n, size_t offset, CUmemGenericAllocationHandle h,
    unsigned long long)
{
  auto r = Reserved.upper_bound(p);
  auto m = Mapped.upper_bound(p);

  if (offset || !Memory.count(h) || Memory[h] != n || r == Reserved.begin() ||
      (--r, p + n > r->first + r->second) || (p - r->first) % GRAIN ||
      (m != Mapped.end() && p + n > m->first) ||
      (m != Mapped.begin() && (--m, p < m->first + m->second)))
    return CUDA_ERROR_INVALID_VALUE;
  Mapped[p] = n;
  return CUDA_SUCCESS;
}

static CUresult
unmap(CUdeviceptr p, size_t n)
{
  auto m = Mapped.find(p);

  if (m == Mapped.end() || m->second != n)
    return CUDA_ERROR_INVALID_VALUE;
  cudaDeviceSynchronize();
  Mapped.erase(m);
  Used -= n;
  shim_memory((void *)p, 0);
  mmap((void *)p, n, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return CUDA_SUCCESS;
}

static CUresult
set_access(CUdeviceptr p, size_t n, const CUmemAccessDesc *, size_t)
{
  auto m = Mapped.find(p);

  if (m == Mapped.end() || m->second != n ||
      mprotect((void *)p, n, PROT_READ | PROT_WRITE))
    return CUDA_ERROR_INVALID_VALUE;
  memset((void *)p, 0xff, n);
  shim_memory((void *)p, n);
  return CUDA_SUCCESS;
}

static const struct {
  const char *name;
  void *fn;
} Entry[] = {
    {"cuDeviceGetAttribute", (void *)attribute},
    {"cuMemGetAllocationGranularity", (void *)granularity},
    {"cuMemAddressReserve", (void *)reserve},
    {"cuMemAddressFree", (void *)unreserve},
    {"cuMemCreate", (void *)create},
    {"cuMemRelease", (void *)release},
    {"cuMemMap", (void *)map},
    {"cuMemUnmap", (void *)unmap},
    {"cuMemSetAccess", (void *)set_access},
};

extern "C" cudaError_t
cudaGetDriverEntryPointByVersion(const char *symbol, void **fn, unsigned,
                                 unsigned long long,
                                 cudaDriverEntryPointQueryResult *result)
{
  *fn = nullptr;
  for (auto &e : Entry)
    if (!strcmp(e.name, symbol))
      *fn = e.fn;
  *result =
      *fn ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
