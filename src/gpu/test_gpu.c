/* test_gpu.c: what tests of src/op need to run on the GPU backend (HY_TEST_GPU
 * in cpu/test_op.h): memory that the GPU and the host read, and a grid whose
 * ranks have a GPU. The way of their messages changes from grid to grid. */
#include "gpu/gpu_module.h"
#include "gpu/gpu.h"
#include "base/err.h"
#ifdef HYMN_CUDA_SHIM
#include "cuda/shim/stream.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void *test_pinned(size_t bytes);
void test_unpin(void *p);
const hy_backend *test_backend(void);
void test_open(hy_grid *grid);
void test_close(hy_grid *grid);

void *
test_pinned(size_t bytes)
{
  void *p = NULL;

  assert_int_equal(cudaMallocManaged(&p, bytes, cudaMemAttachGlobal), 0);
  memset(p, 0, bytes);
  return p;
}

void
test_unpin(void *p)
{
  cudaFree(p);
}

const hy_backend *
test_backend(void)
{
  return &gpu_backend_fp32;
}

void
test_open(hy_grid *grid)
{
  static const char *const way[] = {"host", "nccl", "aware"};
  static int turn;
  char gpus[16];

  snprintf(gpus, sizeof gpus, "%d", grid->world.size);
  setenv("HYMN_SHIM_GPUS", gpus, 0);
  setenv("HYMN_GPU_COMM", way[turn % 3], 1);
#ifdef HYMN_CUDA_SHIM
  shim_lazy(turn / 3 % 2);
#endif
  turn++;
  if (hy_gpu_module_get()->open(grid, HY_F32))
    hy_die(HY_ERES, "%s", hy_err_text());
}

void
test_close(hy_grid *grid)
{
  hy_gpu_module_get()->close(grid);
}
