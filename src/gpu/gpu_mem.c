/* gpu_mem.c: memory of the GPU. */
#include "gpu/gpu.h"
#include "gpu/gpu_comm.h"
#include "gpu/gpu_fetch.h"
#include "gpu/gpu_lane.h"
#include "gpu/gpu_load.h"
#include "gpu/gpu_space.h"

#include <string.h>

static void zero(void *p, size_t bytes);

static void *
get(size_t bytes)
{
  void *p;

  if (cudaMalloc(&p, bytes ? bytes : 1) != cudaSuccess) {
    cudaGetLastError(); /* forget it: the caller says what it means */
    return NULL;
  }
  zero(p, bytes);
  return p;
}

static void
put(void *p)
{
  gpu_check(cudaFree(p), "giving back memory");
}

static void *
get_host(size_t bytes)
{
  void *p;

  if (cudaMallocHost(&p, bytes ? bytes : 1) != cudaSuccess) {
    cudaGetLastError();
    return NULL;
  }
  return memset(p, 0, bytes ? bytes : 1);
}

static void
put_host(void *p)
{
  gpu_check(cudaFreeHost(p), "giving back memory of the host");
}

static void
zero(void *p, size_t bytes)
{
  if (bytes)
    gpu_check(cudaMemsetAsync(p, 0, bytes, gpu_stream()), "clearing memory");
}

static void
zero_rows(void *p, size_t step, size_t bytes, int64_t n_rows)
{
  if (bytes > 0 && n_rows > 0)
    gpu_check(
        cudaMemset2DAsync(p, step, 0, bytes, (size_t)n_rows, gpu_stream()),
        "clearing rows");
}

static void
move(char *to, const char *from, size_t bytes)
{
  gpu_check(
      cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, gpu_stream()),
      "copy");
}

/* What overlaps by a little less than all of it goes through here. */
enum { BOUNCE = 8 << 20 };
static char *bounce;

static void
copy(void *to, const void *from, size_t bytes)
{
  char *out = to;
  const char *in = from;
  size_t step = out < in ? (size_t)(in - out) : (size_t)(out - in);
  int twice = step < BOUNCE && step < bytes;

  if (bytes == 0 || step == 0)
    return;
  if (twice && !bounce)
    gpu_check(cudaMalloc((void **)&bounce, BOUNCE), "room for a copy");
  step = twice ? BOUNCE : step;
  /* In pieces that do not overlap, or by way of bounce, from the safe end. */
  for (size_t done = 0; done < bytes; done += step) {
    size_t n = bytes - done < step ? bytes - done : step;
    size_t at = out < in ? done : bytes - done - n;

    if (twice)
      move(bounce, in + at, n);
    move(out + at, twice ? bounce : in + at, n);
  }
}

static void
copy_rows(void *to, size_t to_step, const void *from, size_t from_step,
          size_t bytes, int64_t n_rows)
{
  if (bytes > 0 && n_rows > 0)
    gpu_check(cudaMemcpy2DAsync(to, to_step, from, from_step, bytes,
                                (size_t)n_rows, cudaMemcpyDeviceToDevice,
                                gpu_stream()),
              "copy of rows");
}

static void
wait_all(void)
{
  gpu_comm_enter();
  gpu_check(cudaStreamSynchronize(gpu_stream()), "waiting");
  gpu_comm_leave();
}

static void
read_back(void *host, const void *from, size_t bytes)
{
  if (bytes == 0)
    return;
  gpu_check(
      cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, gpu_stream()),
      "copy to the host");
  wait_all();
}

void
gpu_mem_end(void)
{
  gpu_load_end();
  gpu_fetch_end();
  if (bounce)
    put(bounce);
  bounce = NULL;
}

const hy_mem gpu_mem = {.get = get,
                        .put = put,
                        .get_host = get_host,
                        .put_host = put_host,
                        .zero = zero,
                        .zero_rows = zero_rows,
                        .copy = copy,
                        .copy_rows = copy_rows,
                        .load = gpu_load,
                        .read = read_back,
                        .fetch = gpu_fetch,
                        .fetched = gpu_fetched,
                        .wait = gpu_wait,
                        .load_start = gpu_load_start,
                        .read_start = gpu_read_start,
                        .follow = gpu_follow,
                        .room = gpu_room,
                        .used = gpu_used,
                        .space = &gpu_space};
