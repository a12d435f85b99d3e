/* compare: parity with expected tensors. */
#include "base/err.h"
#include "base/file.h"
#include "grid/comm.h"
#include "grid/threads.h"
#include "io/source.h"
#include "job/compare_reference.h"
#include "job/job.h"
#include "verify/case.h"
#include "verify/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const input_names[] = {
    "input_ids",    "labels",           "cu_seqlens",
    "document_ids", "position_ids",     "prompt_ids",
    "tokens",       "batch.prompt_ids", "batch.prompt_lens"};

enum { N_INPUT = sizeof input_names / sizeof *input_names };

static const struct {
  const char *kind;
  int (*run)(hy_compare *, hy_bag *);
} kind_table[] = {
    {"forward", hy_compare_forward}, {"packed", hy_compare_forward},
    {"mtp", hy_compare_forward},     {"train", hy_compare_train},
    {"decode", hy_compare_decode},
};

enum { N_KINDS = sizeof kind_table / sizeof *kind_table };

static int
find_kind(const char *kind)
{
  for (int i = 0; i < N_KINDS; i++)
    if (!strcmp(kind_table[i].kind, kind))
      return i;
  return -1;
}

static void
set_text(hy_deck *d, const char *key, const char *value)
{
  char *a = hy_asprintf("%s=%s", key, value);

  hy_deck_set(d, a);
  free(a);
}

/* A file of the case may ask for another number of prediction depths. */
static void
set_depths(hy_deck *d, const hy_case *k, int file)
{
  char n[16];

  if (k->file[file].depths == 0)
    return;
  snprintf(n, sizeof n, "%d", k->file[file].depths);
  set_text(d, "model.mtp_depths", n);
  set_text(d, "model.mtp_repeat",
           k->file[file].repeated ? ".true." : ".false.");
}

static const char *
kind_of(const hy_case *c, const hy_st *expected)
{
  return c->kind[0] ? c->kind : hy_case_kind_of(expected);
}

static int
run_kind(hy_compare *k, const char *kind, hy_bag *bag)
{
  int i = find_kind(kind);

  if (i < 0)
    return hy_fail(HY_EDATA,
                   "compare: cases of kind '%s' are not in this version; "
                   "forward, packed, mtp, train and decode are",
                   kind);
  return kind_table[i].run(k, bag);
}

/* One expected file. The verdict is rank 0's, spread to all. */
static int
run_file(hy_deck *d, const hy_grid *grid, const hy_case *c, int file,
         hy_verdict *v)
{
  hy_compare k = {.deck = d,
                  .grid = grid,
                  .n_threads = hy_threads_of(d, grid),
                  .optim = c->optim,
                  .scheduled = c->scheduled};
  hy_model model = {0};
  hy_bag bag = {0}, start = {0};
  const char *input[N_INPUT + 2] = {NULL};
  hy_check_rules rules = {c->bound, input, hy_case_is_low(d), &start};
  hy_st *expected = NULL;
  int err;

  memcpy(input, input_names, sizeof input_names);
  if (!c->scheduled)
    input[N_INPUT] = "lr";
  set_depths(d, c, file);
  k.model = &model;
  err = hy_agree(&grid->world, hy_st_open(&expected, c->file[file].path));
  if (!err)
    err = hy_source_resolve(d, &grid->world);
  if (!err)
    err = hy_agree(&grid->world,
                   hy_model_new_zero(&model, &d->model, grid,
                                     strcmp(kind_of(c, expected), "train")
                                         ? 0 /* layers run without a trainer */
                                         : hy_params_how(&d->optim)));
  if (!err)
    err = hy_model_recompute(&model, d->optim.recompute);
  if (!err)
    err = hy_source_load(&model.params, d, grid);
  if (!err) {
    k.expected = expected;
    hy_compare_params(&start, "", &model.params, HY_PART_W);
    hy_bag_gather(&start, &grid->world);
    err = hy_agree(&grid->world, run_kind(&k, kind_of(c, expected), &bag));
  }
  if (!err && grid->world.rank == 0)
    hy_check(expected, &bag, &rules, v);
  if (!err && grid->world.rank == 0 && d->compare.dump[0])
    err = hy_bag_write(&bag, d->compare.dump);
  hy_bag_free(&bag);
  hy_bag_free(&start);
  hy_model_free(&model);
  hy_st_close(expected);
  return hy_agree(&grid->world, err);
}

static int
verdict(const hy_verdict *v, const hy_grid *grid)
{
  int bad = v->n_ok < v->n || v->n == 0;

  if (grid->world.rank == 0)
    printf("compare: %d of %d within bounds, worst %s %.2g of its bound\n",
           v->n_ok, v->n, v->worst_name[0] ? v->worst_name : "-", v->worst);
  fflush(stdout);
  hy_bcast(&grid->world, &bad, sizeof bad, 0);
  if (bad)
    return hy_fail(HY_EDATA,
                   "compare: %d of %d tensors are outside their "
                   "bounds; see the lines above",
                   v->n - v->n_ok, v->n);
  return HY_OK;
}

static int
read_case(hy_case *c, hy_deck *d)
{
  if (d->compare.case_[0]) {
    int err = hy_case_read(c, d->compare.case_);

    if (!err && !d->model.from[0])
      set_text(d, "model.from", c->checkpoint);
    if (!err && hy_case_is_low(d))
      hy_case_bounds(c, d);
    return err;
  }
  if (!d->compare.expected[0] || !d->model.from[0])
    return hy_fail(HY_EDECK, "compare: give compare.case=DIR, or model.from= "
                             "and compare.expected=FILE");
  return hy_case_from_deck(c, d);
}

static int
compare_run(hy_deck *d, const hy_grid *grid)
{
  hy_verdict v = {0};
  hy_case c = {0};
  int err;

  if (!strcmp(d->compare.reference, "cpu"))
    err = hy_compare_reference(d, grid, &v);
  else
    err = hy_agree(&grid->world, read_case(&c, d));
  for (int i = 0; i < c.n_file && !err; i++)
    err = run_file(d, grid, &c, i, &v);
  hy_case_free(&c);
  return err ? err : verdict(&v, grid);
}

const hy_job hy_job_compare = {
    .name = "compare",
    .help = "run a case of expected tensors and judge every one",
    .computes = 1,
    .run = compare_run};
