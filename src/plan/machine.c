#include "plan/machine.h"

#include <math.h>
#include <string.h>

#define T 1e12
#define G 1e9

/* Long messages reach about this share of a link. */
static const double link_share = 0.8;

/* Sources: data sheets of the maker. A100 80GB SXM; H100 SXM (NVLink 4: 900
 * GB/s both ways); H200 SXM; DGX B200 (NVLink 5: 1800 GB/s both ways); GB200
 * NVL72 (a rack of 72 is one NVLink domain). Between nodes one link for each
 * device: 200 Gbit/s InfiniBand HDR (A100), 400 Gbit/s NDR. Latencies are
 * round figures of collectives over such links. The row of the CPU is one core
 * of a server with AVX-512: OpenBLAS products as measured, round figures for
 * its share of the memory's rate and for messages in shared memory. */
static const hy_machine table[] = {
    {"a100x8", 312 * T, 19.5 * T, 80 * G, 2.039 * T, 8, 300 * G, 5e-6, 25 * G,
     15e-6},
    {"h100x8", 989 * T, 67 * T, 80 * G, 3.35 * T, 8, 450 * G, 5e-6, 50 * G,
     15e-6},
    {"h200x8", 989 * T, 67 * T, 141 * G, 4.8 * T, 8, 450 * G, 5e-6, 50 * G,
     15e-6},
    {"b200x8", 2250 * T, 75 * T, 180 * G, 8 * T, 8, 900 * G, 5e-6, 50 * G,
     15e-6},
    {"gb200nvl72", 2500 * T, 80 * T, 186 * G, 8 * T, 72, 900 * G, 5e-6, 50 * G,
     15e-6},
    {"cpu", 0.1 * T, 0.1 * T, 0, 10 * G, 0, 2 * G, 5e-6, 2 * G, 5e-6},
};

int
hy_machine_find(hy_machine *m, const char *name, int n_threads)
{
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) {
      *m = table[i];
      if (!strcmp(name, "cpu")) {
        m->bf16 *= n_threads;
        m->fp32 *= n_threads;
        m->mem_rate *= n_threads;
      }
      return 1;
    }
  return 0;
}

/* Ranks that an axis joins: how many, and how far apart neighbours are. */
static void
ranks_of(const hy_deck_grid *d, int64_t n_dp, int axis, int64_t *n,
         int64_t *stride)
{
  int64_t stage = d->tp * d->cp * n_dp;

  *stride = 1;
  *n = stage * d->pp;
  if (axis == HY_AXIS_TP)
    *n = d->tp;
  else if (axis == HY_AXIS_EP)
    *n = d->ep;
  else if (axis == HY_AXIS_CP) {
    *n = d->cp;
    *stride = d->tp;
  } else if (axis == HY_AXIS_DP) {
    *n = n_dp * d->cp;
    *stride = d->tp;
  } else if (axis == HY_AXIS_PP) {
    *n = 2; /* a stage talks to its neighbours */
    *stride = stage;
  }
}

double
hy_machine_send(const hy_machine *m, const hy_deck_grid *d, int64_t n_dp,
                int axis, double bytes, double calls)
{
  int64_t n, stride, near;
  double far;

  ranks_of(d, n_dp, axis, &n, &stride);
  if (n < 2)
    n = 2; /* a small group inside the axis, as copies of a head */
  near = m->per_node ? m->per_node / stride : n;
  near = near < 1 ? 1 : near > n ? n : near;
  far = (double)(n - near) / (double)(n - 1); /* share of the partners */
  return bytes * (1 - far) / (link_share * m->near_rate) +
         bytes * far / (link_share * m->far_rate) +
         calls * ceil(log2((double)n)) *
             (far > 0 ? m->far_latency : m->near_latency);
}
