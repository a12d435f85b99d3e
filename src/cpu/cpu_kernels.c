/* Some releases of OpenBLAS do not know the newest processors and fall back to
 * AVX2 products, about 0.6 of the speed (0.3.21 on Sapphire Rapids: 76 instead
 * of 129 GFLOP/s a core). The library chooses when it is loaded, before main,
 * and listens only to OPENBLAS_CORETYPE: set it and start once more. */
#include "cpu/cpu.h"
#include "config.h"

#include <cblas.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(HAVE_OPENBLAS_SET_NUM_THREADS) && defined(__x86_64__)

/* Kernels without AVX-512 that the library falls back to. */
static int
is_fallback(const char *core)
{
  return !strcmp(core, "Haswell") || !strcmp(core, "Zen");
}

static int
has_avx512(void)
{
  return __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd");
}

void
cpu_choose_kernels(char **argv)
{
  static const char name[] = "OPENBLAS_CORETYPE";

  if (getenv(name) || !is_fallback(openblas_get_corename()) || !has_avx512())
    return;
  if (setenv(name, "SkylakeX", 1) == 0)
    execv("/proc/self/exe", argv); /* if that fails, slower products do */
}

const char *
cpu_kernels(void)
{
  return openblas_get_corename();
}

#else

void
cpu_choose_kernels(char **argv)
{
  (void)argv;
}

const char *
cpu_kernels(void)
{
  return "as the library chooses";
}

#endif
