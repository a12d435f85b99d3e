/* Keys that lower the memory of a rank, each tried by a forecast. */
#include "job/dry_print.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the driver and the libraries of a device take. */
#define SPARE 0.05

enum { TEXT = 64 };

/* A change of the deck, in text as for the command line; 0: none is possible
 * here. */
static int
one_row(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  (void)r;
  if (d->data.micro_batch == 1)
    return 0;
  d->data.micro_batch = 1;
  snprintf(text, TEXT, "data.micro_batch=1");
  return 1;
}

static int
most_ep(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  int64_t stage = r->n_dp * d->grid.cp * d->grid.tp, n = stage;

  while (n > d->grid.ep && (stage % n || d->model.n_experts % n))
    n--;
  if (!d->model.n_experts || n <= d->grid.ep)
    return 0;
  d->grid.ep = n;
  snprintf(text, TEXT, "grid.ep=%lld", (long long)n);
  return 1;
}

static int
set_zero(const hy_dry *r, hy_deck *d, int zero, char text[TEXT])
{
  if (d->optim.zero >= zero || r->n_dp * d->grid.cp == 1)
    return 0;
  d->optim.zero = zero;
  snprintf(text, TEXT, "optim.zero=%d", zero);
  return 1;
}

static int
zero_1(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  return set_zero(r, d, 1, text);
}

static int
zero_3(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  return set_zero(r, d, 3, text);
}

static int
offload(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  (void)r;
  if (d->optim.offload || strcmp(d->job.device, "cuda"))
    return 0;
  d->optim.offload = 1;
  snprintf(text, TEXT, "optim.offload=.true.");
  return 1;
}

/* A kind of layer more, or all of them. */
static int
replay(hy_deck *d, const char *name, char text[TEXT])
{
  char *now = d->optim.recompute;

  if (!strcmp(now, "all") || strstr(now, name))
    return 0;
  if (!strcmp(now, "none") || !strcmp(name, "all"))
    snprintf(now, sizeof d->optim.recompute, "%s", name);
  else
    snprintf(now + strlen(now), sizeof d->optim.recompute - strlen(now), ",%s",
             name);
  snprintf(text, TEXT, "optim.recompute='%.40s'", now);
  return 1;
}

static int
replay_kind(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  /* of the layers here that hold most */
  return replay(d, r->deck->model.n_experts ? "moe" : "mlp", text);
}

static int
replay_all(const hy_dry *r, hy_deck *d, char text[TEXT])
{
  (void)r;
  return replay(d, "all", text);
}

static int (*const change[])(const hy_dry *r, hy_deck *d, char text[TEXT]) = {
    replay_kind, replay_all, one_row, most_ep, zero_1, zero_3, offload};

enum { N_CHANGE = sizeof change / sizeof *change };

/* Try the deck and say what it needs; 0: the layout is refused. */
static int
say(const hy_dry *r, const hy_deck *d, const char *text, double room)
{
  hy_forecast f;
  char amount[32];

  if (hy_forecast_largest(&f, d, r->seq_len, r->n_threads)) {
    hy_err_clear();
    return 0;
  }
  printf("    %s: %s, %s\n", text, hy_dry_amount(f.sum, amount),
         f.sum <= room ? "fits" : "does not fit");
  return 1;
}

static void
try_all(const hy_dry *r, double room)
{
  hy_deck *d = hy_malloc(sizeof *d), *both = hy_malloc(sizeof *both);
  char text[TEXT];
  int n = 0;

  *both = *r->deck;
  for (int i = 0; i < N_CHANGE; i++) {
    *d = *r->deck; /* shares what pointers there are: never freed */
    if (!change[i](r, d, text) || !say(r, d, text, room))
      continue;
    change[i](r, both, text);
    n++;
  }
  if (n > 1)
    say(r, both, "all of them", room);
  if (n == 0)
    printf("    no key of this deck lowers it; use more ranks (grid.tp, "
           "grid.pp, grid.cp)\n");
  free(d);
  free(both);
}

void
hy_dry_advice(const hy_dry *r)
{
  double sum = r->stage[r->largest].sum, room;
  char need[32], have[32];
  hy_machine m;

  if (!hy_machine_find(&m, r->deck->grid.machine, r->n_threads) ||
      m.memory == 0)
    return;
  room = (1 - SPARE) * m.memory;
  if (sum <= room)
    return;
  printf("  WARNING: a rank of stage %d needs %s, a device of %s has %s; what "
         "helps:\n",
         r->largest, hy_dry_amount(sum, need), m.name,
         hy_dry_amount(m.memory, have));
  try_all(r, room);
}
