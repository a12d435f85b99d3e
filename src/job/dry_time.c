#include "job/dry_print.h"

#include <stdio.h>
#include <string.h>

static void
line(const char *what, double a, double b)
{
  if (a > 0 || b > 0)
    printf("  %-34s %10.4g %10.4g\n", what, a, b);
}

/* The stage that takes longest. */
static hy_estimate
slowest(const hy_dry *r, const hy_machine *m, int bf16)
{
  hy_estimate most = {0}, e;

  for (int s = 0; s < r->deck->grid.pp; s++) {
    e = hy_estimate_step(&r->stage[s], &r->deck->grid, r->n_dp, m, bf16);
    if (e.sum > most.sum)
      most = e;
  }
  return most;
}

void
hy_dry_time(const hy_dry *r)
{
  const hy_deck *d = r->deck;
  double tokens = (double)(d->data.global_batch * r->seq_len);
  double hours = (double)(d->grid.n_ranks * d->optim.n_steps) / 3600;
  hy_machine m;
  hy_estimate a, b;

  if (!hy_machine_find(&m, d->grid.machine, r->n_threads))
    return;
  a = slowest(r, &m, 0);
  b = slowest(r, &m, 1);
  printf("time of a step on %s (seconds, an estimate: products at %.0f %% of "
         "the peak, memory and links at %.0f %%, no overlap)\n",
         m.name, 100 * HY_SHARE_FLOPS, 100 * HY_SHARE_MEM);
  printf("  %-34s %10s %10s\n", "format of products", "fp32", "bf16");
  line("peak, TFLOP/s", m.fp32 / 1e12, m.bf16 / 1e12);
  line("compute", a.compute, b.compute);
  for (int i = 0; i < HY_N_AXES; i++) {
    char what[32];

    snprintf(what, sizeof what, "send: %s", hy_axis_name(i));
    line(what, a.send[i], b.send[i]);
  }
  line("pipeline bubble", a.bubble, b.bubble);
  line("optimizer", a.update, b.update);
  line("step", a.sum, b.sum);
  line("tokens/s of a rank", tokens / a.sum / (double)d->grid.n_ranks,
       tokens / b.sum / (double)d->grid.n_ranks);
  line(strcmp(m.name, "cpu") ? "GPU-hours of the run" : "rank-hours of the run",
       hours * a.sum, hours * b.sum);
}
