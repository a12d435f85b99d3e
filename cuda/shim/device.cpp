/* device.cpp: what the shim says of its GPUs. */
#include "memory.h"
#include "queue.h"

#include <cstdio>

namespace shim
{

static int now;

int
device_now()
{
  return now;
}

/* No driver, no device, or not this one. */
static cudaError_t
check_device(int d)
{
  if (n_gpus() < 0)
    return cudaErrorInsufficientDriver;
  if (n_gpus() == 0)
    return cudaErrorNoDevice;
  return d < 0 || d >= n_gpus() || d >= 64 ? cudaErrorInvalidDevice : status();
}

/* Figures of an H200. */
static const struct {
  cudaDeviceAttr attr;
  int value;
} attributes[] = {
    {cudaDevAttrMaxThreadsPerBlock, 1024},
    {cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10},
    {cudaDevAttrWarpSize, 32},
    {cudaDevAttrClockRate, 1980000},
    {cudaDevAttrMultiProcessorCount, 132},
    {cudaDevAttrMemoryClockRate, 3201000},
    {cudaDevAttrGlobalMemoryBusWidth, 6144},
    {cudaDevAttrL2CacheSize, 60 << 20},
    {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 228 << 10},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, 227 << 10},
};

static int
attribute(cudaDeviceAttr attr, int d)
{
  switch (attr) {
  case cudaDevAttrComputeCapabilityMajor:
    return settings().arch / 10;
  case cudaDevAttrComputeCapabilityMinor:
    return settings().arch % 10;
  case cudaDevAttrPciBusId:
    return d + 1;
  default:
    for (const auto &a : attributes)
      if (a.attr == attr)
        return a.value;
    return 0;
  }
}

static void
describe(cudaDeviceProp *p, int d)
{
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "CPU as a GPU");
  p->uuid.bytes[0] = (char)(d + 1);
  p->totalGlobalMem = settings().memory;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 227 << 10;
  p->sharedMemPerMultiprocessor = 228 << 10;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->major = settings().arch / 10;
  p->minor = settings().arch % 10;
  p->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount, d);
  p->pciBusID = d + 1;
  p->memoryBusWidth = attribute(cudaDevAttrGlobalMemoryBusWidth, d);
  p->l2CacheSize = attribute(cudaDevAttrL2CacheSize, d);
  p->regsPerMultiprocessor = 65536;
}

} // namespace shim

using namespace shim;

cudaError_t
cudaGetDeviceCount(int *n)
{
  cudaError_t e = check_device(0);

  *n = e == cudaSuccess ? n_gpus() : 0;
  return fail(e);
}

cudaError_t
cudaSetDevice(int d)
{
  cudaError_t e = check_device(d);

  if (e == cudaSuccess)
    now = d;
  return fail(e);
}

cudaError_t
cudaGetDevice(int *d)
{
  *d = now;
  return fail(check_device(now));
}

cudaError_t
cudaSetDeviceFlags(unsigned)
{
  return fail(check_device(now));
}

cudaError_t
cudaGetDeviceProperties(cudaDeviceProp *p, int d)
{
  cudaError_t e = check_device(d);

  if (e == cudaSuccess)
    describe(p, d);
  return fail(e);
}

cudaError_t
cudaDeviceGetAttribute(int *value, cudaDeviceAttr attr, int d)
{
  cudaError_t e = check_device(d);

  if (e == cudaSuccess)
    *value = attribute(attr, d);
  return fail(e);
}

cudaError_t
cudaDeviceGetPCIBusId(char *id, int len, int d)
{
  snprintf(id, (size_t)len, "0000:%02x:00.0", d + 1);
  return fail(check_device(d));
}

cudaError_t
cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
  *least = 0;
  *greatest = -5;
  return fail(check_device(now));
}

cudaError_t
cudaDeviceReset(void)
{
  return cudaDeviceSynchronize();
}

cudaError_t
cudaDriverGetVersion(int *version)
{
  *version = n_gpus() < 0 ? 0 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion(int *version)
{
  *version = CUDART_VERSION;
  return cudaSuccess;
}
