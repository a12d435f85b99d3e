#include "plan/estimate.h"

#include <math.h>

/* Weight, gradient, two moments read, all but the gradient written; the
 * gradient read once more for its norm. */
enum { UPDATE_BYTES = 8 * 4 };

/* Bytes of activations in that format, of one of the forecast's. */
static double
width(const hy_forecast *f, int bf16)
{
  return (bf16 ? 2.0 : 4.0) / (double)hy_bytes(f->act, 1);
}

static double
compute_of(const hy_forecast *f, const hy_machine *m, int bf16)
{
  double peak = HY_SHARE_FLOPS * (bf16 ? m->bf16 : m->fp32), sum = 0;
  double rate = HY_SHARE_MEM * m->mem_rate / width(f, bf16);

  for (int i = 0; i < HY_N_WORK; i++)
    sum += fmax(f->work[i].flops / peak, f->work[i].bytes / rate);
  return sum;
}

hy_estimate
hy_estimate_step(const hy_forecast *f, const hy_deck_grid *d, int64_t n_dp,
                 const hy_machine *m, int bf16)
{
  hy_estimate e = {.compute = compute_of(f, m, bf16) * (double)f->n_micro};
  double passes = e.compute;

  for (int a = 0; a < HY_N_AXES; a++) {
    int moves = a == HY_AXIS_TP || a == HY_AXIS_CP || a == HY_AXIS_EP ||
                a == HY_AXIS_PP;

    if (f->sent[a] > 0)
      e.send[a] = hy_machine_send(m, d, n_dp, a,
                                  f->sent[a] * (moves ? width(f, bf16) : 1),
                                  f->calls[a]);
    if (a != HY_AXIS_DP && a != HY_AXIS_OTHER)
      passes += e.send[a];
  }
  e.bubble = passes / (double)f->n_micro * (double)(d->pp - 1);
  e.update = (double)f->n_own * UPDATE_BYTES / (HY_SHARE_MEM * m->mem_rate);
  e.sum = e.compute + e.bubble + e.update;
  for (int a = 0; a < HY_N_AXES; a++)
    e.sum += e.send[a];
  return e;
}
