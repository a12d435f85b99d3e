/* gpu.c: the GPU of this rank: which one, its stream, and what its errors
 * say. */
#include "gpu/gpu.h"
#include "gpu/gpu_blas.h"
#include "cuda/probe.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/commit.h"
#include "gpu/gpu_comm.h"
#include "gpu/gpu_lane.h"
#include "gpu/gpu_module.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef HY_CUDA_ARCH
#define HY_CUDA_ARCH "this computer's CPU"
#endif

/* One GPU a process, as there is one MPI. */
static struct {
  cudaStream_t stream;
  int id, sharers; /* number on this node; ranks that compute on it */
  int n_here;      /* GPUs that this rank sees */
  size_t free;     /* bytes when it was opened */
  const hy_meter *meter;
  const char *op; /* that has run last */
  char name[256];
} dev;

cudaStream_t
gpu_stream(void)
{
  return dev.stream;
}

int
gpu_sharers(void)
{
  return dev.sharers;
}

static size_t
free_bytes(void)
{
  size_t free = 0, all;

  gpu_check(cudaMemGetInfo(&free, &all), "asking for free memory");
  return free;
}

size_t
gpu_room(void)
{
  return free_bytes() / (size_t)(dev.sharers > 0 ? dev.sharers : 1);
}

size_t
gpu_used(void)
{
  size_t now = free_bytes();

  return dev.free > now ? dev.free - now : 0;
}

/* A fault of the program comes on all ranks at once: the first one speaks, and
 * ends the others. */
static void
wait_a_turn(void)
{
  int rank = gpu_comm_rank();
  const struct timespec turn = {.tv_sec = 1,
                                .tv_nsec = 50000000L * (rank < 10 ? rank : 10)};

  if (rank > 0)
    nanosleep(&turn, NULL);
}

void
gpu_check(cudaError_t e, const char *what)
{
  long long step = dev.meter ? (long long)dev.meter->step : 0;

  if (e == cudaSuccess) {
    dev.op = what;
    return;
  }
  wait_a_turn();
  hy_die(HY_ERES,
         "CUDA: step %lld, rank %d, GPU %d: %s (%s) in %s, or before it behind "
         "%s; CUDA_LAUNCH_BLOCKING=1 names the kernel",
         step, gpu_comm_rank(), dev.id, cudaGetErrorString(e),
         cudaGetErrorName(e), what, dev.op ? dev.op : "the start");
}

/* ---- opening --------------------------------------------------------------
 */

static int
no_gpu(cudaError_t e)
{
  return hy_fail(HY_ERES,
                 "job.device='cuda': no GPU to be found on this node (%s); "
                 "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use "
                 "job.device='cpu'",
                 e == cudaSuccess ? "the driver shows none"
                                  : cudaGetErrorString(e));
}

/* The kernels are compiled for some architectures: is this GPU's one? */
static int
check_kernels(const struct cudaDeviceProp *p)
{
  cudaError_t e = cu_probe();

  if (e == cudaSuccess)
    return HY_OK;
  cudaGetLastError();
  return hy_fail(HY_ERES,
                 "job.device='cuda': GPU %d (%s, architecture %d.%d): %s; this "
                 "hymn has kernels for %s; configure with CUDA_ARCH=%d%d",
                 dev.id, p->name, p->major, p->minor, cudaGetErrorString(e),
                 HY_CUDA_ARCH, p->major, p->minor);
}

/* Messages wait on the GPU, in streams of their own, for other ranks. None may
 * share a queue with what the others wait for; and where stages wait for each
 * other, no kernel may still have to be loaded, which waits for the GPU. */
static void
set_environment(const hy_grid *grid)
{
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  if (grid->pp.size > 1)
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
}

static int
open_gpu(int local_rank, cudaUUID_t *uuid)
{
  struct cudaDeviceProp p;
  cudaError_t e = cudaGetDeviceCount(&dev.n_here);

  if (e != cudaSuccess || dev.n_here == 0)
    return no_gpu(e);
  dev.id = local_rank % dev.n_here;
  e = cudaSetDevice(dev.id);
  if (e == cudaSuccess)
    e = cudaGetDeviceProperties(&p, dev.id);
  if (e == cudaSuccess)
    e = cudaStreamCreateWithFlags(&dev.stream, cudaStreamNonBlocking);
  if (e != cudaSuccess)
    return hy_fail(HY_ERES, "job.device='cuda': GPU %d cannot be used: %s",
                   dev.id, cudaGetErrorString(e));
  snprintf(dev.name, sizeof dev.name, "%s", p.name);
  *uuid = p.uuid;
  if (p.major < 8)
    return hy_fail(HY_ERES,
                   "job.device='cuda': GPU %d (%s) has architecture %d.%d; "
                   "hymn needs 8.0 or later",
                   dev.id, p.name, p.major, p.minor);
  return check_kernels(&p);
}

/* Ranks of this node that have the same GPU: launchers may show each rank
 * another one as the first. */
static int
count_sharers(MPI_Comm node, int size, const cudaUUID_t *mine)
{
  cudaUUID_t *all = hy_calloc((size_t)size, sizeof *all);
  int n = 0;

  MPI_Allgather(mine, sizeof *mine, MPI_BYTE, all, sizeof *mine, MPI_BYTE,
                node);
  for (int r = 0; r < size; r++)
    n += !memcmp(&all[r], mine, sizeof *mine);
  free(all);
  return n;
}

static int
gpu_open(hy_grid *grid, hy_fmt act)
{
  cudaUUID_t uuid = {{0}};
  MPI_Comm node;
  int rank, size, err;

  set_environment(grid);
  MPI_Comm_split_type(grid->world.mpi, MPI_COMM_TYPE_SHARED, grid->world.rank,
                      MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank);
  MPI_Comm_size(node, &size);
  err = hy_agree(&grid->world, open_gpu(rank, &uuid));
  if (!err)
    dev.sharers = count_sharers(node, size, &uuid);
  MPI_Comm_free(&node);
  if (err)
    return err;
  dev.meter = grid->meter;
  dev.free = free_bytes();
  hy_agree(&grid->world, HY_OK); /* all have looked before one takes */
  grid->backend = act == HY_BF16 ? &gpu_backend_bf16 : &gpu_backend_fp32;
  gpu_blas_open();
  return gpu_comm_open(grid, dev.sharers == 1);
}

static void
gpu_close(hy_grid *grid)
{
  gpu_comm_close(grid);
  gpu_blas_close();
  gpu_mem_end();
  gpu_lane_close();
  cudaStreamDestroy(dev.stream);
  dev.stream = NULL;
  dev.meter = NULL;
}

static void
describe(char *line, size_t size, const hy_grid *grid)
{
  int n = snprintf(line, size, "GPU: %s, %s", dev.name,
                   grid->backend->act == HY_BF16 ? "bf16" : "fp32");

  if (dev.sharers > 1)
    n +=
        snprintf(line + n, size - (size_t)n, ", %d ranks on each", dev.sharers);
  if (grid->world.size > 1)
    snprintf(line + n, size - (size_t)n, "; ranks talk by %s",
             gpu_comm_name(grid));
}

static void
print_gpus(FILE *out)
{
  int n = 0, driver = 0, runtime = 0;
  cudaError_t e = cudaGetDeviceCount(&n);

  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  fprintf(out, "GPU       runtime %d.%d, driver %d.%d, %s\n", runtime / 1000,
          runtime % 1000 / 10, driver / 1000, driver % 1000 / 10,
          gpu_comm_versions());
  if (e != cudaSuccess || n == 0)
    fprintf(out, "GPU       none: %s\n",
            e == cudaSuccess ? "the driver shows none" : cudaGetErrorString(e));
  for (int i = 0; e == cudaSuccess && i < n; i++) {
    struct cudaDeviceProp p;

    if (cudaGetDeviceProperties(&p, i) == cudaSuccess)
      fprintf(out, "GPU %d     %s, architecture %d.%d, %.1f GiB\n", i, p.name,
              p.major, p.minor, (double)p.totalGlobalMem / (1 << 30));
  }
  cudaGetLastError();
}

static const hy_gpu_module *
make_module(void)
{
  static hy_gpu_module m = {.open = gpu_open,
                            .close = gpu_close,
                            .describe = describe,
                            .print = print_gpus};

  /* hy_version() here would be that of the program that loads this */
  m.version = PACKAGE_VERSION " (" HY_COMMIT ")";
  return &m;
}

const hy_gpu_module *
hy_gpu_module_get(void)
{
  return make_module();
}
