/* grid.cpp: launches: what CUDA would refuse is refused, blocks run one after
 * another. */
#include "block.h"
#include "queue.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace shim
{

/* Dynamic shared memory that kernels have asked for beyond the default. */
static std::map<const void *, size_t> shared_limit;

enum { MAX_SHARED = 227 << 10, DEFAULT_SHARED = 48 << 10 };

static void
run_block(unsigned number, size_t shmem)
{
  Quiet quiet; /* memory of one block comes back for the next */

  blockIdx.x = number % gridDim.x;
  blockIdx.y = number / gridDim.x % gridDim.y;
  blockIdx.z = number / (gridDim.x * gridDim.y);
  block.dynamic = nullptr;
  if (shmem) {
    /* of the exact size, for the red zone behind it */
    if (posix_memalign(&block.dynamic, 128, shmem))
      die("no memory for shared memory");
    memset(block.dynamic, 0xff, shmem);
  }
  block_run();
  free(block.dynamic);
}

/* HYMN_SHIM_FAIL=NAME:N, and this is the launch? */
static bool
shall_fail(const char *name)
{
  static int seen;
  const char *what = settings().fail;

  if (!what)
    return false;
  return strstr(name, std::string(what, strcspn(what, ":")).c_str()) &&
         ++seen == settings().fail_at;
}

void
run_grid(const char *name, dim3 grid, dim3 threads, size_t shmem,
         const std::function<void()> &body)
{
  unsigned total = grid.x * grid.y * grid.z;

  if (settings().trace)
    fprintf(stderr, "cuda_shim: %s<<<(%u,%u,%u),(%u,%u,%u),%zu>>>\n", name,
            grid.x, grid.y, grid.z, threads.x, threads.y, threads.z, shmem);
  if (shall_fail(name)) {
    fail_for_good(cudaErrorIllegalAddress);
    return;
  }
  gridDim = grid;
  blockDim = threads;
  block.n = (int)(threads.x * threads.y * threads.z);
  block.body = &body;
  for (unsigned i = 0; i < total; i++)
    run_block(settings().reverse ? total - 1 - i : i, shmem);
  acquire(&grid_end);
  graves_clear();
}

/* What the launch itself says of its shape. */
static cudaError_t
check_launch(const void *kernel, dim3 grid, dim3 threads, size_t shmem)
{
  uint64_t n = (uint64_t)threads.x * threads.y * threads.z;
  auto limit = shared_limit.find(kernel);
  size_t most = !kernel                       ? (size_t)MAX_SHARED
                : limit == shared_limit.end() ? (size_t)DEFAULT_SHARED
                                              : limit->second;

  if (status() != cudaSuccess)
    return status();
  if (settings().arch < 80)
    return cudaErrorNoKernelImageForDevice;
  if (!n || n > 1024 || threads.z > 64 || !grid.x || !grid.y || !grid.z ||
      grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  return shmem > most ? cudaErrorInvalidValue : cudaSuccess;
}

void
launch(const char *name, const void *kernel, dim3 grid, dim3 threads,
       size_t shmem, cudaStream_t s, std::function<void()> body)
{
  cudaError_t e = check_launch(kernel, grid, threads, shmem);

  if (e != cudaSuccess)
    fail(e);
  else
    post(stream_of(s), [=] { run_grid(name, grid, threads, shmem, body); });
}

void
launch(const char *name, dim3 grid, dim3 threads, size_t shmem, cudaStream_t s,
       std::function<void()> body)
{
  launch(name, nullptr, grid, threads, shmem, s, std::move(body));
}

} // namespace shim

cudaError_t
cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attr, int value)
{
  if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize)
    return cudaSuccess;
  if (value < 0 || value > shim::MAX_SHARED)
    return shim::fail(cudaErrorInvalidValue);
  shim::shared_limit[kernel] = (size_t)value;
  return cudaSuccess;
}
