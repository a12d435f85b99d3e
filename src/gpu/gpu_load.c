/* gpu_load.c: from the host to the GPU without waiting for it.
 *
 * What is small (the columns of a batch, lists, numbers) is put into a ring of
 * pinned memory, from which the GPU fetches it when its stream comes to it; the
 * host goes on. Only when the ring is full, or for what is larger, it waits. */
#include "gpu/gpu_load.h"
#include "gpu/gpu.h"
#include "base/err.h"

#include <string.h>

enum {
  RING = 16 << 20,  /* bytes of the ring */
  SMALL = RING / 4, /* the largest load that goes through it */
  N_LOAD = 64,      /* loads under way */
  ALIGN = 256
};

/* Loads first .. first+n-1 (modulo N_LOAD) are under way, oldest first. They
 * take the bytes from begin[first] to `end`, perhaps around the ring's end. */
static struct {
  char *base; /* NULL: not there yet */
  size_t begin[N_LOAD], end;
  cudaEvent_t done[N_LOAD];
  int first, n;
} ring;

/* 0: no room for it. */
static int
ring_open(void)
{
  if (ring.base)
    return 1;
  ring.base = gpu_mem.get_host(RING);
  if (!ring.base)
    return 0;
  for (int i = 0; i < N_LOAD; i++)
    gpu_check(cudaEventCreateWithFlags(&ring.done[i], cudaEventDisableTiming),
              "preparing loads");
  return 1;
}

static void
forget_oldest(void)
{
  gpu_check(cudaEventSynchronize(ring.done[ring.first]), "waiting for a load");
  ring.first = (ring.first + 1) % N_LOAD;
  ring.n--;
}

/* Where n bytes behind the last load are free; RING: nowhere. */
static size_t
place(size_t n)
{
  size_t begin = ring.begin[ring.first];

  if (ring.n == 0)
    return 0;
  if (ring.end > begin) { /* not around: behind, or else in front */
    if (n <= RING - ring.end)
      return ring.end;
    return n < begin ? 0 : RING; /* end == begin would look empty */
  }
  return n < begin - ring.end ? ring.end : RING;
}

static void
direct(void *to, const void *host, size_t bytes)
{
  gpu_check(
      cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, gpu_stream()),
      "copy from the host");
  gpu_mem.wait();
}

/* A graph would fetch again from where other loads have been since. */
static void
not_in_a_graph(void)
{
  enum cudaStreamCaptureStatus s = cudaStreamCaptureStatusNone;

  if (gpu_stream())
    gpu_check(cudaStreamIsCapturing(gpu_stream(), &s), "copy from the host");
  if (s != cudaStreamCaptureStatusNone)
    hy_die(HY_EBUG, "CUDA: a copy from the host inside a graph; report this");
}

void
gpu_load(void *to, const void *host, size_t bytes)
{
  size_t n = (bytes + ALIGN - 1) / ALIGN * ALIGN, at;
  int last;

  if (bytes == 0)
    return;
  not_in_a_graph();
  if (n > SMALL || !ring_open()) {
    direct(to, host, bytes);
    return;
  }
  if (ring.n == N_LOAD)
    forget_oldest();
  while ((at = place(n)) == RING)
    forget_oldest();
  memcpy(ring.base + at, host, bytes);
  gpu_check(cudaMemcpyAsync(to, ring.base + at, bytes, cudaMemcpyHostToDevice,
                            gpu_stream()),
            "copy from the host");
  last = (ring.first + ring.n++) % N_LOAD;
  ring.begin[last] = at;
  ring.end = at + n;
  gpu_check(cudaEventRecord(ring.done[last], gpu_stream()),
            "copy from the host");
}

void
gpu_load_end(void)
{
  if (!ring.base)
    return;
  while (ring.n > 0)
    forget_oldest();
  for (int i = 0; i < N_LOAD; i++)
    gpu_check(cudaEventDestroy(ring.done[i]), "ending loads");
  gpu_mem.put_host(ring.base);
  ring.base = NULL;
}
