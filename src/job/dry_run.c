/* --dry-run: check everything and say what a run needs, from the same program
 * text through the backend of shapes. */
#include "job/dry_run.h"
#include "base/err.h"
#include "base/file.h"
#include "data/batch.h"
#include "io/source.h"
#include "layer/layer.h"
#include "model/workspace.h"
#include "optim/bucket.h"
#include "optim/lr.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* A communicator of one rank: no call reaches MPI, which is not started. */
static const hy_comm alone = {.mpi = MPI_COMM_SELF, .rank = 0, .size = 1};

static const char *
amount(double bytes, char out[32])
{
  static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int i = 0;

  for (; bytes >= 1024 && i < 5; i++)
    bytes /= 1024;
  snprintf(out, 32, "%.4g %s", bytes, unit[i]);
  return out;
}

static void
row(const char *what, double bytes)
{
  char text[32];

  printf("  %-34s %14.0f  %s\n", what, bytes, amount(bytes, text));
}

/* As hy_threads_of, without the other ranks. */
static int
guess_threads(const hy_deck *d, const hy_grid *grid)
{
  const char *env = getenv("OMP_NUM_THREADS");
  int n = (int)d->job.n_threads;
  cpu_set_t set;

  if (n == 0 && env)
    n = atoi(env);
  if (n <= 0) {
    CPU_ZERO(&set);
    n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    n /= grid->world.size;
  }
  return n > 0 ? n : 1;
}

static void
print_model(const hy_plan *p)
{
  const char *pattern = p->cfg->pattern;

  printf("model  pattern %s\n", pattern);
  for (const char *s = "M*-E"; *s; s++) {
    int n = 0;

    for (int i = 0; i < p->n_layer; i++)
      n += pattern[i] == *s;
    if (n)
      printf("  %-10s %4d layers '%c'\n", hy_layer_find(*s)->name, n, *s);
  }
  if (p->n_mtp_block)
    printf("  %-10s %4d stored block(s) of %d layers, %d depths\n", "MTP",
           p->n_mtp_block, p->n_mtp_layer, p->n_depth);
  printf("  parameters %lld, active %lld (top_k experts and output head, "
         "without the embedding table and MTP)\n",
         (long long)hy_plan_n_params(p), (long long)hy_plan_n_active(p));
}

/* Bytes of a batch's columns as the loader holds them. */
static double
batch_bytes(const hy_deck *d, int64_t seq_len, int n_ahead)
{
  return (double)(d->data.micro_batch * seq_len) * (17 + 12 * n_ahead);
}

static void
print_memory(const hy_deck *d, const hy_model *m, const hy_ctx *plan,
             int64_t seq_len)
{
  const hy_params *p = &m->params;
  double weights = 4.0 * (double)p->n_total, grads = 4.0 * (double)p->n_weight;
  double arenas = (double)hy_workspace_bytes(plan);
  double batch = batch_bytes(d, seq_len, m->plan.n_depth);
  double buffers = 4.0 * HY_BUCKET;

  printf("memory per rank (bytes; the libraries' own base is apart: a run "
         "prints it)\n");
  row("weights, fp32 master", weights);
  row("gradients", grads);
  row("moments", 2 * grads);
  row("arena: activations and scratch", (double)plan->act.peak);
  row("arenas: gradients of activations",
      (double)(plan->turn[0].peak + plan->turn[1].peak));
  row("arena: records", (double)plan->host.peak);
  row("batch columns", batch);
  row("reduction buffer", buffers);
  row("sum", weights + 3 * grads + arenas + batch + buffers);
}

static void
print_step(const hy_deck *d, const hy_grid *grid, const hy_model *m,
           const hy_ctx *plan, int64_t seq_len)
{
  double per_token = (plan->cost.fwd + plan->cost.bwd) /
                     (double)(d->data.micro_batch * seq_len);
  double tokens = (double)(d->data.global_batch * seq_len);
  double grads = 4.0 * (double)m->params.n_weight;
  int n = grid->dp.size;

  printf("step  %.0f tokens, %.4g FLOP a token (forward and backward), %.4g "
         "FLOP\n",
         tokens, per_token, per_token * tokens);
  printf("sent per rank and step (bytes)\n");
  row("dp: gradients", 2 * grads * (n - 1) / n);
  if (grid->tp.size > 1) {
    int64_t micro = (d->data.global_batch + n * d->data.micro_batch - 1) /
                    (n * d->data.micro_batch);
    double x = 4.0 * (double)(d->data.micro_batch * seq_len * m->cfg->d_model);

    /* one sum forward, one backward for each layer */
    row("tp: activations", 2 * 2 * x * (grid->tp.size - 1) / grid->tp.size *
                               (double)(micro * m->plan.n_layer));
  }
}

/* The file system that will hold job.dir: that of its nearest parent. */
static int
free_bytes(const char *dir, double *bytes)
{
  char *at = hy_strdup(dir);
  struct statvfs fs;
  int bad;

  while ((bad = statvfs(at, &fs)) && strcmp(at, ".") && strcmp(at, "/")) {
    char *up = hy_path_dir(at);

    free(at);
    at = up;
  }
  free(at);
  if (!bad)
    *bytes = (double)fs.f_bavail * (double)fs.f_frsize;
  return bad;
}

static void
print_disk(const hy_deck *d, const hy_model *m)
{
  double one = 0, there = 0;
  int64_t keep = d->ckpt.keep ? d->ckpt.keep : 1;

  for (int i = 0; i < m->plan.n_spec; i++)
    one += (double)hy_spec_size(&m->plan.spec[i]) *
           (m->plan.spec[i].kind == HY_WEIGHT ? 12 : 4);
  printf("checkpoints\n");
  row("one file (weights and moments)", one);
  if (d->ckpt.save_every == 0)
    printf("  none are written: ckpt.save_every=0\n");
  /* while a new one is written the old ones are still there */
  row("at most on disk (ckpt.keep + 1)", one * (double)(keep + 1));
  if (free_bytes(d->job.dir, &there) == 0) {
    row("free where job.dir lies", there);
    if (d->ckpt.save_every && one * (double)(keep + 1) > there)
      printf("  WARNING: the checkpoints do not fit; lower ckpt.keep or move "
             "job.dir\n");
  }
}

static int
plan_training(const hy_deck *d, const hy_grid *grid, int64_t seq_len)
{
  int what = HY_WS_TRAIN | (d->data.valid[0] ? HY_WS_VALID : 0);
  hy_model m;
  hy_ctx plan;
  int err = hy_model_plan(&m, &d->model, grid, 1);

  if (err)
    return err;
  print_model(&m.plan);
  hy_workspace_plan(&plan, &m, grid, guess_threads(d, grid),
                    d->data.micro_batch, seq_len, what);
  print_memory(d, &m, &plan, seq_len);
  print_step(d, grid, &m, &plan, seq_len);
  print_disk(d, &m);
  hy_ctx_free(&plan);
  hy_model_free(&m);
  return HY_OK;
}

/* What a loader of this file would refuse. */
static int
check_source(const hy_deck *d, const hy_grid *grid, const char *source,
             int64_t *seq_len)
{
  hy_loader *l = NULL;
  hy_cut_layout cut = hy_cut_layout_of(grid, d->model.mamba_d_conv);
  int err =
      hy_loader_new(&l, source, &d->data, d->model.vocab, 0, 0, &alone, &cut);

  if (!err)
    *seq_len = hy_loader_seq_len(l);
  hy_loader_free(l);
  return err;
}

static int
check_data(const hy_deck *d, const hy_grid *grid, int64_t *seq_len)
{
  int64_t n = 0;
  int err = check_source(d, grid, d->data.train, seq_len);

  if (err || !d->data.valid[0])
    return err;
  err = check_source(d, grid, d->data.valid, &n);
  if (!err && n != *seq_len)
    err = hy_fail(HY_EDECK,
                  "data.valid=%s: rows of %lld tokens, data.train has %lld; "
                  "prepare both with the same prepare.seq_len",
                  d->data.valid, (long long)n, (long long)*seq_len);
  return err;
}

static int
check_training(const hy_deck *d, const hy_grid *grid, int64_t *seq_len)
{
  int bench = !strcmp(d->job.kind, "bench");
  hy_plan plan;
  int err = hy_lr_check(&d->optim);

  *seq_len = d->data.seq_len;
  if (!err && !d->data.train[0] && !bench)
    err = hy_fail(HY_EDECK, "data.train: not set; give a packed file made by "
                            "job.kind='prepare', or 'mock'");
  if (!err)
    err = hy_plan_new(&plan, &d->model);
  if (err)
    return err;
  hy_plan_free(&plan);
  if (!bench)
    err = check_data(d, grid, seq_len);
  if (!err && *seq_len == 0)
    err = hy_fail(HY_EDECK, "data.seq_len: not set; job.kind='bench' needs it");
  return err;
}

int
hy_dry_run(hy_deck *deck, const hy_grid *grid)
{
  int trains =
      !strcmp(deck->job.kind, "pretrain") || !strcmp(deck->job.kind, "bench");
  hy_buf text = {0};
  int64_t seq_len = 0;
  hy_model m;
  int err = hy_source_resolve(deck, &alone);

  if (err)
    return err;
  hy_deck_print(deck, &text, 0);
  printf("! resolved deck\n%s", text.data);
  free(text.data);
  printf("layout  %d ranks = pp %d, dp %d, cp %d, tp %d; ep %d\n",
         grid->world.size, grid->pp.size, grid->dp.size, grid->cp.size,
         grid->tp.size, grid->ep.size);
  if (trains) {
    err = check_training(deck, grid, &seq_len);
    return err ? err : plan_training(deck, grid, seq_len);
  }
  if (!deck->model.pattern[0])
    return HY_OK;
  err = hy_model_plan(&m, &deck->model, grid, 0);
  if (!err) {
    print_model(&m.plan);
    printf("memory per rank (bytes)\n");
    row("weights, fp32", 4.0 * (double)m.params.n_total);
    hy_model_free(&m);
  }
  return err;
}
