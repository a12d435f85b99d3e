/* gpu_lane.c: copies between the host and the GPU beside the kernels, each
 * direction in a stream of its own. */
#include "gpu/gpu_lane.h"
#include "gpu/gpu.h"

/* Those of copies are made when they are first used. */
static struct {
  cudaStream_t stream;
  cudaEvent_t reached; /* by the lane, when another one was to follow it */
} lane[HY_N_LANE];

static cudaStream_t
stream_of(int i)
{
  if (i == HY_LANE_WORK)
    return gpu_stream();
  if (!lane[i].stream)
    gpu_check(cudaStreamCreateWithFlags(&lane[i].stream, cudaStreamNonBlocking),
              "opening a stream of copies");
  return lane[i].stream;
}

void
gpu_load_start(void *to, const void *host, size_t bytes)
{
  if (bytes)
    gpu_check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice,
                              stream_of(HY_LANE_IN)),
              "copy from the host");
}

void
gpu_read_start(void *host, const void *from, size_t bytes)
{
  if (bytes)
    gpu_check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost,
                              stream_of(HY_LANE_OUT)),
              "copy to the host");
}

void
gpu_follow(int a, int b)
{
  if (!lane[b].reached)
    gpu_check(
        cudaEventCreateWithFlags(&lane[b].reached, cudaEventDisableTiming),
        "making an event");
  gpu_check(cudaEventRecord(lane[b].reached, stream_of(b)), "an event");
  gpu_check(cudaStreamWaitEvent(stream_of(a), lane[b].reached, 0),
            "waiting for an event");
}

void
gpu_wait(void)
{
  for (int i = HY_LANE_OUT; i > HY_LANE_WORK; i--)
    if (lane[i].stream)
      gpu_check(cudaStreamSynchronize(lane[i].stream), "waiting for copies");
  gpu_check(cudaStreamSynchronize(gpu_stream()), "waiting");
}

void
gpu_lane_close(void)
{
  for (int i = 0; i < HY_N_LANE; i++) {
    if (lane[i].stream)
      cudaStreamDestroy(lane[i].stream);
    if (lane[i].reached)
      cudaEventDestroy(lane[i].reached);
    lane[i].stream = NULL;
    lane[i].reached = NULL;
  }
}
