#include "optim/offload.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

/* Floats of a part: long enough for the rate of the bus, and so many parts that
 * little waits for the first and the last. */
static size_t
part_of(size_t n)
{
  enum { LEAST = 1 << 10, MOST = 1 << 22, PARTS = 16 };
  size_t part = n / PARTS / LEAST * LEAST;

  return part < LEAST ? LEAST : part > MOST ? MOST : part;
}

static size_t
n_part(const hy_offload *o)
{
  return (o->n + o->part - 1) / o->part;
}

size_t
hy_offload_bytes(const hy_params *p)
{
  return HY_OFFLOAD_SET * HY_OFFLOAD_ARRAY * part_of(p->n_master) *
         sizeof(float);
}

/* Where part k of array a is while it is in the backend. */
static float *
room_of(const hy_offload *o, size_t k, int a)
{
  return o->room +
         (k % HY_OFFLOAD_SET * HY_OFFLOAD_ARRAY + (size_t)a) * o->part;
}

/* What of a run lies in part k; n may be 0. */
static hy_run
cut(const hy_offload *o, const hy_run *run, size_t k)
{
  int64_t at = run->w - o->host[0], first = (int64_t)(k * o->part);
  int64_t lo = at > first ? at : first;
  int64_t end = first + (int64_t)o->part;
  int64_t hi = at + run->n < end ? at + run->n : end;
  hy_run r = *run;

  r.n = hi > lo ? hi - lo : 0;
  if (r.n == 0)
    return r;
  r.w = room_of(o, k, 0) + (lo - first);
  r.m = room_of(o, k, 1) + (lo - first);
  r.v = room_of(o, k, 2) + (lo - first);
  r.g = run->g + (lo - at);
  r.low = hy_at(run->low, run->fmt, lo - at);
  return r;
}

static void
make_lists(hy_offload *o, const hy_run *run, int64_t n_run)
{
  hy_run *some = hy_malloc((size_t)n_run * sizeof *some + 1);

  o->list = hy_calloc(n_part(o) + 1, sizeof(hy_runs *));
  for (size_t k = 0; k < n_part(o); k++) {
    int64_t n = 0;

    for (int64_t i = 0; i < n_run; i++) {
      some[n] = cut(o, &run[i], k);
      n += some[n].n > 0;
    }
    o->list[k] = o->kit->runs_new(some, n);
  }
  free(some);
}

int
hy_offload_new(hy_offload *o, const hy_params *p, float *m, float *v,
               const hy_run *run, int64_t n_run)
{
  *o = (hy_offload){.mem = p->be->mem,
                    .kit = p->be->kit,
                    .n = p->n_master,
                    .part = part_of(p->n_master),
                    .host = {p->w, m, v}};
  o->room = o->mem->get(hy_offload_bytes(p));
  if (!o->room)
    return hy_fail(HY_ERES,
                   "memory: no room for %zu bytes of optimizer states on their "
                   "way; use more ranks",
                   hy_offload_bytes(p));
  make_lists(o, run, n_run);
  return HY_OK;
}

void
hy_offload_free(hy_offload *o)
{
  if (o->mem)
    o->mem->wait();
  for (size_t k = 0; o->list && k < n_part(o); k++)
    o->kit->runs_free(o->list[k]);
  free(o->list);
  if (o->room)
    o->mem->put(o->room);
  *o = (hy_offload){0};
}

/* Part k of every array, one way or the other. */
static void
move(const hy_offload *o, size_t k, int back)
{
  size_t at = k * o->part, n = o->n - at < o->part ? o->n - at : o->part;

  for (int a = 0; a < HY_OFFLOAD_ARRAY; a++)
    if (back)
      o->mem->read_start(o->host[a] + at, room_of(o, k, a), n * sizeof(float));
    else
      o->mem->load_start(room_of(o, k, a), o->host[a] + at, n * sizeof(float));
}

/* Part k comes when what had its place, two parts before, has left; when it is
 * asked for, that is the last one that was sent back. */
static void
bring(const hy_offload *o, size_t k)
{
  o->mem->follow(HY_LANE_IN, HY_LANE_OUT);
  move(o, k, 0);
}

void
hy_offload_step(hy_offload *o, const hy_adamw_rates *k, int n_threads)
{
  if (o->n > 0)
    bring(o, 0);
  for (size_t i = 0; i < n_part(o); i++) {
    o->mem->follow(HY_LANE_WORK, HY_LANE_IN);
    o->kit->adamw(o->list[i], k, n_threads);
    if (i + 1 < n_part(o))
      bring(o, i + 1);
    o->mem->follow(HY_LANE_OUT, HY_LANE_WORK);
    move(o, i, 1);
  }
}
