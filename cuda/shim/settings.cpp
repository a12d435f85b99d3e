/* settings.cpp: environment variables, messages, errors. */
#include "shim.h"
#include "stream.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace shim
{

static size_t
bytes_of(const char *s, size_t otherwise)
{
  char *end;
  double n;

  if (!s)
    return otherwise;
  n = strtod(s, &end);
  for (const char *unit = "KMG"; *unit && *end; unit++) {
    n *= 1024;
    if (*end == *unit)
      break;
  }
  return (size_t)n;
}

static int
int_of(const char *s, int otherwise)
{
  return s ? atoi(s) : otherwise;
}

static Settings
from_environment()
{
  Settings s{};
  const char *order = getenv("HYMN_SHIM_ORDER");
  const char *patience = getenv("HYMN_SHIM_PATIENCE");
  const char *colon;

  if (order) {
    s.reverse = !strcmp(order, "reverse");
    s.greedy = !strcmp(order, "greedy");
    s.seed = (unsigned)atoi(order) * 2654435761u;
  }
  s.lazy = int_of(getenv("HYMN_SHIM_LAZY"), 0) != 0;
  s.trace = getenv("HYMN_SHIM_TRACE") != nullptr;
  s.between_blocks = getenv("HYMN_SHIM_BLOCKS") != nullptr;
  s.patience = patience ? atof(patience) : 100;
  s.protect = int_of(getenv("HYMN_SHIM_PROTECT"), 0) != 0;
  s.arch = int_of(getenv("HYMN_SHIM_ARCH"), 90);
  s.memory = bytes_of(getenv("HYMN_SHIM_MEMORY"), (size_t)16 << 30);
  s.fail = getenv("HYMN_SHIM_FAIL");
  colon = s.fail ? strrchr(s.fail, ':') : nullptr;
  s.fail_at = colon ? atoi(colon + 1) : 1;
  return s;
}

static Settings &
changeable()
{
  static Settings s = from_environment();

  return s;
}

const Settings &
settings()
{
  return changeable();
}

int
n_gpus()
{
  return int_of(getenv("HYMN_SHIM_GPUS"), 1);
}

unsigned
random_bits()
{
  static unsigned bits = settings().seed;

  bits ^= bits << 13;
  bits ^= bits >> 17;
  bits ^= bits << 5;
  return bits;
}

void
die(const char *fmt, ...)
{
  va_list ap;

  fprintf(stderr, "cuda_shim: block (%u,%u,%u): ", blockIdx.x, blockIdx.y,
          blockIdx.z);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  abort();
}

double
now_ms()
{
  timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* --- errors -------------------------------------------------------------- */

static cudaError_t last, for_good;

cudaError_t
fail(cudaError_t e)
{
  if (e != cudaSuccess)
    last = e;
  return e;
}

void
fail_for_good(cudaError_t e)
{
  if (for_good == cudaSuccess)
    for_good = e;
}

cudaError_t
status()
{
  return for_good;
}

} // namespace shim

void
shim_lazy(int on)
{
  cudaDeviceSynchronize();
  shim::changeable().lazy = on != 0;
}

cudaError_t
cudaPeekAtLastError(void)
{
  return shim::for_good ? shim::for_good : shim::last;
}

cudaError_t
cudaGetLastError(void)
{
  cudaError_t e = cudaPeekAtLastError();

  shim::last = cudaSuccess;
  return e;
}

static const struct {
  cudaError_t code;
  const char *name, *text;
} errors[] = {
#define SHIM_ERROR(name, value, text) {name, #name, text},
    SHIM_ERRORS(SHIM_ERROR)
#undef SHIM_ERROR
};

const char *
cudaGetErrorName(cudaError_t code)
{
  for (const auto &e : errors)
    if (e.code == code)
      return e.name;
  return "unrecognized error code";
}

const char *
cudaGetErrorString(cudaError_t code)
{
  for (const auto &e : errors)
    if (e.code == code)
      return e.text;
  return "unrecognized error code";
}
