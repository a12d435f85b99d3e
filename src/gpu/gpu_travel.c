/* gpu_travel.c: rows and choices on their way to the ranks of experts, on the
 * GPU (op/backend.h). */
#include "gpu/gpu.h"
#include "cuda/travel.h"

#include <stddef.h>

_Static_assert((int)HY_TRAVEL_UNIT == (int)CU_SORT_UNIT, "scratch of the sorts");
_Static_assert(sizeof(hy_choice) == sizeof(cu_choice) &&
                   offsetof(hy_choice, weight) == offsetof(cu_choice, weight),
               "a choice");

static cu_places
of(const hy_places *p)
{
  return (cu_places){p->n_row, p->top_k, p->row, p->choice};
}

static void
started(const char *what)
{
  gpu_check(cudaGetLastError(), what);
}

static void
places(const hy_places *p, int32_t *at, const int32_t *idx, int64_t own,
       int n_rank, void *scratch)
{
  cu_travel_places(gpu_stream(), of(p), at, idx, (int)own, n_rank, scratch);
  started("places of choices");
}

static void
spread(const hy_places *p, void *to, const void *from, int64_t ld, hy_fmt fmt,
       int64_t n, int n_threads)
{
  (void)n_threads;
  cu_travel_spread(gpu_stream(), of(p), to,
                   (cu_mat){(void *)(uintptr_t)from, ld, fmt == HY_BF16}, n);
  started("copies of rows");
}

static void
gather(const hy_places *p, void *to, int64_t ld, const void *from, hy_fmt fmt,
       int64_t n, float beta, int n_threads)
{
  (void)n_threads;
  cu_travel_gather(gpu_stream(), of(p), (cu_mat){to, ld, fmt == HY_BF16}, from,
                   n, beta);
  started("sum of copies of rows");
}

static void
pack(const hy_places *p, hy_choice *to, const int32_t *idx, const float *w,
     int64_t ld, int64_t own)
{
  cu_travel_pack(gpu_stream(), of(p), (cu_choice *)to, idx, w, ld, (int)own);
  started("choices to send");
}

static void
unpack(const hy_choice *from, int64_t n_choice, int64_t n_row, int32_t *idx,
       int32_t *list, float *w, void *scratch)
{
  cu_travel_unpack(gpu_stream(), (const cu_choice *)from, n_choice, n_row, idx,
                   list, w, scratch);
  started("choices that came");
}

static void
weights(const hy_places *p, float *g, int64_t ld, const float *from, float beta)
{
  cu_travel_weights(gpu_stream(), of(p), g, ld, from, beta);
  started("gradients of choices");
}

const hy_travel_kit gpu_travel = {.places = places,
                                  .spread = spread,
                                  .gather = gather,
                                  .pack = pack,
                                  .unpack = unpack,
                                  .weights = weights};
