/* gpu_space.c: addresses of the GPU that get memory as it is used, by the
 * driver's virtual memory. Its functions come through the runtime, so that the
 * module does not depend on the driver's library. A driver without them gives
 * all memory at once. */
#include "gpu/gpu_space.h"
#include "gpu/gpu.h"
#include "base/err.h"

#include <cuda.h>
#include <stdlib.h>
#include <string.h>

/* A piece of memory behind the addresses; it can only be taken away as it
 * came. */
typedef struct {
  size_t at, size;
} piece;

typedef struct range {
  struct range *next;
  CUdeviceptr base;
  size_t size, there; /* addresses; how many have memory, from the first on */
  piece *piece;
  int n_piece;
} range;

/* One GPU a process. */
static struct {
  int asked, works; /* whether the driver has it */
  size_t grain;
  CUmemAllocationProp prop;
  range *first;
} vm;

static struct {
  CUresult(CUDAAPI *attribute)(int *, CUdevice_attribute, CUdevice);
  CUresult(CUDAAPI *granularity)(size_t *, const CUmemAllocationProp *,
                                 CUmemAllocationGranularity_flags);
  CUresult(CUDAAPI *reserve)(CUdeviceptr *, size_t, size_t, CUdeviceptr,
                             unsigned long long);
  CUresult(CUDAAPI *unreserve)(CUdeviceptr, size_t);
  CUresult(CUDAAPI *create)(CUmemGenericAllocationHandle *, size_t,
                            const CUmemAllocationProp *, unsigned long long);
  CUresult(CUDAAPI *release)(CUmemGenericAllocationHandle);
  CUresult(CUDAAPI *map)(CUdeviceptr, size_t, size_t,
                         CUmemGenericAllocationHandle, unsigned long long);
  CUresult(CUDAAPI *unmap)(CUdeviceptr, size_t);
  CUresult(CUDAAPI *set_access)(CUdeviceptr, size_t, const CUmemAccessDesc *,
                                size_t);
} cu;

static const struct {
  const char *name;
  void *at; /* the pointer's place in cu */
} entry[] = {
    {"cuDeviceGetAttribute", &cu.attribute},
    {"cuMemGetAllocationGranularity", &cu.granularity},
    {"cuMemAddressReserve", &cu.reserve},
    {"cuMemAddressFree", &cu.unreserve},
    {"cuMemCreate", &cu.create},
    {"cuMemRelease", &cu.release},
    {"cuMemMap", &cu.map},
    {"cuMemUnmap", &cu.unmap},
    {"cuMemSetAccess", &cu.set_access},
};

static cudaError_t
look_up(const char *name, void **fn)
{
  enum cudaDriverEntryPointQueryResult found;

#if CUDART_VERSION >= 12050
  return cudaGetDriverEntryPointByVersion(name, fn, 11000, 0, &found);
#else
  return cudaGetDriverEntryPoint(name, fn, 0, &found);
#endif
}

static int
find_functions(void)
{
  for (size_t i = 0; i < sizeof entry / sizeof *entry; i++) {
    void *fn = NULL;

    if (look_up(entry[i].name, &fn) != cudaSuccess || !fn) {
      cudaGetLastError();
      return 0;
    }
    memcpy(entry[i].at, &fn, sizeof fn);
  }
  return 1;
}

static int
has(CUdevice_attribute what, int device)
{
  int v = 0;

  return cu.attribute(&v, what, device) == CUDA_SUCCESS && v;
}

static int
works(void)
{
  int device = 0;

  if (vm.asked)
    return vm.works;
  vm.asked = 1;
  gpu_check(cudaGetDevice(&device), "asking for the GPU");
  gpu_check(cudaFree(NULL), "starting the GPU");
  if (!find_functions() ||
      !has(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device))
    return 0;
  vm.prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  vm.prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  vm.prop.location.id = device;
  /* a network card may read it, where one can */
  vm.prop.allocFlags.gpuDirectRDMACapable = (unsigned char)has(
      CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, device);
  return vm.works =
             cu.granularity(&vm.grain, &vm.prop,
                            CU_MEM_ALLOC_GRANULARITY_MINIMUM) == CUDA_SUCCESS;
}

static size_t
whole(size_t bytes)
{
  return (bytes + vm.grain - 1) / vm.grain * vm.grain;
}

static void
check(CUresult e, const char *what)
{
  if (e != CUDA_SUCCESS)
    hy_die(HY_ERES, "CUDA: %s: driver error %d", what, (int)e);
}

static void *
reserve(size_t size)
{
  range *r;

  if (!works())
    return gpu_mem.get(size);
  r = hy_calloc(1, sizeof *r);
  r->size = whole(size);
  if (cu.reserve(&r->base, r->size, 0, 0, 0) != CUDA_SUCCESS) {
    free(r);
    return NULL;
  }
  r->next = vm.first;
  vm.first = r;
  return (void *)(uintptr_t)r->base;
}

static range **
find(const void *base)
{
  range **at = &vm.first;

  while (*at && (*at)->base != (CUdeviceptr)(uintptr_t)base)
    at = &(*at)->next;
  return at;
}

/* n more bytes behind what is there; 0: there is no memory. */
static int
grow(range *r, size_t n)
{
  CUmemAccessDesc all = {vm.prop.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  CUmemGenericAllocationHandle h;
  CUresult e = cu.create(&h, n, &vm.prop, 0);

  if (e == CUDA_ERROR_OUT_OF_MEMORY)
    return 0;
  check(e, "getting memory");
  check(cu.map(r->base + r->there, n, 0, h, 0), "memory behind addresses");
  check(cu.release(h), "memory behind addresses"); /* the addresses keep it */
  check(cu.set_access(r->base + r->there, n, &all, 1),
        "memory behind addresses");
  r->piece = hy_realloc(r->piece, (size_t)(r->n_piece + 1) * sizeof *r->piece);
  r->piece[r->n_piece++] = (piece){r->there, n};
  r->there += n;
  return 1;
}

/* A little more than is needed at once, or growth would take forever. */
static size_t
commit(void *base, size_t from, size_t to)
{
  range *r = *find(base);
  size_t need, more;

  (void)from;
  if (!r)
    return to; /* it has all */
  if (to <= r->there)
    return r->there;
  need = whole(to) - r->there;
  more = whole(r->there / 32);
  if (more > r->size - r->there)
    more = r->size - r->there;
  if (more > need && grow(r, more))
    return r->there;
  return grow(r, need) ? r->there : 0;
}

static void
release(void *base, size_t size)
{
  range **at = find(base), *r = *at;

  (void)size;
  if (!r) {
    gpu_mem.put(base);
    return;
  }
  gpu_check(cudaDeviceSynchronize(), "waiting");
  for (int i = 0; i < r->n_piece; i++)
    check(cu.unmap(r->base + r->piece[i].at, r->piece[i].size),
          "giving back memory");
  check(cu.unreserve(r->base, r->size), "giving back addresses");
  *at = r->next;
  free(r->piece);
  free(r);
}

const hy_space gpu_space = {reserve, commit, release};
