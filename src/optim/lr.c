#include "optim/lr.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

static double
tail(const char *shape, double r)
{
  if (!strcmp(shape, "linear"))
    return 1 - r;
  if (!strcmp(shape, "cosine"))
    return 0.5 * (1 + cos(3.141592653589793 * r));
  if (!strcmp(shape, "exponential"))
    return 2 * pow(0.5, r) - 1;
  return 1 - sqrt(r); /* minus_sqrt */
}

/* Units of one step. */
static double
per_step(const hy_deck_optim *o, int64_t global_batch, int64_t seq_len)
{
  if (!strcmp(o->unit, "steps"))
    return 1;
  if (!strcmp(o->unit, "samples"))
    return (double)global_batch;
  return (double)global_batch * (double)seq_len;
}

double
hy_lr(const hy_deck_optim *o, int64_t done, int64_t global_batch,
      int64_t seq_len)
{
  double unit = per_step(o, global_batch, seq_len), at = (double)done * unit;
  double warmup = (double)o->warmup, start, c;
  double decay = o->decay ? (double)o->decay : (double)o->n_steps * unit;

  if (warmup > 0 && at <= warmup)
    return o->lr * at / warmup;
  if (!strcmp(o->schedule, "constant"))
    return o->lr;
  if (at > decay)
    return o->lr_min;
  if (!strcmp(o->schedule, "wsd")) {
    start = decay - (double)o->wsd_decay;
    c = at <= start ? 1
                    : tail(o->wsd_shape, (at - start) / (double)o->wsd_decay);
  } else
    c = tail(o->schedule,
             decay > warmup ? (at - warmup) / (decay - warmup) : 1);
  return o->lr_min + c * (o->lr - o->lr_min);
}

int
hy_lr_check(const hy_deck_optim *o)
{
  if (o->betas.n != 2 || o->betas.v[0] >= 1 || o->betas.v[1] >= 1)
    return hy_fail(HY_EDECK, "optim.betas: two numbers below 1 are needed, "
                             "like 0.9, 0.95");
  if (o->lr_min > o->lr)
    return hy_fail(HY_EDECK, "optim.lr_min=%g: larger than optim.lr=%g",
                   o->lr_min, o->lr);
  if (o->decay && strcmp(o->schedule, "constant") && o->warmup > o->decay)
    return hy_fail(HY_EDECK, "optim.warmup=%lld: beyond optim.decay=%lld",
                   (long long)o->warmup, (long long)o->decay);
  if (o->decay && !strcmp(o->schedule, "wsd") &&
      o->wsd_decay > o->decay - o->warmup)
    return hy_fail(HY_EDECK,
                   "optim.wsd_decay=%lld: longer than the %lld from warm-up "
                   "to optim.decay",
                   (long long)o->wsd_decay, (long long)(o->decay - o->warmup));
  return HY_OK;
}
