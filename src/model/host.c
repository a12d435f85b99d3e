#include "model/host.h"
#include "base/err.h"

#include <string.h>

void
hy_host_begin(hy_host *h, const hy_params *p, const float *m, const float *v)
{
  *h = (hy_host){.p = p,
                 .flat = {[HY_PART_W] = p->w,
                          [HY_PART_M] = (float *)(uintptr_t)m,
                          [HY_PART_V] = (float *)(uintptr_t)v,
                          [HY_PART_G] = p->g}};
  if (p->offload)
    p->be->mem->wait(); /* an update may still be on its way to the host */
}

void
hy_host_end(hy_host *h)
{
  if (h->room)
    h->p->be->mem->put_host(h->room);
  *h = (hy_host){0};
}

/* Whether the host reaches what an array has of parameter i. */
static int
near(const hy_params *p, int part, int i)
{
  return p->be->host_memory ||
         (p->offload && part != HY_PART_G && p->ref[i].group >= 0);
}

static void
make_room(hy_host *h, size_t n)
{
  const hy_mem *mem = h->p->be->mem;

  if (n <= h->n)
    return;
  if (h->room)
    mem->put_host(h->room);
  h->n = n;
  h->room = mem->get_host(n * sizeof *h->room);
  if (!h->room)
    hy_die(HY_ERES, "memory: no room on the host for a tensor of %zu bytes",
           n * sizeof *h->room);
}

/* The first element that an array has of parameter i, wherever it is. */
static float *
first(const hy_host *h, int part, int i, const hy_held *held)
{
  const hy_params *p = h->p;

  return p->ref[i].group < 0 ? p->rest + (held->at - p->n_master)
                             : h->flat[part] + held->at;
}

float *
hy_host_open(hy_host *h, int part, int i, hy_held *held)
{
  *held = hy_params_part(h->p, part, i);
  h->from = NULL;
  if (near(h->p, part, i))
    return h->flat[part];
  h->n_from = (size_t)(held->to - held->from);
  make_room(h, h->n_from);
  h->from = first(h, part, i, held);
  held->at = 0;
  return h->room;
}

void
hy_host_copy(const hy_host *h, int part, int i, int64_t from, int64_t to,
             float *out)
{
  hy_held held = hy_params_part(h->p, part, i);
  const float *x = first(h, part, i, &held) + (from - held.from);
  size_t bytes = (size_t)(to - from) * sizeof *out;

  if (near(h->p, part, i))
    memcpy(out, x, bytes);
  else
    h->p->be->mem->read(out, x, bytes);
}

void
hy_host_clear(hy_host *h, int part)
{
  const hy_params *p = h->p;
  size_t bytes = (p->zero ? p->n_own : p->n_weight) * sizeof(float);

  if (p->offload)
    memset(h->flat[part], 0, bytes);
  else
    p->be->mem->zero(h->flat[part], bytes);
}

const float *
hy_host_read(hy_host *h, int part, int i, hy_held *held)
{
  float *x = hy_host_open(h, part, i, held);

  if (h->from)
    h->p->be->mem->read(x, h->from, h->n_from * sizeof *x);
  return x;
}

void
hy_host_put(hy_host *h)
{
  if (h->from)
    h->p->be->mem->load(h->from, h->room, h->n_from * sizeof *h->room);
}
