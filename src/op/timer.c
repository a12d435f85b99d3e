#include "op/timer.h"

#include <stdio.h>

/* The row of an op; the last one has all that did not fit. */
static hy_op_time *
row_of(hy_timer *t, const hy_op *op)
{
  for (int i = 0; i < t->n; i++)
    if (t->of[i].op == op)
      return &t->of[i];
  if (t->n < HY_MAX_TIMED)
    t->n++;
  t->of[t->n - 1].op = op;
  return &t->of[t->n - 1];
}

void
hy_timed_body(hy_ctx *c, hy_rec *r, void (*body)(hy_ctx *, hy_rec *),
              int backward)
{
  hy_op_time *k = row_of(c->timer, r->op);
  hy_cost cost = {0};

  if (r->op->cost)
    cost = r->op->cost(r);
  k->seconds[backward] += c->be->timed(body, c, r);
  k->calls[backward]++;
  k->flops[backward] += backward ? cost.bwd : cost.fwd;
  k->bytes[backward] += backward ? 2 * cost.bytes : cost.bytes;
}

static void
print_row(const char *name, const char *way, const hy_op_time *k, int i,
          double product, double copy, double steps)
{
  double s = k->seconds[i];

  if (k->calls[i] == 0 || s <= 0)
    return;
  printf("  %-16s %-8s %6.0f %10.3f", name, way, (double)k->calls[i] / steps,
         1e3 * s / steps);
  if (k->flops[i] > 0)
    printf(" %10.2f %6.3f", k->flops[i] / s / 1e12, k->flops[i] / s / product);
  else
    printf(" %10s %6s", "", "");
  printf(" %10.1f %6.3f\n", k->bytes[i] / s / 1e9, k->bytes[i] / s / copy);
}

void
hy_timer_print(const hy_timer *t, double product, double copy, int64_t steps)
{
  double sum = 0;

  printf("ops, by step: each timed alone; of: share of the products' (%.1f "
         "TFLOP/s) and of a copy's rate (%.1f GB/s)\n",
         product / 1e12, copy / 1e9);
  printf("  %-16s %-8s %6s %10s %10s %6s %10s %6s\n", "op", "", "calls", "ms",
         "TFLOP/s", "of", "GB/s", "of");
  for (int i = 0; i < t->n; i++) {
    const hy_op_time *k = &t->of[i];

    print_row(k->op->name, "forward", k, 0, product, copy, (double)steps);
    print_row(k->op->name, "backward", k, 1, product, copy, (double)steps);
    sum += k->seconds[0] + k->seconds[1];
  }
  printf("  sum %.3f ms\n", 1e3 * sum / (double)steps);
}
