#include "job/train_setup.h"
#include "base/err.h"
#include "base/file.h"
#include "grid/threads.h"
#include "base/version.h"
#include "data/blend_file.h"
#include "gpu/device.h"
#include "model/count.h"
#include "optim/lr.h"
#include "optim/update.h"
#include "plan/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
check_deck(const hy_deck *d)
{
  int err = hy_lr_check(&d->optim);

  if (!err && d->ckpt.step && !d->ckpt.load[0])
    err = hy_fail(HY_EDECK,
                  "ckpt.step=%lld: ckpt.load is not set; name the "
                  "run directory to resume from",
                  (long long)d->ckpt.step);
  return err;
}

/* The checkpoint to resume from, on every rank: *path is NULL for a fresh
 * start. Collective. */
static int
find_resume(const hy_train *r, char **path)
{
  const hy_deck *d = r->deck;
  const hy_comm *world = &r->grid->world;
  const char *from = d->ckpt.load;
  char *latest;
  int there;

  *path = NULL;
  if (!from[0])
    return HY_OK;
  if (strcmp(from, "auto"))
    return hy_ckpt_find_shared(path, from, d->ckpt.step, world);
  latest = hy_path_join(d->job.dir, "latest");
  there = hy_path_exists(latest);
  free(latest);
  hy_bcast(world, &there, sizeof there, 0);
  if (!there && d->ckpt.step == 0)
    return HY_OK; /* the first start of a job that is requeued */
  return hy_ckpt_find_shared(path, d->job.dir, d->ckpt.step, world);
}

/* Architecture: that of the checkpoint when resuming, of model.from when
 * there is one; what the deck says wins and is checked against the file. */
static int
resolve_model(hy_train *r, char **resume)
{
  hy_deck *d = r->deck;
  const hy_comm *world = &r->grid->world;
  hy_str from;
  int err = find_resume(r, resume);

  if (err)
    return err;
  memcpy(from, d->model.from, sizeof from);
  if (*resume)
    snprintf(d->model.from, sizeof d->model.from, "%s", *resume);
  if (d->model.from[0])
    err = hy_source_resolve(d, world);
  memcpy(d->model.from, from, sizeof from);
  return err;
}

static int
open_data(hy_train *r, const hy_plan *plan)
{
  hy_deck *d = r->deck;
  hy_cut_layout cut = hy_cut_layout_of(r->grid, d->model.mamba_d_conv);
  hy_loader *l[3];
  int err = hy_data_open(l, d, plan->n_depth, &r->grid->dp, &cut);

  if (err)
    return err;
  r->train = l[HY_PART_TRAIN];
  r->valid = l[HY_PART_VALID];
  r->test = l[HY_PART_TEST];
  r->seq_len = hy_loader_seq_len(r->train);
  hy_data_cost(r->train, plan);
  return HY_OK;
}

static int
make_model(hy_train *r)
{
  hy_deck *d = r->deck;
  int what = HY_WS_TRAIN | (r->valid || r->test ? HY_WS_VALID : 0);
  hy_state_bytes b;
  hy_meter meter;
  hy_grid dry;
  int err = hy_room_check(d, r->grid, r->seq_len, r->n_threads);

  if (!err)
    err = hy_model_new_zero(&r->model, &d->model, r->grid,
                            hy_params_how(&d->optim));

  if (!err)
    err = hy_model_recompute(&r->model, d->optim.recompute);
  if (err)
    return err;
  err = hy_trainer_new(&r->trainer, &r->model, r->grid, r->n_threads,
                       d->data.micro_batch, r->seq_len, what,
                       hy_loader_n_micro(r->train));
  if (!err && d->job.graph)
    err = hy_trainer_record(&r->trainer);
  memset(&meter, 0, sizeof meter);
  hy_grid_dry(&dry, r->grid, &meter);
  hy_update_plan(&b, &r->model, &dry, r->trainer.ctx->unit_bytes);
  r->model_bytes =
      (size_t)(b.weights + b.master + b.gradients + b.moments + b.buffers);
  hy_adamw_set(&r->trainer.opt, &d->optim);
  return err;
}

/* Those who share a row do its work together. */
static void
count_flops(hy_train *r)
{
  const hy_cost *k = &r->trainer.ctx->planned;
  double flops = k->fwd + k->bwd;

  hy_sum_f64(&r->grid->seq, &flops, 1);
  hy_sum_f64(&r->grid->pp, &flops, 1);
  r->flops_per_token = flops / (double)(r->deck->data.micro_batch * r->seq_len);
}

/* Data are a function of (seed, step, global_batch): a resumed run must agree
 * on all of them to see each row once. */
static int
check_resume(const hy_train *r, const char *path)
{
  const hy_deck *d = r->deck;
  const hy_ckpt_state *st = &r->state;

  if (!st->has_optim)
    return hy_fail(HY_EDATA,
                   "%s: holds no optimizer states; start from it "
                   "with model.from instead of ckpt.load",
                   path);
  if (st->seed != d->job.seed)
    return hy_fail(HY_EDECK,
                   "job.seed=%lld: %s was made with %lld, and the data order "
                   "depends on it; set it to that",
                   (long long)d->job.seed, path, (long long)st->seed);
  if (st->samples != st->step * d->data.global_batch)
    return hy_fail(HY_EDECK,
                   "data.global_batch=%lld: %s has seen %lld rows in %lld "
                   "steps; set it to that quotient",
                   (long long)d->data.global_batch, path,
                   (long long)st->samples, (long long)st->step);
  return HY_OK;
}

/* What earlier checkpoints of the run carry; rank 0 writes it again. */
static int
read_carried(hy_train *r, const char *path)
{
  hy_source_info *s = &r->source;
  hy_buf config = {0}, lineage = {0};
  int err = HY_OK;

  if (r->grid->world.rank == 0) {
    s->fmt = hy_calloc((size_t)r->model.params.n, sizeof *s->fmt);
    err = hy_ckpt_text(&config, path, "config");
    if (!err)
      err = hy_ckpt_text(&lineage, path, "lineage");
    if (!err)
      err = hy_ckpt_formats(s->fmt, &r->model.plan, path);
    s->config = config.data;
    s->lineage = lineage.data;
    if (!err)
      err = hy_data_check_same(r->train, s->lineage, path);
    if (!err)
      err = hy_data_check_keys(r->deck, path);
  }
  return hy_agree(&r->grid->world, err);
}

/* A new run is made from its source, if any, and its data. */
static void
add_data(hy_train *r)
{
  hy_buf list = {0};

  if (r->source.lineage)
    hy_buf_add(&list, r->source.lineage, strlen(r->source.lineage));
  hy_blend_lineage(hy_loader_blend(r->train), &list);
  free(r->source.lineage);
  r->source.lineage = list.data;
}

/* The weights of model.from; rank 0 sees its tokenizer. */
static int
load_source(hy_train *r)
{
  const hy_comm *world = &r->grid->world;
  int err = hy_source_load_info(&r->model.params, r->deck, r->grid, &r->source);

  if (!err && world->rank == 0)
    err = hy_data_check_tokenizer(r->train, r->source.folder);
  return hy_agree(world, err);
}

static int
load_weights(hy_train *r, const char *resume)
{
  hy_deck *d = r->deck;
  hy_params *p = &r->model.params;
  int err = HY_OK;

  if (!resume) {
    if (d->model.from[0])
      err = load_source(r);
    else
      hy_params_init(p, (uint64_t)d->job.seed);
    if (!err)
      add_data(r);
    return err;
  }
  err = hy_ckpt_read(p, r->trainer.opt.m, r->trainer.opt.v, &r->state, resume,
                     r->grid);
  if (!err)
    err = hy_agree(&r->grid->world, check_resume(r, resume));
  if (!err)
    err = read_carried(r, resume);
  if (!err) {
    r->step = r->state.step;
    r->samples = r->state.samples;
    r->tokens = r->state.tokens;
  }
  if (!err && r->grid->world.rank == 0)
    printf("resumed: %s, %lld steps done, weights, moments, router biases and "
           "data position restored\n",
           resume, (long long)r->step);
  return err;
}

/* The deck as text for a file in job.dir. Paths of a deck are relative to its
 * folder, those of *d to the current one: they become absolute. */
static int
resolved_text(const hy_deck *d, hy_buf *text)
{
  char *cwd = getcwd(NULL, 0);
  hy_deck *here = hy_malloc(sizeof *here);
  hy_buf old = {0};
  int err;

  hy_deck_init(here);
  hy_deck_print(d, &old, 1);
  err = hy_deck_parse(here, old.data, "resolved deck", cwd);
  hy_deck_print(here, text, 1);
  hy_deck_free(here);
  free(here);
  free(old.data);
  free(cwd);
  return err;
}

static int
open_run_dir(hy_train *r)
{
  hy_deck *d = r->deck;
  hy_buf text = {0};
  char *path;
  int err;

  if (r->grid->world.rank != 0)
    return HY_OK;
  err = hy_make_dirs(d->job.dir);
  if (!err)
    err = resolved_text(d, &text);
  path = hy_path_join(d->job.dir, "resolved.nml");
  if (!err)
    err = hy_file_write(path, text.data, text.len);
  free(path);
  free(text.data);
  if (!err && r->source.folder) /* a checkpoint here is complete to use */
    err = hy_hf_copy_files(r->source.folder, d->job.dir);
  if (!err)
    err = hy_history_open(&r->history, d->job.dir, r->step);
  return err;
}

static void
print_axis(const char *name, int n)
{
  if (n > 1)
    printf(", %s %d", name, n);
}

static void
print_cut(const hy_plan *p)
{
  printf("stages of");
  for (int s = 0; s < p->n_stage; s++)
    printf("%s %d", s ? "," : "", p->first[s + 1] - p->first[s]);
  printf(" layers\n");
}

static void
hello(const hy_train *r)
{
  const hy_grid *g = r->grid;
  const hy_deck *d = r->deck;

  if (r->grid->world.rank != 0)
    return;
  printf("hymn %s: %s on %d ranks (dp %d, tp %d", hy_version(), d->job.kind,
         g->world.size, g->dp.size, g->tp.size);
  print_axis("cp", g->cp.size);
  print_axis("ep", g->ep.size);
  print_axis("pp", g->pp.size);
  printf("), %d threads each\n", r->n_threads);
  if (*hy_device_line(g))
    printf("%s\n", hy_device_line(g));
  if (g->pp.size > 1)
    print_cut(&r->model.plan);
  printf("model %s: %lld parameters, %lld active; %.3g FLOP a token\n",
         d->model.pattern, (long long)hy_plan_n_params(&r->model.plan),
         (long long)hy_plan_n_active(&r->model.plan), r->flops_per_token);
  hy_data_print(r->train, &d->data, d->optim.n_steps, 0);
}

int
hy_train_setup(hy_train *r, hy_deck *deck, const hy_grid *grid)
{
  const hy_comm *world = &grid->world;
  char *resume = NULL;
  hy_plan plan = {0};
  int err;

  r->deck = deck;
  r->grid = grid;
  r->born = MPI_Wtime();
  r->base_mem = hy_backend_of(grid)->mem->used();
  r->n_threads = hy_threads_of(deck, grid);
  err = hy_agree(world, check_deck(deck));
  if (!err)
    err = hy_blend_file_resolve(deck, world);
  if (!err)
    err = resolve_model(r, &resume);
  if (!err)
    err = hy_agree(world, hy_plan_new(&plan, &deck->model));
  if (!err)
    err = open_data(r, &plan);
  hy_plan_free(&plan);
  if (!err)
    err = hy_agree(world, make_model(r));
  if (!err)
    count_flops(r);
  if (!err)
    err = load_weights(r, resume);
  if (!err)
    err = hy_agree(world, open_run_dir(r));
  if (!err)
    hello(r);
  free(resume);
  return err;
}

void
hy_train_free(hy_train *r)
{
  hy_ckpt_save_drop(&r->save);
  hy_history_close(r->history);
  hy_loader_free(r->train);
  hy_loader_free(r->valid);
  hy_loader_free(r->test);
  hy_trainer_free(&r->trainer);
  hy_model_free(&r->model);
  hy_source_info_free(&r->source);
}
