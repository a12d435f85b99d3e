/* test_shim.cpp: the shim does what a GPU does, and finds what it is there to
 * find: order of streams, captures, refused calls, threads that never meet. */
#include "cuda/launch.h"
#include "cuda/shim/stream.h"

#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {
#include <cmocka.h>
}

#define GOOD(call) assert_int_equal(call, cudaSuccess)

/* --- kernels ------------------------------------------------------------- */

__global__ void
add(float *x, float by, int n)
{
  int i = blockIdx.x * blockDim.x + threadIdx.x;

  if (i < n)
    x[i] += by;
}

__global__ void
times(float *x, float by, int n)
{
  int i = blockIdx.x * blockDim.x + threadIdx.x;

  if (i < n)
    x[i] *= by;
}

/* Sum of a block through shared memory, and of a warp by shuffles. */
__global__ void
sums(float *x)
{
  CU_SHARED(float, room, [64]);
  float s = 0, w = x[threadIdx.x];

  room[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  for (int i = 0; i < 64; i++)
    s += room[i];
  for (int k = 16; k > 0; k /= 2)
    w += __shfl_xor_sync(~0u, w, k);
  x[threadIdx.x] = s + 1000 * w;
}

__global__ void
some_wait(int n)
{
  if ((int)threadIdx.x < n)
    __syncthreads();
}

__global__ void
large(float *x)
{
  CU_DYN_SHARED(float, room);

  room[threadIdx.x] = 1;
  x[threadIdx.x] = room[threadIdx.x];
}

/* --- helpers ------------------------------------------------------------- */

enum { N = 64 };

static float *
numbers(float value)
{
  float host[N], *p;

  for (float &x : host)
    x = value;
  GOOD(cudaMalloc(&p, sizeof host));
  GOOD(cudaMemcpy(p, host, sizeof host, cudaMemcpyHostToDevice));
  return p;
}

static float
last_of(const float *p)
{
  float host[N];

  GOOD(cudaMemcpy(host, p, sizeof host, cudaMemcpyDeviceToHost));
  return host[N - 1];
}

static void
launch_add(cudaStream_t s, float *x, float by)
{
  CU_LAUNCH(add, 2, 32, 0, s, x, by, N);
}

static void
launch_times(cudaStream_t s, float *x, float by)
{
  CU_LAUNCH(times, 2, 32, 0, s, x, by, N);
}

static cudaStream_t
stream()
{
  cudaStream_t s;

  GOOD(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  return s;
}

static cudaEvent_t
event()
{
  cudaEvent_t e;

  GOOD(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  return e;
}

/* The exit or the signal of a child that runs f; its messages go nowhere. */
static int
in_child(void (*f)())
{
  int status;
  pid_t pid = fork();

  if (pid == 0) {
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    if (!freopen("/dev/null", "w", stderr))
      _exit(99);
    f();
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return status;
}

/* --- tests --------------------------------------------------------------- */

static void
test_threads(void **)
{
  float *x = numbers(1);

  CU_LAUNCH(sums, 1, N, 0, 0, x);
  assert_true(last_of(x) == 64 + 1000 * 32);
  GOOD(cudaFree(x));
}

/* In one stream things have an order; in two only an event makes one. */
static void
test_order(void **)
{
  cudaStream_t a = stream(), b = stream();
  cudaEvent_t e = event();

  for (int with = 0; with < 2; with++) {
    float *x = numbers(1);

    shim_lazy(1);
    launch_add(a, x, 2);
    GOOD(cudaEventRecord(e, a));
    if (with)
      GOOD(cudaStreamWaitEvent(b, e, 0));
    launch_times(b, x, 10);
    GOOD(cudaStreamSynchronize(b));
    GOOD(cudaStreamSynchronize(a));
    shim_lazy(0);
    assert_true(last_of(x) == (with ? 30 : 12));
    GOOD(cudaFree(x));
  }
  GOOD(cudaEventDestroy(e));
  GOOD(cudaStreamDestroy(a));
  GOOD(cudaStreamDestroy(b));
}

/* Two streams, recorded once, played twice with what memory holds then. */
static void
test_graph(void **)
{
  cudaStream_t a = stream(), b = stream();
  cudaEvent_t fork_ = event(), join = event();
  cudaGraph_t g;
  cudaGraphExec_t exec;
  float *x = numbers(1), *y = numbers(1);

  GOOD(cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed));
  launch_add(a, x, 1);
  GOOD(cudaEventRecord(fork_, a));
  GOOD(cudaStreamWaitEvent(b, fork_, 0));
  launch_times(b, x, 3);
  GOOD(cudaMemcpyAsync(y, x, N * sizeof *x, cudaMemcpyDeviceToDevice, b));
  GOOD(cudaEventRecord(join, b));
  GOOD(cudaStreamWaitEvent(a, join, 0));
  launch_add(a, y, 5);
  GOOD(cudaStreamEndCapture(a, &g));
  assert_true(last_of(x) == 1 && last_of(y) == 1);
  GOOD(cudaGraphInstantiate(&exec, g, 0));
  GOOD(cudaGraphDestroy(g));
  GOOD(cudaGraphLaunch(exec, a));
  GOOD(cudaStreamSynchronize(a));
  assert_true(last_of(x) == 6 && last_of(y) == 11);
  GOOD(cudaGraphLaunch(exec, a));
  GOOD(cudaStreamSynchronize(a));
  assert_true(last_of(x) == 21 && last_of(y) == 26);
  GOOD(cudaGraphExecDestroy(exec));
  GOOD(cudaFree(x));
  GOOD(cudaFree(y));
  GOOD(cudaStreamDestroy(a));
  GOOD(cudaStreamDestroy(b));
}

static void
test_bad_graph(void **)
{
  cudaStream_t a = stream(), b = stream();
  cudaEvent_t e = event();
  cudaGraph_t g;
  float *x = numbers(1);

  GOOD(cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed));
  GOOD(cudaEventRecord(e, a));
  GOOD(cudaStreamWaitEvent(b, e, 0));
  launch_add(b, x, 1);
  assert_int_equal(cudaStreamEndCapture(a, &g), cudaErrorStreamCaptureUnjoined);

  GOOD(cudaStreamBeginCapture(a, cudaStreamCaptureModeRelaxed));
  assert_int_equal(cudaStreamSynchronize(a), cudaErrorStreamCaptureUnsupported);
  assert_int_equal(cudaStreamEndCapture(a, &g),
                   cudaErrorStreamCaptureInvalidated);

  GOOD(cudaEventRecord(e, b));
  GOOD(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
  assert_int_equal(cudaStreamWaitEvent(a, e, 0),
                   cudaErrorStreamCaptureIsolation);
  assert_int_equal(cudaMalloc(&x, 4), cudaErrorStreamCaptureUnsupported);
  assert_int_equal(cudaStreamEndCapture(a, &g),
                   cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  GOOD(cudaStreamDestroy(a));
  GOOD(cudaStreamDestroy(b));
}

static void
test_refused(void **)
{
  float *x = numbers(1), host[N + 1];

  assert_int_equal(cudaMemcpy(host, host, 4, cudaMemcpyHostToDevice),
                   cudaErrorInvalidValue);
  assert_int_equal(cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice),
                   cudaErrorInvalidValue);
  assert_int_equal(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
  assert_int_equal(cudaFree(x + 1), cudaErrorInvalidValue);
  cudaGetLastError();
  CU_LAUNCH(add, 1, 2000, 0, 0, x, 1.0f, N);
  assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
  CU_LAUNCH(large, 1, N, 60000, 0, x);
  assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
  GOOD(cudaFuncSetAttribute(large, cudaFuncAttributeMaxDynamicSharedMemorySize,
                            60000));
  CU_LAUNCH(large, 1, N, 60000, 0, x);
  GOOD(cudaGetLastError());
  GOOD(cudaFree(x));
}

/* --- what ends a process ------------------------------------------------- */

static void
miss_a_barrier()
{
  CU_LAUNCH(some_wait, 1, N, 0, 0, 10);
}

static void
touch()
{
  setenv("HYMN_SHIM_PROTECT", "1", 1);
  execl("/proc/self/exe", "test_shim", "touch", (char *)NULL);
}

static void
fail_for_good()
{
  setenv("HYMN_SHIM_FAIL", "add:2", 1);
  execl("/proc/self/exe", "test_shim", "fail", (char *)NULL);
}

static void
test_ends(void **)
{
  int status = in_child(miss_a_barrier);

  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  status = in_child(touch);
  /* 3: no protection keys here */
  assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) ||
              WEXITSTATUS(status) == 3);
  status = in_child(fail_for_good);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A child of test_ends. */
static int
child(const char *what)
{
  float *x = numbers(1);
  volatile float *seen = x;

  if (!strcmp(what, "touch"))
    return seen[0] == 1 ? 3 : 4;
  launch_add(0, x, 1);
  if (cudaDeviceSynchronize() != cudaSuccess)
    return 1;
  launch_add(0, x, 1);
  if (cudaDeviceSynchronize() != cudaErrorIllegalAddress)
    return 2;
  return cudaGetLastError() == cudaErrorIllegalAddress ? 0 : 3;
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_threads), cmocka_unit_test(test_order),
      cmocka_unit_test(test_graph),   cmocka_unit_test(test_bad_graph),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_ends),
  };

  if (argc > 1)
    return child(argv[1]);
  return cmocka_run_group_tests(test, NULL, NULL);
}
