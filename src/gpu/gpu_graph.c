/* gpu_graph.c: pieces of a program as CUDA graphs. */
#include "gpu/gpu.h"
#include "base/mem.h"

#include <stdlib.h>

/* A piece runs once plainly, which brings libraries and memory into the state
 * they stay in, then once for the record; from then on it is played. */
struct hy_recording {
  int warm;
  cudaGraphExec_t exec; /* NULL: not recorded yet */
};

static void
record(hy_recording *r, void (*run)(void *), void *arg)
{
  cudaGraph_t graph;

  gpu_check(cudaStreamBeginCapture(gpu_stream(), cudaStreamCaptureModeRelaxed),
            "beginning a graph");
  run(arg);
  gpu_check(cudaStreamEndCapture(gpu_stream(), &graph), "ending a graph");
  gpu_check(cudaGraphInstantiate(&r->exec, graph, 0), "making a graph");
  gpu_check(cudaGraphDestroy(graph), "making a graph");
}

static int
play(hy_recording **at, void (*run)(void *), void *arg)
{
  hy_recording *r = *at;
  int ran = !r || !r->exec;

  if (!r)
    r = *at = hy_calloc(1, sizeof *r);
  if (!r->warm) {
    r->warm = 1;
    run(arg);
    return 1;
  }
  if (!r->exec)
    record(r, run, arg);
  gpu_check(cudaGraphLaunch(r->exec, gpu_stream()), "a graph");
  return ran;
}

static void
drop(hy_recording *r)
{
  gpu_check(cudaStreamSynchronize(gpu_stream()), "waiting");
  if (r->exec)
    gpu_check(cudaGraphExecDestroy(r->exec), "giving back a graph");
  free(r);
}

const hy_record gpu_record = {play, drop};
