#include "job/compare_reference.h"
#include "base/err.h"
#include "base/file.h"
#include "base/rng.h"
#include "text/tokenizer.h"
#include "grid/threads.h"
#include "io/source.h"
#include "verify/case.h"
#include "verify/compare.h"

#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 2 }; /* of random tokens */

static void
random_rows(const hy_deck *d, hy_ids *ids)
{
  uint64_t key = hy_rng_key((uint64_t)d->job.seed, "compare");

  for (int64_t t = 0; t < N_ROWS * d->compare.n_tokens; t++)
    hy_ids_add(ids, (int32_t)(hy_rng_u64(key, (uint64_t)t) %
                              (uint64_t)d->model.vocab));
}

static int
prompt_rows(const hy_deck *d, hy_ids *ids)
{
  char *path = hy_path_join(d->model.from, "tokenizer.json");
  hy_tok *tok = NULL;
  int err = hy_tok_open(&tok, path);

  if (!err)
    err = hy_tok_encode(tok, d->compare.prompt, strlen(d->compare.prompt), 0,
                        ids, NULL);
  if (!err)
    err = hy_compare_check_ids("compare.prompt", ids->id, (int64_t)ids->n,
                               d->model.vocab, 0);
  if (!err && ids->n < 2)
    err = hy_fail(HY_EDECK, "compare.prompt: fewer than two tokens");
  hy_tok_free(tok);
  free(path);
  return err;
}

/* Everything that one pass produces on the backend of the grid. */
static int
run(hy_deck *d, const hy_grid *grid, const hy_ids *ids, const hy_bag *route,
    hy_bag *bag)
{
  int64_t rows = d->compare.prompt[0] ? 1 : N_ROWS;
  hy_model model = {0};
  hy_compare k = {.deck = d,
                  .grid = grid,
                  .model = &model,
                  .n_threads = hy_threads_of(d, grid),
                  .id = ids->id,
                  .route = route,
                  .n_rows = rows,
                  .seq_len = (int64_t)ids->n / rows};
  int err = hy_agree(&grid->world, hy_model_new(&model, &d->model, grid, 1));

  if (!err)
    err = hy_model_recompute(&model, d->optim.recompute);
  if (!err)
    err = hy_source_load(&model.params, d, grid);
  if (!err)
    err = hy_compare_forward(&k, bag);
  hy_model_free(&model);
  return hy_agree(&grid->world, err);
}

static int
check_deck(const hy_deck *d)
{
  if (!d->model.from[0])
    return hy_fail(HY_EDECK, "compare.reference='cpu': model.from is not set; "
                             "name a weight folder or a checkpoint");
  if (!strcmp(d->job.device, "cpu"))
    return hy_fail(HY_EDECK,
                   "compare.reference='cpu': job.device is the CPU itself; "
                   "set job.device='cuda'");
  return HY_OK;
}

int
hy_compare_reference(hy_deck *d, const hy_grid *grid, hy_verdict *v)
{
  hy_case bounds = {0};
  hy_bag want = {0}, got = {0};
  hy_ids ids = {0};
  hy_grid cpu;
  int err = hy_agree(&grid->world, check_deck(d));

  if (!err)
    err = hy_source_resolve(d, &grid->world);
  if (!err && d->compare.prompt[0])
    err = prompt_rows(d, &ids);
  else if (!err)
    random_rows(d, &ids);
  err = hy_agree(&grid->world, err);
  if (!err) {
    hy_grid_host(&cpu, grid);
    err = run(d, &cpu, &ids, NULL, &want);
  }
  if (!err)
    err = run(d, grid, &ids, hy_case_is_low(d) ? &want : NULL, &got);
  if (!err && grid->world.rank == 0) {
    hy_check_rules rules = {.bound = bounds.bound, .rms = hy_case_is_low(d)};

    hy_case_bounds(&bounds, d);
    hy_check_bag(&want, &got, &rules, v);
  }
  hy_case_free(&bounds);
  hy_bag_free(&want);
  hy_bag_free(&got);
  free(ids.id);
  return err;
}
