/* gpu_mem.c: memory of the GPU. */
#include "gpu/gpu.h"

static void *
get(size_t bytes)
{
  void *p;

  if (cudaMalloc(&p, bytes ? bytes : 1) != cudaSuccess) {
    cudaGetLastError(); /* forget it: the caller says what it means */
    return NULL;
  }
  gpu_check(cudaMemset(p, 0, bytes ? bytes : 1), "clearing memory");
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
  return p;
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
copy(void *to, const void *from, size_t bytes)
{
  char *out = to;
  const char *in = from;
  size_t step = out < in ? (size_t)(in - out) : (size_t)(out - in);

  if (bytes == 0 || step == 0)
    return;
  if (step >= bytes) {
    gpu_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice,
                              gpu_stream()),
              "copy");
    return;
  }
  /* What overlaps moves in pieces that do not, from the safe end. */
  for (size_t done = 0; done < bytes; done += step) {
    size_t n = bytes - done < step ? bytes - done : step;
    size_t at = out < in ? done : bytes - done - n;

    gpu_check(cudaMemcpyAsync(out + at, in + at, n, cudaMemcpyDeviceToDevice,
                              gpu_stream()),
              "copy");
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
  gpu_check(cudaStreamSynchronize(gpu_stream()), "waiting");
}

static void
load(void *to, const void *host, size_t bytes)
{
  if (bytes == 0)
    return;
  gpu_check(
      cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, gpu_stream()),
      "copy from the host");
  wait_all();
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

/* All at once. */
static void *
reserve(size_t size)
{
  return get(size);
}

static size_t
commit(void *base, size_t from, size_t to)
{
  (void)base;
  (void)from;
  return to;
}

static void
release(void *base, size_t size)
{
  (void)size;
  put(base);
}

static const hy_space space = {reserve, commit, release};

const hy_mem gpu_mem = {.get = get,
                        .put = put,
                        .get_host = get_host,
                        .put_host = put_host,
                        .zero = zero,
                        .zero_rows = zero_rows,
                        .copy = copy,
                        .copy_rows = copy_rows,
                        .load = load,
                        .read = read_back,
                        .wait = wait_all,
                        .space = &space};
