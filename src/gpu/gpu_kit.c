/* gpu_kit.c: array functions of the CUDA backend (op/backend.h). */
#include "gpu/gpu.h"
#include "cuda/kit.h"
#include "cuda/region.h"
#include "gpu/gpu_optim.h"

/* Numbers at p in this format. */
static cu_mat
mat(const void *p, int64_t ld, hy_fmt fmt)
{
  return (cu_mat){(void *)(uintptr_t)p, ld, fmt == HY_BF16};
}

/* What the launch said. */
static void
started(const char *what)
{
  gpu_check(cudaGetLastError(), what);
}

static void
cast(void *to, hy_fmt to_fmt, const void *from, hy_fmt from_fmt, int64_t n)
{
  cu_kit_cast(gpu_stream(), mat(to, n, to_fmt), mat(from, n, from_fmt), n);
  started("cast");
}

static void
add(void *y, int64_t ldy, const void *x, int64_t ldx, hy_fmt fmt, int64_t rows,
    int64_t n, float beta)
{
  cu_kit_add(gpu_stream(), mat(y, ldy, fmt), mat(x, ldx, fmt), rows, n, beta);
  started("sum of rows");
}

static void
sum_parts(void *out, const void *part, hy_fmt fmt, int64_t n, int n_part,
          int more)
{
  cu_kit_sum_parts(gpu_stream(), mat(out, n, fmt), part, n, n_part, more);
  started("sum of parts");
}

static void
add_counts(int64_t *to, const int32_t *x, int64_t n)
{
  cu_kit_add_counts(gpu_stream(), to, x, n);
  started("sum of counts");
}

static void
least(float *to, const float *x)
{
  cu_kit_least(gpu_stream(), to, x);
  started("the smaller of two");
}

static void
merge_stat(float *out, const float *part, int64_t rows, int n_part)
{
  cu_merge_stat(gpu_stream(), out, part, rows, n_part);
  started("statistics of the vocabulary");
}

static void
carry_none(float *item, int64_t n_item, int64_t n_heads, int64_t n)
{
  cu_carry_none(gpu_stream(), item, n_item, n_heads, n);
  started("states of a scan");
}

static void
carry_join(float *to, const float *state, const float *decay, const float *far,
           int64_t n_heads, int64_t n)
{
  cu_carry_join(gpu_stream(), to, state, decay, far, n_heads, n);
  started("states of a scan");
}

static void
carry_grad(float *to, const float *g, const float *in, int64_t n_heads,
           int64_t n, float beta)
{
  cu_carry_grad(gpu_stream(), to, g, in, n_heads, n, beta);
  started("gradients of states of a scan");
}

const hy_kit gpu_kit = {.cast = cast,
                        .add = add,
                        .sum_parts = sum_parts,
                        .add_counts = add_counts,
                        .least = least,
                        .merge_stat = merge_stat,
                        .carry_none = carry_none,
                        .carry_join = carry_join,
                        .carry_grad = carry_grad,
                        .travel = &gpu_travel,
                        .runs_new = gpu_runs_new,
                        .runs_free = gpu_runs_free,
                        .sum_squares = gpu_runs_squares,
                        .not_finite = gpu_runs_not_finite,
                        .adamw = gpu_adamw,
                        .bias_update = gpu_bias_update};
