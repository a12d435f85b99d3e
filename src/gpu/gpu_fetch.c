/* gpu_fetch.c: a few bytes from the GPU while it goes on: a copy in its stream
 * to pinned memory, and an event behind the copy for which the host waits. */
#include "gpu/gpu_fetch.h"
#include "gpu/gpu.h"
#include "base/err.h"
#include "gpu/gpu_comm.h"

static struct {
  void *host; /* pinned; NULL: not there yet */
  size_t size;
  cudaEvent_t done;
} at;

static void
make_room(size_t bytes)
{
  if (at.host && at.size >= bytes)
    return;
  gpu_fetch_end();
  at.size = bytes > 4096 ? bytes : 4096;
  at.host = gpu_mem.get_host(at.size);
  if (!at.host)
    hy_die(HY_ERES, "CUDA: no pinned memory for %zu bytes", at.size);
  gpu_check(cudaEventCreateWithFlags(&at.done, cudaEventDisableTiming),
            "preparing a read");
}

const void *
gpu_fetch(const void *from, size_t bytes)
{
  make_room(bytes);
  gpu_check(cudaMemcpyAsync(at.host, from, bytes, cudaMemcpyDeviceToHost,
                            gpu_stream()),
            "copy to the host");
  gpu_check(cudaEventRecord(at.done, gpu_stream()), "copy to the host");
  return at.host;
}

void
gpu_fetched(void)
{
  gpu_comm_enter();
  gpu_check(cudaEventSynchronize(at.done), "waiting for a copy to the host");
  gpu_comm_leave();
}

void
gpu_fetch_end(void)
{
  if (!at.host)
    return;
  gpu_mem.put_host(at.host);
  gpu_check(cudaEventDestroy(at.done), "giving back a read");
  at.host = NULL;
}
