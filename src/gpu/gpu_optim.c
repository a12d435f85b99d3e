/* gpu_optim.c: lists of runs in the memory of the GPU. */
#include "gpu/gpu_optim.h"
#include "base/err.h"
#include "cuda/optim.h"
#include "gpu/gpu.h"

#include <stdlib.h>

struct hy_runs {
  int64_t n;
  char *block; /* runs, owners, partial sums, flags */
  cu_runs list;
  double *part;
  unsigned char *bad;
};

static int
aligned(const void *p, size_t to)
{
  return (uintptr_t)p % to == 0;
}

static cu_run
run_of(const hy_run *x, int64_t tile)
{
  cu_run r = {.w = x->w,
              .m = x->m,
              .v = x->v,
              .g = x->g,
              .low = x->low,
              .bf16 = x->fmt == HY_BF16,
              .decay = x->decay,
              .n = x->n,
              .tile = tile};

  r.wide = aligned(r.w, 16) && aligned(r.m, 16) && aligned(r.v, 16) &&
           aligned(r.g, 16) && aligned(r.low, r.bf16 ? 8 : 16);
  return r;
}

static int64_t
tiles(const hy_run *run)
{
  return (run->n + CU_TILE - 1) / CU_TILE;
}

/* One block for all arrays of a list, those with the widest numbers first. */
static void
get_block(hy_runs *r)
{
  size_t n = (size_t)r->n, n_tile = (size_t)r->list.n_tile;
  size_t part = n * sizeof(cu_run), owner = part + (n_tile + 1) * 8;
  size_t bad = owner + n_tile * sizeof(int);

  r->block = gpu_mem.get(bad + n);
  if (!r->block)
    hy_die(HY_ERES, "memory: no room for %zu bytes of the optimizer's lists",
           bad + n);
  r->list.run = (cu_run *)r->block;
  r->part = (double *)(r->block + part);
  r->list.owner = (int *)(r->block + owner);
  r->bad = (unsigned char *)r->block + bad;
}

hy_runs *
gpu_runs_new(const hy_run *run, int64_t n)
{
  hy_runs *r = hy_calloc(1, sizeof *r);
  cu_run *x = hy_malloc((size_t)n * sizeof *x + 1);
  int *owner, at = 0;

  r->n = n;
  for (int64_t i = 0; i < n; i++) {
    x[i] = run_of(&run[i], r->list.n_tile);
    r->list.n_tile += tiles(&run[i]);
  }
  owner = hy_malloc((size_t)r->list.n_tile * sizeof *owner + 1);
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = tiles(&run[i]); k > 0; k--)
      owner[at++] = (int)i;
  get_block(r);
  gpu_mem.load((void *)(uintptr_t)r->list.run, x, (size_t)n * sizeof *x);
  gpu_mem.load((void *)(uintptr_t)r->list.owner, owner,
               (size_t)r->list.n_tile * sizeof *owner);
  free(owner);
  free(x);
  return r;
}

void
gpu_runs_free(hy_runs *r)
{
  gpu_mem.put(r->block);
  free(r);
}

double
gpu_runs_squares(hy_runs *r)
{
  double sum;

  cu_runs_squares(gpu_stream(), r->list, r->part);
  gpu_check(cudaGetLastError(), "sum of squares");
  gpu_mem.read(&sum, r->part + r->list.n_tile, sizeof sum);
  return sum;
}

void
gpu_runs_not_finite(hy_runs *r, unsigned char *bad)
{
  gpu_mem.zero(r->bad, (size_t)r->n);
  cu_runs_not_finite(gpu_stream(), r->list, r->bad);
  gpu_check(cudaGetLastError(), "search for what is not finite");
  gpu_mem.read(bad, r->bad, (size_t)r->n);
}

void
gpu_adamw(hy_runs *r, const hy_adamw_rates *k, int n_threads)
{
  (void)n_threads;
  cu_adamw(gpu_stream(), r->list,
           (cu_adamw_rates){.beta1 = k->beta1,
                            .beta2 = k->beta2,
                            .eps = k->eps,
                            .scale = k->scale,
                            .rate = k->rate,
                            .c1 = k->c1,
                            .c2 = k->c2,
                            .keep = {k->keep[0], k->keep[1]}});
  gpu_check(cudaGetLastError(), "AdamW");
}

void
gpu_bias_update(float *bias, const int64_t *count, int64_t n, float rate)
{
  cu_bias_update(gpu_stream(), bias, count, n, rate);
  gpu_check(cudaGetLastError(), "update of router biases");
}
